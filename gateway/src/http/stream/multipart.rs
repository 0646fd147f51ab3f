//! Multipart subscriptions (<https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol>).

use async_graphql::ServerError;
use serde::Serialize;

use super::{Part, Refused, json};

pub(super) const CONTENT_TYPE: &str = "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0";

#[derive(Serialize)]
struct Payload<T> {
    payload: T,
}

/// A fault of the transport, after which there are no more results.
#[derive(Serialize)]
struct TransportErrors<'a> {
    payload: (),
    errors: &'a [ServerError],
}

pub(super) fn opening() -> String {
    "\r\n--graphql".to_owned()
}

/// Each part ends with the boundary of the next one: clients read a part when they have seen what follows it.
pub(super) fn write(part: &Part<'_>) -> String {
    let part_of = |json: String| format!("\r\ncontent-type: application/json\r\n\r\n{json}\r\n--graphql");
    match part {
        Part::Heartbeat => part_of("{}".to_owned()),
        Part::Next { result, .. } => part_of(json(&Payload { payload: result })),
        Part::Refused(errors) => part_of(json(&Payload { payload: Refused { errors } })),
        Part::Complete => "--\r\n".to_owned(),
        Part::Interrupted(errors) => part_of(json(&TransportErrors { payload: (), errors })) + "--\r\n",
    }
}
