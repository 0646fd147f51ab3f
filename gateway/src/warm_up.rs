use std::sync::Arc;
use std::time::Duration;

use bus::clock::Deadline;
use bus::rpc_client::{RequestError, RpcClient, request};
use schema::pattern::{CUSTOMER_GET, INVENTORY_GET, ORDER_GET};
use service_kit::health::ReadinessHandle;

use crate::graphql::Api;

/// How long a gateway holds back at its start for services that don't answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it asks.
const PAUSE: Duration = Duration::from_millis(100);

/// Ready once every backend has answered and updates can be told, or after a while without: from then on a backend that
/// is away blanks only what it feeds, and is no reason to turn callers away.
pub(crate) async fn warm_up(api: Api, rpc: Arc<dyn RpcClient>, condition: ReadinessHandle) {
    let deadline = Deadline::after(PATIENCE);
    let answered = async {
        let backends =
            [ORDER_GET, INVENTORY_GET, CUSTOMER_GET].map(|pattern| answered(&*rpc, pattern, deadline));
        futures::future::join_all(backends).await;
        while !api.can_tell_updates() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = answered => {}
        () = deadline.passed() => tracing::warn!("ready, although not every service has answered yet"),
    }
    condition.set(true);
}

/// Asks for nothing in particular until there is an answer, of whatever kind.
async fn answered(rpc: &dyn RpcClient, pattern: &str, deadline: Deadline) {
    let nothing: [(); 0] = [];
    loop {
        let answer = request::<_, Vec<serde::de::IgnoredAny>>(rpc, pattern, &nothing, deadline).await;
        match answer {
            Ok(_) | Err(RequestError::Answered(_)) => return,
            Err(error) => tracing::debug!(%error, "a service does not answer yet"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
