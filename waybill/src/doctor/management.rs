//! What RabbitMQ's management API says of the queues: their effective policies and arguments, and bindings. AMQP itself
//! does not tell them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, anyhow};
use bus::topology::{Argument, QueueKind, QueueSpec, Topology};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use service_kit::config::Secret;

use crate::admin::http_client;

/// How long the API may take to answer one question.
const LIMIT: Duration = Duration::from_secs(10);
/// Requests that wait for less are expired by a policy before their own deadlines usually would.
const REQUESTS_TTL_MIN_MS: u64 = 60_000;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManagementStatus {
    /// Why the API gave no answer.
    pub(super) fault: Option<String>,
    pub(super) deviations: Vec<Deviation>,
}

/// How queues differ from what is declared, or what a policy makes of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Deviation {
    /// The policies that cause it; none if it is in the declaration.
    pub(super) policy: Option<String>,
    pub(super) what: String,
    pub(super) queues: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct ManagedQueue {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    arguments: Map<String, Value>,
    policy: Option<String>,
    operator_policy: Option<String>,
    /// A map, or an empty list for none.
    #[serde(default)]
    effective_policy_definition: Value,
}

#[derive(Debug, Clone, Deserialize)]
struct ManagedBinding {
    source: String,
    destination: String,
    routing_key: String,
}

/// Asks the management API at `url` about the topology in a virtual host.
pub(super) async fn management(url: &Secret, virtual_host: &str, topology: &Topology) -> ManagementStatus {
    let asking = async {
        let queues: Vec<ManagedQueue> = get(url, "queues", virtual_host).await?;
        let bindings: Vec<ManagedBinding> = get(url, "bindings", virtual_host).await?;
        anyhow::Ok(deviations(topology, &queues, &bindings))
    };
    match asking.await {
        Ok(deviations) => ManagementStatus { fault: None, deviations },
        Err(error) => ManagementStatus { fault: Some(format!("{error:#}")), deviations: Vec::new() },
    }
}

async fn get<T: DeserializeOwned>(url: &Secret, what: &str, virtual_host: &str) -> anyhow::Result<T> {
    let mut url =
        reqwest::Url::parse(url.expose()).map_err(|_| anyhow!("RABBITMQ_MANAGEMENT_URL is no URL"))?;
    url.path_segments_mut()
        .map_err(|()| anyhow!("RABBITMQ_MANAGEMENT_URL is no URL"))?
        .pop_if_empty()
        .extend(["api", what, virtual_host]);
    let response = http_client(LIMIT)?.get(url).send().await;
    // Its text would repeat the URL, which may contain a password.
    let response = response.map_err(|error| anyhow::Error::new(error.without_url()).context("no answer"))?;
    let status = response.status();
    anyhow::ensure!(
        status.is_success(),
        "it answers {status}: the user needs the tag `monitoring`, and access to the virtual host {virtual_host}"
    );
    response.json().await.map_err(reqwest::Error::without_url).context("it is no management API")
}

fn deviations(topology: &Topology, queues: &[ManagedQueue], bindings: &[ManagedBinding]) -> Vec<Deviation> {
    let mut found: BTreeMap<(Option<String>, String), Vec<String>> = BTreeMap::new();
    for spec in topology.queues() {
        // One that does not exist is found otherwise.
        let Some(queue) = queues.iter().find(|queue| queue.name == spec.name) else { continue };
        for what in differing(&spec, queue) {
            found.entry((None, what)).or_default().push(spec.name.clone());
        }
        let policies: Vec<&str> =
            [&queue.policy, &queue.operator_policy].into_iter().flatten().map(String::as_str).collect();
        for what in weakened(&spec, &queue.effective_policy_definition) {
            found.entry((Some(policies.join(", ")), what)).or_default().push(spec.name.clone());
        }
    }
    for binding in topology.bindings() {
        let is_there = bindings.iter().any(|there| {
            (&there.source, &there.destination, &there.routing_key)
                == (&binding.exchange, &binding.queue, &binding.routing_key)
        });
        if !is_there && queues.iter().any(|queue| queue.name == binding.queue) {
            let what = format!("it is not bound to {} by {}", binding.exchange, binding.routing_key);
            found.entry((None, what)).or_default().push(binding.queue);
        }
    }
    found.into_iter().map(|((policy, what), queues)| Deviation { policy, what, queues }).collect()
}

/// How the queue's declaration differs from ours: the administrator, or another version, may have declared it.
fn differing(spec: &QueueSpec, queue: &ManagedQueue) -> Vec<String> {
    let mut differing = Vec::new();
    for (name, wanted) in spec.arguments() {
        let wanted = match wanted {
            Argument::Text(text) => Value::String(text),
            Argument::Number(number) => Value::from(number),
        };
        let actual = match name {
            "x-queue-type" => Some(Value::String(queue.kind.clone())),
            name => queue.arguments.get(name).cloned(),
        };
        if actual.as_ref() != Some(&wanted) {
            let actual = actual.map_or_else(|| "not set".to_owned(), |actual| actual.to_string());
            differing.push(format!("{name} is {actual}, not {wanted}"));
        }
    }
    differing
}

