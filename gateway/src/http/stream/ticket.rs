//! Tickets for browsers, whose EventSource sends no headers: a page that has a token gets a ticket, which goes into the
//! URL in the token's place, opens one event stream within a minute, and is worth nothing afterwards.
//!
//! An EventSource connects again to the same URL. So that it can, the response that a ticket opens sets a cookie with the
//! token, for this URL alone and out of the page's reach.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_graphql::Executor;
use axum::Json;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use schema::ids::CustomerId;
use serde_json::json;
use tokio::time::Instant;

use crate::auth::Viewer;
use crate::http::Shared;
use crate::http::response::{HttpError, ResponseFormat};
use crate::query::{Trace, overloaded};

const LIFETIME: Duration = Duration::from_secs(60);

/// Tickets that wait to be used: each holds a token of at most 8 KiB.
const MAX_TICKETS: usize = 2_000;
/// Those of one customer; a further one takes the place of the oldest.
const MAX_TICKETS_OF_CUSTOMER: usize = 20;

const COOKIE: &str = "graphql-stream";

/// Browsers drop cookies of more than 4 KiB, attributes included.
const MAX_COOKIE_BYTES: usize = 3_800;

/// The tickets that were issued and not used yet. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::http) struct Tickets(Arc<Mutex<HashMap<String, Ticket>>>);

struct Ticket {
    customer_id: CustomerId,
    token: String,
    expires_at: Instant,
}

impl Tickets {
    /// Returns a ticket that stands for the token; none if too many wait to be used.
    fn issue(&self, customer_id: &CustomerId, token: String) -> Option<String> {
        let now = Instant::now();
        let mut tickets = self.lock();
        let of_customer = tickets.iter().filter(|(_, ticket)| ticket.customer_id == *customer_id);
        let of_customer: Vec<_> =
            of_customer.map(|(name, ticket)| (ticket.expires_at, name.clone())).collect();
        if of_customer.len() >= MAX_TICKETS_OF_CUSTOMER
            && let Some((_, oldest)) = of_customer.into_iter().min()
        {
            tickets.remove(&oldest);
        }
        if tickets.len() >= MAX_TICKETS {
            tickets.retain(|_, ticket| ticket.expires_at > now);
        }
        if tickets.len() >= MAX_TICKETS {
            return None;
        }
        let ticket = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>());
        let customer_id = customer_id.clone();
        tickets.insert(ticket.clone(), Ticket { customer_id, token, expires_at: now + LIFETIME });
        Some(ticket)
    }

    /// Takes a ticket's token, once.
    fn redeem(&self, ticket: &str) -> Option<String> {
        let ticket = self.lock().remove(ticket)?;
        (ticket.expires_at > Instant::now()).then_some(ticket.token)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Ticket>> {
        // Nothing panics while holding the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves POST `/graphql/tickets`: a ticket for the request's token.
pub(in crate::http) async fn issue_ticket<E: Executor>(
    State(shared): State<Arc<Shared<E>>>,
    headers: HeaderMap,
) -> Response {
    let issued = async {
        let authorization = headers.get(header::AUTHORIZATION).ok_or(HttpError::BadToken)?;
        let authorization = authorization.to_str().map_err(|_| HttpError::BadToken)?;
        let viewer = shared.authenticator.authenticate(Some(authorization)).await?;
        let viewer = viewer.ok_or(HttpError::BadToken)?;
        shared.rate_limits.check_viewer(Some(&viewer), 1).map_err(HttpError::RateLimited)?;
        let token = authorization.trim().split_once(' ').map_or("", |(_, token)| token.trim());
        let ticket = shared.tickets.issue(&viewer.customer_id, token.to_owned());
        ticket.ok_or_else(|| overloaded("too many tickets wait to be used").into())
    };
    match issued.await {
        Ok(ticket) => {
            let url = format!("/graphql/stream/{ticket}");
            let issued = json!({ "ticket": ticket, "url": url, "expiresIn": LIFETIME.as_secs() });
            let no_store = [(header::CACHE_CONTROL, "no-store")];
            (StatusCode::CREATED, no_store, Json(issued)).into_response()
        }
        Err(error) => HttpError::respond(error, ResponseFormat::Json, &Trace::root()),
    }
}

/// The viewer of a request whose URL has a ticket, and the cookie by which the same browser may connect again.
pub(in crate::http) async fn redeem_ticket<E: Executor>(
    shared: &Shared<E>,
    ticket: &str,
    parts: &Parts,
) -> Result<(Viewer, Option<HeaderValue>), HttpError> {
    let token = shared.tickets.redeem(ticket).or_else(|| cookie(parts).map(str::to_owned));
    let token = token.ok_or(HttpError::BadToken)?;
    let viewer = shared.authenticator.authenticate(Some(&format!("Bearer {token}"))).await?;
    let viewer = viewer.ok_or(HttpError::BadToken)?;
    let is_secure = parts.headers.get("x-forwarded-proto").is_some_and(|protocol| protocol == "https");
    let cookie = format!(
        "{COOKIE}={token}; Path={}; Max-Age={}; HttpOnly; SameSite=Strict{}",
        parts.uri.path(),
        shared.authenticator.time_left(&viewer).as_secs(),
        if is_secure { "; Secure" } else { "" },
    );
    let cookie = (cookie.len() <= MAX_COOKIE_BYTES).then(|| HeaderValue::from_str(&cookie).ok()).flatten();
    Ok((viewer, cookie))
}

fn cookie(parts: &Parts) -> Option<&str> {
    let cookies = parts.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, token)| token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_used_once_and_within_a_minute_and_tickets_are_bounded() {
        let tickets = Tickets::default();
        let customer = |number: usize| format!("CUST{number}").parse::<CustomerId>().unwrap();
        let [first, second] = ["a", "b"].map(|token| tickets.issue(&customer(0), token.into()).unwrap());
        assert_eq!(tickets.redeem(&first).as_deref(), Some("a"));
        assert_eq!(tickets.redeem(&first), None);
        tokio::time::advance(LIFETIME).await;
        assert_eq!(tickets.redeem(&second), None);
        let oldest = tickets.issue(&customer(0), "c".into()).unwrap();
        for number in 1..MAX_TICKETS {
            tokio::time::advance(Duration::from_nanos(1)).await;
            let of = customer(number / MAX_TICKETS_OF_CUSTOMER);
            assert!(tickets.issue(&of, number.to_string()).is_some());
        }
        assert!(tickets.issue(&customer(MAX_TICKETS), "d".into()).is_none());
        // A customer's further ticket takes the place of its own oldest one.
        let further = tickets.issue(&customer(0), "e".into()).unwrap();
        assert_eq!(tickets.redeem(&oldest), None);
        assert_eq!(tickets.redeem(&further).as_deref(), Some("e"));
        tokio::time::advance(LIFETIME).await;
        assert!(tickets.issue(&customer(MAX_TICKETS), "d".into()).is_some());
    }
}
