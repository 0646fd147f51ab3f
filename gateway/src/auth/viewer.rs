//! Who calls, and what their token allows.

use std::{collections::BTreeSet, fmt, ops::Deref, str::FromStr, sync::Arc};

use async_graphql::Context;
use chrono::{DateTime, Utc};
use schema::{ids::CustomerId, order_messages::OrderScope};

use super::CurrentViewer;
use crate::query::{ErrorCode, GraphqlError};

/// The customer whose valid token came with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// The token's `sub`: 1 to 64 characters without control characters.
    pub customer_id: CustomerId,
    pub scopes: Scopes,
    /// When the token ends. A socket is closed at this instant.
    pub expires_at: DateTime<Utc>,
}

impl Viewer {
    pub fn can(&self, scope: Scope) -> bool {
        self.scopes.0.contains(&scope)
    }

    /// The viewer of an operation, by the newest token that came for it; UNAUTHENTICATED if none did.
    pub(crate) fn from_context<'a>(ctx: &Context<'a>) -> Result<ContextViewer<'a>, GraphqlError> {
        if let Some(Some(current)) = ctx.data_opt::<Option<CurrentViewer>>() {
            return Ok(ContextViewer::Current(current.get()));
        }
        let viewer = ctx.data_opt::<Option<Self>>().and_then(Option::as_ref).map(ContextViewer::Request);
        viewer.ok_or_else(|| ErrorCode::Unauthenticated.error("a bearer token is required"))
    }

    /// FORBIDDEN unless the token carries this scope.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), GraphqlError> {
        let missing = || ErrorCode::Forbidden.error(format!("the token needs the scope {scope}"));
        self.can(scope).then_some(()).ok_or_else(missing)
    }

    /// Whose orders the viewer can see and change.
    pub(crate) fn order_scope(&self) -> OrderScope {
        let own = || OrderScope::Customer { customer_id: self.customer_id.clone() };
        if self.can(Scope::OrdersAll) { OrderScope::Any } else { own() }
    }

    /// Whose orders the arguments name: all customers', the named customer's, or else the viewer's own; FORBIDDEN if the
    /// viewer can't see them.
    pub(crate) fn named_scope(
        &self,
        customer_id: Option<&str>,
        all_customers: bool,
    ) -> Result<OrderScope, GraphqlError> {
        if !all_customers {
            return Ok(OrderScope::Customer { customer_id: self.default_to_caller(customer_id)? });
        }
        self.require(Scope::OrdersAll)?;
        match customer_id {
            Some(_) => Err(ErrorCode::BadUserInput.error("give customerId or allCustomers, not both")),
            None => Ok(OrderScope::Any),
        }
    }

    /// The customer that an argument names, or else the viewer; FORBIDDEN if the viewer can't see that customer's orders.
    fn default_to_caller(&self, named: Option<&str>) -> Result<CustomerId, GraphqlError> {
        let Some(named) = named else { return Ok(self.customer_id.clone()) };
        if named != self.customer_id.as_str() {
            self.require(Scope::OrdersAll)?;
        }
        named.parse().map_err(|error| ErrorCode::BadUserInput.error(format!("customerId {error}")))
    }
}

/// The viewer of an operation.
pub(crate) enum ContextViewer<'a> {
    Request(&'a Viewer),
    Current(Arc<Viewer>),
}

impl Deref for ContextViewer<'_> {
    type Target = Viewer;

    fn deref(&self) -> &Viewer {
        match self {
            Self::Request(viewer) => viewer,
            Self::Current(viewer) => viewer,
        }
    }
}

/// A permission that a token may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Read the subject's own orders and customer record.
    OrdersRead,
    /// Create, cancel and delete orders, change their address.
    OrdersWrite,
    /// Change an order's status and tracking.
    OrdersFulfil,
    /// Read and change the orders of every customer.
    OrdersAll,
}

impl Scope {
    const ALL: [Self; 4] = [Self::OrdersRead, Self::OrdersWrite, Self::OrdersFulfil, Self::OrdersAll];
}

/// The scope as tokens spell it.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OrdersRead => "orders:read",
            Self::OrdersWrite => "orders:write",
            Self::OrdersFulfil => "orders:fulfil",
            Self::OrdersAll => "orders:all",
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("unknown scope, expected one of orders:read, orders:write, orders:fulfil, orders:all")]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.to_string() == text).ok_or(UnknownScope)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Reads a space-separated `scope` claim; scopes that the gateway doesn't know are ignored.
    pub fn from_claim(claim: &str) -> Self {
        claim.split_ascii_whitespace().filter_map(|name| name.parse().ok()).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

/// The set as a `scope` claim.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(Scope::to_string).collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_claim_keeps_known_scopes_and_ignores_the_rest() {
        let scopes = Scopes::from_claim("openid orders:read  orders:fulfil orders:everything");
        assert_eq!(scopes.to_string(), "orders:read orders:fulfil");
        assert!(!scopes.0.contains(&Scope::OrdersAll));
    }
}
