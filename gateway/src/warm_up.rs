use std::sync::Arc;
use std::time::Duration;

use bus::clock::Deadline;
use bus::rpc_client::{RequestError, RpcClient, request};
use schema::pattern::{CUSTOMER_GET, INVENTORY_GET, ORDER_GET};
use service_kit::health::ReadinessHandle;

use crate::graphql::Api;

/// How long a starting gateway stays not ready for services that don't answer.
const LIMIT: Duration = Duration::from_secs(10);
/// The pause between two requests.
const PAUSE: Duration = Duration::from_millis(100);

/// Makes the gateway ready once every service has answered and subscriptions can begin, or after [`LIMIT`]: from then on
/// a service that doesn't answer blanks only its own fields, which is no reason to refuse other requests.
pub(crate) async fn warm_up(api: Api, rpc: Arc<dyn RpcClient>, condition: ReadinessHandle) {
    let deadline = Deadline::after(LIMIT);
    let answered = async {
        let services =
            [ORDER_GET, INVENTORY_GET, CUSTOMER_GET].map(|pattern| answered(&*rpc, pattern, deadline));
        futures::future::join_all(services).await;
        while !api.subscriptions_are_available() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = answered => {}
        () = deadline.passed() => tracing::warn!("ready before every service has answered"),
    }
    condition.set(true);
}

/// Sends empty requests until one is answered, with success or failure.
async fn answered(rpc: &dyn RpcClient, pattern: &str, deadline: Deadline) {
    let nothing: [(); 0] = [];
    loop {
        let answer = request::<_, Vec<serde::de::IgnoredAny>>(rpc, pattern, &nothing, deadline).await;
        match answer {
            Ok(_) | Err(RequestError::Answered(_)) => return,
            Err(error) => tracing::debug!(%error, "service not answering yet"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
