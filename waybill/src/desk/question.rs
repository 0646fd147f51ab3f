//! What is said between the operator's commands and the running process.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// How the running process is reached. It stands in a file that its owner alone can read.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Whereabouts {
    /// The admin address.
    pub(super) address: SocketAddr,
    /// What the desk asks for as a bearer token; new with each start.
    pub(super) secret: String,
}

/// A question to the running process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Question {
    /// To be passed on to a service.
    Ask {
        /// What is asked.
        pattern: String,
        /// With what.
        data: Box<RawValue>,
    },
}
