use bus::clock::Deadline;
use bus::failure::{Failure, FailureCode};
use bus::rpc_client::{RequestError, RpcClient, request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// How long answers are waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patience {
    /// All requests of one operation share this deadline.
    Until(Deadline),
    /// Each request has so long: for what goes on without end, as a subscription does.
    Each(Duration),
}

/// The services, as one operation asks them.
#[derive(Clone)]
pub(crate) struct Backend {
    rpc: Arc<dyn RpcClient>,
    patience: Patience,
}

impl Backend {
    pub(crate) fn new(rpc: Arc<dyn RpcClient>, patience: Patience) -> Self {
        Self { rpc, patience }
    }

    /// Until when an answer to a request made now is of use.
    pub(crate) fn deadline(&self) -> Deadline {
        match self.patience {
            Patience::Until(deadline) => deadline,
            Patience::Each(limit) => Deadline::after(limit),
        }
    }

    /// Asks for several things of one kind at once; answers them in the order asked. Nothing is sent past the deadline.
    pub(crate) async fn ask_each<Q, R>(&self, pattern: &str, questions: &[Q]) -> Result<Vec<R>, RequestError>
    where
        Q: Serialize + Sync,
        R: DeserializeOwned,
    {
        let deadline = self.deadline();
        if deadline.has_passed() {
            let message = format!("{pattern}: not sent, the operation has taken too long already");
            return Err(RequestError::Answered(Failure::new(FailureCode::DeadlineExceeded, message)));
        }
        let answers: Vec<R> = request(&*self.rpc, pattern, &questions, deadline).await?;
        if answers.len() == questions.len() {
            return Ok(answers);
        }
        let message = format!("{pattern}: {} questions, {} answers", questions.len(), answers.len());
        Err(RequestError::Answered(Failure::new(FailureCode::Internal, message)))
    }

    /// Asks for one thing.
    pub(crate) async fn ask_one<Q, R>(&self, pattern: &str, question: &Q) -> Result<R, RequestError>
    where
        Q: Serialize + Sync,
        R: DeserializeOwned,
    {
        let mut answers = self.ask_each(pattern, std::slice::from_ref(&question)).await?;
        Ok(answers.pop().expect("there are as many answers as questions"))
    }

    /// The same services with less time, if `limit` from now is earlier.
    pub(crate) fn hurried(&self, limit: Duration) -> Self {
        let patience = Patience::Until(self.deadline().at_most(limit));
        Self { rpc: Arc::clone(&self.rpc), patience }
    }
}
