use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use bus::clock::SystemClock;
use bus::rpc_client::RpcClient;
use bus::topology::Topology;
use embedded_broker::{DataDirLock, EmbeddedBroker, Storage};

use crate::operator::counter::Counter;

/// The broker's file, opened under the folder's lock: nothing starts on it meanwhile.
pub(super) struct Opened {
    counter: Arc<Counter>,
    broker: EmbeddedBroker,
    _lock: DataDirLock,
}

impl Opened {
    pub(super) async fn of(file: &Path, topology: Topology, lock: DataDirLock) -> anyhow::Result<Self> {
        let broker = EmbeddedBroker::open(Storage::File(file.to_owned()), topology, Arc::new(SystemClock))
            .await
            .with_context(|| format!("cannot open {}", file.display()))?;
        let counter = Arc::new(Counter::without_services(broker.transport("operator.tools")));
        Ok(Self { counter, broker, _lock: lock })
    }

    pub(super) fn counter(&self) -> Arc<dyn RpcClient> {
        Arc::clone(&self.counter) as Arc<dyn RpcClient>
    }

    pub(super) async fn close(self) {
        self.broker.close().await;
    }
}
