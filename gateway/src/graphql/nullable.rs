use async_graphql::OutputType;

use crate::query::GraphqlError;

/// What a nullable field that can fail returns: null with an error at the field's own path, and everything around it
/// kept.
///
/// In async-graphql 8.0.0-rc.5 a field that returns `Result<Option<T>>` takes its parents down when it fails, nullable
/// or not, and so does one with a guard.
pub(crate) type Nullable<T> = Option<Result<T, GraphqlError>>;

/// Runs a nullable field's resolver.
pub(crate) async fn nullable<T: OutputType>(
    resolver: impl Future<Output = Result<Option<T>, GraphqlError>>,
) -> Nullable<T> {
    resolver.await.transpose()
}
