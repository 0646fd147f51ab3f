use std::{fmt, str::FromStr};

use async_graphql::Context;
use chrono::{DateTime, Utc};
use schema::ids::CustomerId;
use schema::order_messages::OrderScope;

use crate::query::{ErrorCode, GraphqlError};

/// Somebody who signed in with a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// The token's `sub`: 1 to 64 characters without control characters.
    pub customer_id: CustomerId,
    /// What the token allows.
    pub scopes: Scopes,
    /// When the token ends. A socket is closed at this instant.
    pub expires_at: DateTime<Utc>,
}

impl Viewer {
    /// Whether the token carries this scope.
    pub fn can(&self, scope: Scope) -> bool {
        self.scopes.contains(scope)
    }

    /// The viewer of an operation; UNAUTHENTICATED if no token came with it.
    pub(crate) fn from_context<'a>(ctx: &Context<'a>) -> Result<&'a Self, GraphqlError> {
        let viewer = ctx.data_opt::<Option<Self>>().and_then(Option::as_ref);
        viewer.ok_or_else(|| ErrorCode::Unauthenticated.error("this needs a token"))
    }

    /// FORBIDDEN unless the token carries this scope.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), GraphqlError> {
        if self.can(scope) {
            return Ok(());
        }
        Err(ErrorCode::Forbidden.error(format!("this needs the scope {scope}")))
    }

    /// Whose orders the viewer can see and change.
    pub(crate) fn order_scope(&self) -> OrderScope {
        if self.can(Scope::OrdersAll) {
            OrderScope::Any
        } else {
            OrderScope::Customer { customer_id: self.customer_id.clone() }
        }
    }

    /// The customer that an argument names, or else the viewer; FORBIDDEN if the viewer can't see that customer's orders.
    pub(crate) fn default_to_caller(&self, named: Option<&str>) -> Result<CustomerId, GraphqlError> {
        let Some(named) = named else { return Ok(self.customer_id.clone()) };
        if named != self.customer_id.as_str() {
            self.require(Scope::OrdersAll)?;
        }
        named.parse().map_err(|error| ErrorCode::BadUserInput.error(format!("customerId {error}")))
    }
}

/// One thing that a token may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Read one's own orders and customer record.
    OrdersRead,
    /// Create, cancel and delete orders, change their address.
    OrdersWrite,
    /// Change an order's status and tracking.
    OrdersFulfil,
    /// Reach beyond the subject's own orders.
    OrdersAll,
}

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 4] = [Self::OrdersRead, Self::OrdersWrite, Self::OrdersFulfil, Self::OrdersAll];

    /// The scope as tokens spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OrdersRead => "orders:read",
            Self::OrdersWrite => "orders:write",
            Self::OrdersFulfil => "orders:fulfil",
            Self::OrdersAll => "orders:all",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no scope.
#[derive(Debug, thiserror::Error)]
#[error("unknown scope, expected one of orders:read, orders:write, orders:fulfil, orders:all")]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// The scopes of a space-separated `scope` claim; those this gateway doesn't know are ignored.
    pub fn from_claim(claim: &str) -> Self {
        claim.split_ascii_whitespace().filter_map(|name| name.parse().ok()).collect()
    }

    /// Whether the set holds this scope.
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// The scopes in the set, in a fixed order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | scope.bit()))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { " " };
            write!(f, "{separator}{scope}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_claim_keeps_known_scopes_and_ignores_the_rest() {
        let scopes = Scopes::from_claim("openid orders:read  orders:fulfil orders:everything");
        assert_eq!(scopes.to_string(), "orders:read orders:fulfil");
        assert!(!scopes.contains(Scope::OrdersAll));
    }
}
