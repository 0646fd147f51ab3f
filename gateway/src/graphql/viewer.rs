use async_graphql::Context;
use schema::ids::CustomerId;

use crate::auth::{Caller, Scope, Scopes};
use crate::orders::Reach;
use crate::query::{ErrorCode, GraphqlError};

/// The signed-in customer, as resolvers ask what they may do.
pub(crate) struct SignedIn {
    pub(crate) customer_id: CustomerId,
    scopes: Scopes,
}

impl SignedIn {
    /// UNAUTHENTICATED where no token came with the operation.
    pub(crate) fn of(ctx: &Context<'_>) -> Result<Self, GraphqlError> {
        let viewer = ctx.data_opt::<Caller>().and_then(Caller::viewer);
        let signed_in = viewer.and_then(|viewer| {
            let customer_id = viewer.customer_id.parse().ok()?;
            Some(Self { customer_id, scopes: viewer.scopes })
        });
        signed_in.ok_or_else(|| ErrorCode::Unauthenticated.error("this needs a token"))
    }

    /// Whether the token has this scope.
    pub(crate) fn can(&self, scope: Scope) -> bool {
        self.scopes.contains(scope)
    }

    /// FORBIDDEN where the token doesn't have this scope.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), GraphqlError> {
        if self.can(scope) {
            return Ok(());
        }
        Err(ErrorCode::Forbidden.error(format!("this needs the scope {scope}")))
    }

    /// Whose orders are in reach.
    pub(crate) fn reach(&self) -> Reach {
        if self.can(Scope::OrdersAll) { Reach::Anybody } else { Reach::Of(self.customer_id.clone()) }
    }

    /// The customer that an argument names, or else oneself; FORBIDDEN where that is beyond reach.
    pub(crate) fn or_oneself(&self, named: Option<&str>) -> Result<CustomerId, GraphqlError> {
        let Some(named) = named else { return Ok(self.customer_id.clone()) };
        if named != self.customer_id.as_str() {
            self.require(Scope::OrdersAll)?;
        }
        named.parse().map_err(|error| ErrorCode::BadUserInput.error(format!("customerId {error}")))
    }
}
