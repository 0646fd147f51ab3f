use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use bus::deadline::Deadline;
use bus::rpc_client::RpcClient;
use schema::pattern;
use serde_json::Value;
use service_kit::admin::AdminServer;
use service_kit::config::Secret;
use tokio::sync::watch;

use super::PATIENCE;
use super::question::{Question, Whereabouts};
use crate::data_dir::DataDir;
use crate::operator::counter;
use crate::secret_file;

/// What the operator may ask. Everything else has the gateway for a way in.
const OPERATORS_PATTERNS: [&str; 7] = [
    counter::DEAD_LETTERS,
    counter::EXAMINE,
    pattern::INVENTORY_ADJUST,
    pattern::INVENTORY_PUT,
    pattern::INVENTORY_AUDIT,
    pattern::CUSTOMER_PUT,
    pattern::ORDER_AUDIT,
];

/// A desk in front of this process's services, before its address is known.
pub(crate) struct DeskKeeper {
    secret: Secret,
    services: watch::Sender<Option<Arc<dyn RpcClient>>>,
}

/// Adds the desk to the admin server. It answers once [`DeskKeeper::open`] has been called.
pub(crate) fn open_desk(admin: AdminServer) -> (AdminServer, DeskKeeper) {
    let keeper = DeskKeeper { secret: secret_file::random(), services: watch::Sender::new(None) };
    let services = keeper.services.subscribe();
    let admin =
        admin.with_request_handler(keeper.secret.clone(), move |question| answer(services.clone(), question));
    (admin, keeper)
}

impl DeskKeeper {
    /// From here on `services` are asked, and DATA_DIR says where.
    pub(crate) fn open(
        &self,
        services: Arc<dyn RpcClient>,
        address: SocketAddr,
        data_dir: &DataDir,
    ) -> anyhow::Result<()> {
        self.services.send_replace(Some(services));
        let whereabouts =
            Whereabouts { address: reachable(address), secret: self.secret.expose().to_owned() };
        let path = data_dir.desk_file();
        let text = serde_json::to_string(&whereabouts).context("cannot write down the desk's address")?;
        secret_file::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The address by which a process on this machine gets to what listens on `bound`.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let loopback = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(loopback, bound.port())
}

async fn answer(
    services: watch::Receiver<Option<Arc<dyn RpcClient>>>,
    question: Value,
) -> Result<Value, String> {
    let services = services.borrow().clone().ok_or("the shop is still opening")?;
    let Question::Ask { pattern, data } =
        serde_json::from_value(question).map_err(|error| format!("not a question for the desk: {error}"))?;
    if !OPERATORS_PATTERNS.contains(&pattern.as_str()) {
        return Err(format!("{pattern} is not for the operator to ask"));
    }
    let answer = services.call(&pattern, data, Deadline::after(PATIENCE)).await;
    let answer = answer.map_err(|error| error.to_string())?;
    serde_json::from_str(answer.get()).map_err(|error| error.to_string())
}
