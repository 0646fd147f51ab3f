use std::sync::Arc;

use async_graphql::{
    Data, Request, Response,
    extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute},
};

use crate::auth::Viewer;

/// Puts into each operation's request what its resolvers look up: the caller, at the least.
///
/// Called once per operation, a subscription being one. What must be fresh for each of a
/// subscription's events, such as data loaders, comes from [`PerExecution`].
pub trait RequestData: Send + Sync + 'static {
    /// The request with its data.
    fn attach(&self, request: Request, caller: &Option<Viewer>) -> Request;
}

impl<F> RequestData for F
where
    F: Fn(Request, &Option<Viewer>) -> Request + Send + Sync + 'static,
{
    fn attach(&self, request: Request, caller: &Option<Viewer>) -> Request {
        self(request, caller)
    }
}

/// A schema extension that gives each execution fresh data: each query, each mutation, and each
/// event of a subscription. Data loaders belong here: one that lived as long as its subscription
/// would answer from its cache what has long changed.
pub struct PerExecution<F>(Arc<F>);

impl<F> PerExecution<F>
where
    F: Fn(&ExtensionContext<'_>) -> Data + Send + Sync + 'static,
{
    /// Makes the data of each execution with `make`, which can read the request's own data.
    pub fn new(make: F) -> Self {
        Self(Arc::new(make))
    }
}

impl<F> ExtensionFactory for PerExecution<F>
where
    F: Fn(&ExtensionContext<'_>) -> Data + Send + Sync + 'static,
{
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self(Arc::clone(&self.0)))
    }
}

#[async_trait::async_trait]
impl<F> Extension for PerExecution<F>
where
    F: Fn(&ExtensionContext<'_>) -> Data + Send + Sync + 'static,
{
    async fn execute(
        &self,
        ctx: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        let data = (self.0)(ctx);
        next.run_with_data(ctx, operation_name, data).await
    }
}
