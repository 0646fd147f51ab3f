//! Answers the operator's questions where the system is.

use std::sync::Arc;

use async_trait::async_trait;
use bus::deadline::Deadline;
use bus::failure::{Failure, FailureCode};
use bus::rpc_client::{RequestError, RpcClient};
use bus::transport::SharedTransport;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use store::Database;

use super::dead_letters;
use super::doctor;

/// List, replay or discard dead letters: a [`dead_letters::Errand`] → [`bus::dead_letters::Handled`].
pub(crate) const DEAD_LETTERS: &str = "operator.dead-letters";
/// Look at everything that can be looked at: null → [`doctor::Examined`].
pub(crate) const EXAMINE: &str = "operator.examine";

/// A system's side of the tools: questions of their own are answered from the broker and the databases themselves, all
/// others are passed on to the services.
pub(crate) struct Counter {
    transport: SharedTransport,
    services: Option<Arc<dyn RpcClient>>,
    databases: Vec<Database>,
}

impl Counter {
    /// In front of these services, and beside whatever of their databases is within reach.
    pub(crate) fn new(
        transport: SharedTransport,
        services: Arc<dyn RpcClient>,
        databases: Vec<Database>,
    ) -> Self {
        Self { transport, services: Some(services), databases }
    }

    /// In front of a broker alone.
    pub(super) fn without_services(transport: SharedTransport) -> Self {
        Self { transport, services: None, databases: Vec::new() }
    }
}

#[async_trait]
impl RpcClient for Counter {
    async fn call(
        &self,
        pattern: &str,
        data: Box<RawValue>,
        deadline: Deadline,
    ) -> Result<Box<RawValue>, RequestError> {
        let answering = async {
            match pattern {
                DEAD_LETTERS => {
                    let done = dead_letters::run_errand(&self.transport, read(&data)?).await;
                    write(&done.map_err(|error| fault(FailureCode::Unavailable, error))?)
                }
                EXAMINE => {
                    write(&doctor::examine(&self.transport, self.services.as_deref(), &self.databases).await)
                }
                _ => match &self.services {
                    Some(services) => services.call(pattern, data, deadline).await,
                    None => {
                        let reason = "the services are not running".to_owned();
                        Err(RequestError::Unavailable { pattern: pattern.to_owned(), reason })
                    }
                },
            }
        };
        let too_late = || Err(RequestError::DeadlineExceeded { pattern: pattern.to_owned() });
        tokio::time::timeout(deadline.remaining(), answering).await.unwrap_or_else(|_| too_late())
    }
}

fn read<T: DeserializeOwned>(data: &RawValue) -> Result<T, RequestError> {
    serde_json::from_str(data.get()).map_err(|error| fault(FailureCode::Undecodable, error))
}

fn write<T: Serialize>(answer: &T) -> Result<Box<RawValue>, RequestError> {
    to_raw_value(answer).map_err(|error| fault(FailureCode::Internal, error))
}

fn fault(code: FailureCode, error: impl std::fmt::Display) -> RequestError {
    RequestError::Answered(Failure::new(code, error.to_string()))
}
