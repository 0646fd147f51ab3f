use std::fs;

use anyhow::Context;
use async_trait::async_trait;
use bus::deadline::Deadline;
use bus::failure::{Failure, FailureCode};
use bus::rpc_client::{RequestError, RpcClient};
use serde_json::Value;
use serde_json::value::RawValue;
use service_kit::admin::ADMIN_REQUEST_PATH;

use super::PATIENCE;
use super::question::{Question, Whereabouts};
use crate::data_dir::DataDir;
use crate::http;

/// A shop that another process runs, asked through its admin port.
pub(super) struct RunningShop {
    client: reqwest::Client,
    whereabouts: Whereabouts,
}

impl RunningShop {
    /// The process that has DATA_DIR, as it has written down.
    pub(super) fn find(data_dir: &DataDir) -> anyhow::Result<Self> {
        let path = data_dir.desk_file();
        let unreadable =
            || format!("another process has DATA_DIR, and {} doesn't tell where it is", path.display());
        let text = fs::read_to_string(&path).with_context(unreadable)?;
        let whereabouts = serde_json::from_str(&text).with_context(unreadable)?;
        Ok(Self { client: http::client(PATIENCE)?, whereabouts })
    }
}

#[async_trait]
impl RpcClient for RunningShop {
    async fn call(
        &self,
        pattern: &str,
        data: Box<RawValue>,
        deadline: Deadline,
    ) -> Result<Box<RawValue>, RequestError> {
        let unavailable = |reason: String| RequestError::Unavailable { pattern: pattern.to_owned(), reason };
        let answer = self
            .client
            .post(format!("http://{}{ADMIN_REQUEST_PATH}", self.whereabouts.address))
            .bearer_auth(&self.whereabouts.secret)
            .timeout(deadline.remaining())
            .json(&Question::Ask { pattern: pattern.to_owned(), data })
            .send()
            .await
            .map_err(|error| match error.is_timeout() {
                true => RequestError::DeadlineExceeded { pattern: pattern.to_owned() },
                false => unavailable(format!("no answer from {}: {error}", self.whereabouts.address)),
            })?;
        let status = answer.status();
        let body = answer.text().await.map_err(|error| unavailable(error.to_string()))?;
        if status.is_success() {
            return RawValue::from_string(body).map_err(|error| unavailable(error.to_string()));
        }
        let told: Value = serde_json::from_str(&body).unwrap_or_default();
        let reason = told["error"].as_str().map_or_else(|| status.to_string(), str::to_owned);
        Err(RequestError::Answered(Failure::new(FailureCode::Internal, reason)))
    }
}