/// What a policy adds to the queue that makes it lose, or set aside, what it should keep. Measured on RabbitMQ 3.10: of a
/// bound in a policy and in an argument the lower holds, a policy's overflow beats the argument, and the arguments of
/// dead-lettering beat a policy's.
fn weakened(spec: &QueueSpec, policy: &Value) -> Vec<String> {
    let number = |key: &str| policy.get(key).and_then(Value::as_u64);
    let mut weakened = Vec::new();
    if let Some(ttl) = number("message-ttl") {
        let own = spec.message_ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        let is_harmless = match spec.kind {
            QueueKind::Requests => ttl >= REQUESTS_TTL_MIN_MS,
            // A retry comes sooner.
            QueueKind::Work => own.is_some(),
        };
        if !is_harmless {
            weakened.push(format!("messages expire after {ttl} ms"));
        }
    }
    if let Some(expires) = number("expires") {
        weakened
            .push(format!("the queue is deleted with its messages after {expires} ms without a consumer"));
    }
    if let Some(length) = number("max-length").filter(|&length| length < spec.max_length.into()) {
        weakened.push(format!("it holds {length} messages at most"));
    }
    if let Some(bytes) = number("max-length-bytes") {
        weakened.push(format!("it holds {bytes} bytes at most"));
    }
    if let Some(overflow) =
        policy.get("overflow").and_then(Value::as_str).filter(|&is| is != "reject-publish")
    {
        weakened.push(format!("if it is full it drops messages that were confirmed (overflow {overflow})"));
    }
    let limit = number("delivery-limit").filter(|&limit| limit < bus::topology::DELIVERY_LIMIT.into());
    if let Some(limit) = limit.filter(|_| spec.kind == QueueKind::Work) {
        weakened.push(format!("it gives a message up after {limit} deliveries"));
    }
    weakened
}

#[cfg(test)]
mod tests {
    use bus::topology::RetryDelays;
    use serde_json::json;

    use super::*;

    fn topology() -> Topology {
        Topology::new("waybill", RetryDelays([Duration::from_secs(1)].into()))
    }

    fn managed(policy: &Value) -> Vec<ManagedQueue> {
        let queue = |spec: QueueSpec| ManagedQueue {
            kind: if spec.kind == QueueKind::Work { "quorum" } else { "classic" }.to_owned(),
            arguments: spec
                .arguments()
                .into_iter()
                .map(|(name, value)| (name.to_owned(), serde_json::to_value(value).unwrap()))
                .collect(),
            name: spec.name,
            policy: Some("x".to_owned()),
            operator_policy: None,
            effective_policy_definition: policy.clone(),
        };
        topology().queues().into_iter().map(queue).collect()
    }

    fn bound() -> Vec<ManagedBinding> {
        let bindings = topology().bindings().into_iter();
        bindings
            .map(|it| ManagedBinding {
                source: it.exchange,
                destination: it.queue,
                routing_key: it.routing_key,
            })
            .collect()
    }

    #[test]
    fn what_is_as_declared_or_only_stricter_is_no_deviation() {
        for policy in [
            json!([]),
            json!({}),
            json!({"max-length": 2_000_000, "overflow": "reject-publish", "delivery-limit": 200_000}),
            json!({"dead-letter-exchange": "elsewhere", "queue-leader-locator": "balanced"}),
        ] {
            assert_eq!(deviations(&topology(), &managed(&policy), &bound()), [], "{policy}");
        }
    }

    #[test]
    fn each_weakening_policy_is_named_once_with_its_queues() {
        for (policy, what, queues) in [
            // Not the retry queues.
            (json!({"message-ttl": 3_000}), "messages expire after 3000 ms", 7),
            (json!({"message-ttl": 3_600_000}), "messages expire after 3600000 ms", 4),
            (json!({"expires": 1_800_000}), "deleted with its messages after 1800000 ms", 9),
            (json!({"max-length": 20_000}), "it holds 20000 messages at most", 6),
            (json!({"max-length-bytes": 9}), "it holds 9 bytes at most", 9),
            (json!({"overflow": "drop-head"}), "drops messages that were confirmed (overflow drop-head)", 9),
            (json!({"delivery-limit": 20}), "it gives a message up after 20 deliveries", 6),
        ] {
            let found = deviations(&topology(), &managed(&policy), &bound());
            let [only] = &found[..] else { panic!("{policy}: {found:?}") };
            assert!(only.what.contains(what), "{only:?}");
            assert_eq!((only.policy.as_deref(), only.queues.len()), (Some("x"), queues), "{only:?}");
        }
    }

    #[test]
    fn another_declaration_and_a_missing_binding_are_deviations() {
        let mut queues = managed(&json!([]));
        queues[0].kind = "quorum".to_owned();
        queues[3].arguments.remove("x-dead-letter-strategy");
        let found = deviations(&topology(), &queues, &[]);
        let whats: Vec<(&str, &str)> =
            found.iter().map(|found| (found.what.as_str(), found.queues[0].as_str())).collect();
        assert_eq!(
            whats,
            [
                (
                    "it is not bound to waybill.dead-letter by waybill.inventory.order-events.dead",
                    "waybill.inventory.order-events.dead"
                ),
                (
                    "it is not bound to waybill.dead-letter by waybill.order.commands.dead",
                    "waybill.order.commands.dead"
                ),
                ("it is not bound to waybill.events by order.#", "waybill.inventory.order-events"),
                ("x-dead-letter-strategy is not set, not \"at-least-once\"", "waybill.order.commands"),
                ("x-queue-type is \"quorum\", not \"classic\"", "waybill.order.requests"),
            ]
        );
    }
}
