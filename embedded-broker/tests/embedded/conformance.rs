//! The delivery contract, as every transport has to keep it.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bus::clock::SystemClock;
use bus::conformance::{Broker, retry_delays};
use bus::topology::Topology;
use bus::transport::SharedTransport;
use embedded_broker::{EmbeddedBroker, Storage};
use tempfile::TempDir;
use tokio::sync::Mutex;

/// A broker over a file of its own.
struct Embedded {
    directory: TempDir,
    running: Mutex<Option<EmbeddedBroker>>,
}

impl Embedded {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let running = Mutex::new(Some(open(directory.path().join("broker.sqlite")).await));
        Self { directory, running }
    }
}

async fn open(path: PathBuf) -> EmbeddedBroker {
    let topology = Topology::new("conformance", retry_delays());
    EmbeddedBroker::open(Storage::File(path), topology, Arc::new(SystemClock)).await.unwrap()
}

#[async_trait(?Send)]
impl Broker for Embedded {
    async fn transport(&self, owner: &str) -> SharedTransport {
        self.running.lock().await.as_ref().unwrap().transport(owner)
    }

    async fn restart(&self) {
        let mut running = self.running.lock().await;
        // Dropped, not closed: as in a crash.
        drop(running.take());
        *running = Some(open(self.directory.path().join("broker.sqlite")).await);
    }
}

bus::conformance!(Embedded::start(), restarting: Embedded::start());
