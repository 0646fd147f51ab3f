//! Where the system is, and how a tool gets an answer from it.

mod broker;
mod files;

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use bus::deadline::Deadline;
use bus::rpc_client::{RpcClient, request};
use bus::topology::{RetryDelays, Topology};
use clap::Args;
use embedded_broker::{DataDirLock, LockError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use service_kit::config::{ConfigErrors, Secret};

use crate::data_dir::{DataDir, DataDirArgs};
use crate::desk;
use broker::Connected;
use files::Opened;

/// Where the system is.
#[derive(Args, Debug, Clone)]
pub(crate) struct ReachArgs {
    /// The broker, where it isn't the one in DATA_DIR: amqp://user:password@host:5672/vhost, or amqps://
    #[arg(
        long,
        env = "RABBITMQ_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "Message bus"
    )]
    rabbitmq_url: Option<Secret>,
    /// Prefix of every exchange and queue
    #[arg(
        long,
        env = "BUS_NAMESPACE",
        default_value = "waybill",
        value_name = "NAME",
        help_heading = "Message bus"
    )]
    bus_namespace: String,
    #[command(flatten)]
    data_dir: DataDirArgs,
}

/// [`ReachArgs`], checked.
#[derive(Debug, Clone)]
pub(crate) struct Whereabouts {
    rabbitmq_url: Option<Secret>,
    namespace: String,
    pub(super) data_dir: DataDir,
}

impl Whereabouts {
    /// Whether the system is behind a broker, rather than in DATA_DIR.
    pub(super) fn is_behind_a_broker(&self) -> bool {
        self.rabbitmq_url.is_some()
    }
}

impl ReachArgs {
    /// The typed values; what is wrong goes to `errors`.
    pub(super) fn check(&self, errors: &mut ConfigErrors) -> Whereabouts {
        Whereabouts {
            rabbitmq_url: errors.url("RABBITMQ_URL", self.rabbitmq_url.as_ref(), &["amqp", "amqps"]),
            namespace: errors.name("BUS_NAMESPACE", &self.bus_namespace),
            data_dir: self.data_dir.check(errors),
        }
    }

    /// The typed values of a tool that takes no others.
    pub(super) fn whereabouts(&self) -> anyhow::Result<Whereabouts> {
        let mut errors = ConfigErrors::new();
        let whereabouts = self.check(&mut errors);
        Ok(errors.finish(whereabouts)?)
    }
}

/// A system that answers.
pub(super) struct Reach {
    rpc: Arc<dyn RpcClient>,
    held: Held,
}

/// What has to be let go of.
enum Held {
    /// Behind RabbitMQ.
    Connection(Connected),
    /// In a process of this machine, behind its desk.
    Nothing,
    /// Not running; but its files are here, and nobody else's for as long as this is.
    Files(Opened),
}

impl Reach {
    /// Finds the system: with RABBITMQ_URL behind that broker; else in the process that has DATA_DIR, or where none
    /// has, in the files there. Waits no longer than seconds for it.
    ///
    /// `retry_delays` are declared with the rest of the topology. A tool that has no business with retry queues gives
    /// none, so that it makes none that the services don't have.
    pub(super) async fn find(place: &Whereabouts, retry_delays: RetryDelays) -> anyhow::Result<Self> {
        let topology = Topology::new(place.namespace.clone(), retry_delays);
        if let Some(url) = &place.rabbitmq_url {
            let connected = Connected::to(url, topology).await?;
            return Ok(Self { rpc: connected.counter(), held: Held::Connection(connected) });
        }
        let file = place.data_dir.broker();
        if !file.exists() {
            bail!("there is no shop in {}; {}", place.data_dir.path().display(), hint());
        }
        match DataDirLock::acquire(place.data_dir.path()) {
            Ok(lock) => {
                let opened = Opened::of(&file, topology, lock).await?;
                Ok(Self { rpc: opened.counter(), held: Held::Files(opened) })
            }
            Err(LockError::Held { .. }) => {
                Ok(Self { rpc: desk::of_running_shop(&place.data_dir)?, held: Held::Nothing })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Asks what the [`super::counter`] answers, or any service, and waits no longer than `limit`.
    pub(super) async fn ask<Q, A>(&self, pattern: &str, question: &Q, limit: Duration) -> anyhow::Result<A>
    where
        Q: Serialize + Sync + ?Sized,
        A: DeserializeOwned,
    {
        Ok(request(&*self.rpc, pattern, question, Deadline::after(limit)).await?)
    }

    /// Whether there are services to ask.
    pub(super) fn is_running(&self) -> bool {
        !matches!(self.held, Held::Files(_))
    }

    /// Lets go of the system.
    pub(super) async fn leave(self) {
        match self.held {
            Held::Connection(connected) => connected.close().await,
            Held::Nothing => {}
            Held::Files(opened) => opened.close().await,
        }
    }
}

fn hint() -> &'static str {
    "name its folder by DATA_DIR, or its broker by RABBITMQ_URL, or start one by `waybill up`"
}
