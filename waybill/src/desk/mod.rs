//! How the operator's commands reach a shop: by its broker, through the running process, or by opening its files.

mod question;
mod running;
mod serving;
mod stopped;

use std::sync::Arc;
use std::time::Duration;

use bus::deadline::Deadline;
use bus::rpc_client::{RpcClient, request};
use clap::Args;
use embedded_broker::{DataDirLock, LockError};
use schema::money::Currency;
use serde::Serialize;
use serde::de::DeserializeOwned;
use service_kit::config::ConfigErrors;

use crate::backing::{BackingArgs, BackingConfig};
use crate::data_dir::DataDir;
use crate::shop::{ServicesArgs, ServicesConfig};

pub(crate) use serving::{DeskKeeper, open_desk};

/// How long one question may take: a batch of records is written to a disk that may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which shop.
#[derive(Args, Debug, Clone)]
pub(crate) struct DeskArgs {
    #[command(flatten)]
    backing: BackingArgs,
    #[command(flatten)]
    services: ServicesArgs,
}

/// [`DeskArgs`], checked.
pub(crate) struct DeskConfig {
    backing: BackingConfig,
    services: ServicesConfig,
}

impl DeskArgs {
    /// The typed values, or everything that is wrong with them.
    pub(crate) fn check(&self) -> Result<DeskConfig, ConfigErrors> {
        let mut errors = ConfigErrors::new();
        let backing = self.backing.check(&mut errors);
        let services = self.services.check(&backing.bus, &mut errors);
        errors.finish(DeskConfig { backing, services })
    }
}

impl DeskConfig {
    /// The shop's currency.
    pub(crate) fn currency(&self) -> Currency {
        self.services.inventory.currency
    }
}

/// Whoever answers in the process that has DATA_DIR.
pub(crate) fn of_running_shop(data_dir: &DataDir) -> anyhow::Result<Arc<dyn RpcClient>> {
    Ok(Arc::new(running::RunningShop::find(data_dir)?))
}

/// Somebody who asks the shop's services on the operator's behalf.
pub(crate) struct Desk {
    rpc: Arc<dyn RpcClient>,
    shop: Option<stopped::StoppedShop>,
}

impl Desk {
    /// Finds the way to the shop: with RABBITMQ_URL its broker; else the process that has DATA_DIR, or where none has,
    /// the files in it.
    pub(crate) async fn open(config: DeskConfig) -> anyhow::Result<Self> {
        if config.backing.rabbitmq_url.is_some() {
            let shop = stopped::StoppedShop::behind_its_broker(config.backing).await?;
            return Ok(Self { rpc: shop.rpc_client(), shop: Some(shop) });
        }
        config.backing.data_dir.prepare()?;
        match DataDirLock::acquire(config.backing.data_dir.path()) {
            Ok(lock) => {
                let shop = stopped::StoppedShop::open(config, lock).await?;
                Ok(Self { rpc: shop.rpc_client(), shop: Some(shop) })
            }
            Err(LockError::Held { .. }) => {
                let running = running::RunningShop::find(&config.backing.data_dir)?;
                Ok(Self { rpc: Arc::new(running), shop: None })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Asks with typed data and a typed answer.
    pub(crate) async fn ask<Q, A>(&self, pattern: &str, data: &Q) -> anyhow::Result<A>
    where
        Q: Serialize + Sync + ?Sized,
        A: DeserializeOwned,
    {
        Ok(request(&*self.rpc, pattern, data, Deadline::after(PATIENCE)).await?)
    }

    /// Lets go of what was opened.
    pub(crate) async fn close(self) {
        if let Some(shop) = self.shop {
            shop.close().await;
        }
    }
}
