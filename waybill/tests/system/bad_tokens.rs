//! Tokens that the gateway refuses.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::Received;

use crate::kit::{Gateway, Token, on_both};

on_both!(
    a_bad_token_is_refused_over_http_and_websocket_and_places_nothing,
    a_socket_is_closed_when_its_token_ends
);

fn bad_tokens() -> Vec<(&'static str, String)> {
    let good = Token::of("CUST01").sign();
    let (head, tail) = good.rsplit_once('.').unwrap();
    let other_payload = Token::of("CUST02").sign();
    let grafted =
        format!("{}.{}.{tail}", head.split('.').next().unwrap(), other_payload.split('.').nth(1).unwrap());
    vec![
        ("expired", Token::of("CUST01").claiming("exp", 1_000_000_000).sign()),
        ("without an expiry", Token::of("CUST01").without("exp").sign()),
        ("not yet valid", Token::of("CUST01").claiming("nbf", 4_000_000_000_u64).sign()),
        ("wrongly signed", Token::of("CUST01").signed_with("another secret").sign()),
        ("unsigned", Token::of("CUST01").unsigned()),
        ("without its signature", format!("{head}.")),
        ("of another's payload", grafted),
        ("without a subject", Token::of("CUST01").without("sub").sign()),
        ("of an empty subject", Token::of("").sign()),
        ("of a subject too long", Token::of(&"x".repeat(65)).sign()),
        ("of a subject with a NUL", Token::of("CUST01\u{0}").sign()),
        ("no token", "nonsense".to_owned()),
        ("far too long", "x".repeat(7_000)),
    ]
}

async fn a_bad_token_is_refused_over_http_and_websocket_and_places_nothing(gateway: Gateway) {
    let create = "mutation { createOrder(input: { items: [{ productId: \"PROD01\", quantity: 1 }] }) { order { id } } }";
    for (kind, token) in bad_tokens() {
        let bearer = gateway.bearer(&token);
        for query in [create, "{ products { nodes { id } } }"] {
            let reply = bearer.sends(query, json!({})).await;
            assert_eq!(
                (reply.status, reply.code()),
                (401, Some("UNAUTHENTICATED")),
                "{kind} {:#}",
                reply.body
            );
            assert!(reply.body.get("data").is_none(), "{kind}");
        }
        let mut socket = gateway.socket().await;
        let payload = json!({ "Authorization": format!("Bearer {token}") });
        socket.send(json!({ "type": "connection_init", "payload": payload })).await;
        assert!(matches!(socket.receive().await, Received::Closed(Some((4403, _)))), "{kind}");
    }
    assert!(gateway.customer("CUST01").lists().await.is_empty(), "nothing was placed");
    let basic = gateway.request(Method::POST, "/graphql").header("authorization", "Basic Q1VTVDAx");
    let refused = basic.json(&json!({ "query": "{ me { id } }" })).send().await.unwrap();
    assert_eq!(refused.status(), 401);
}

async fn a_socket_is_closed_when_its_token_ends(gateway: Gateway) {
    let soon = now() + 3;
    let mut socket = gateway.socket().await;
    let token = Token::of("CUST01").claiming("exp", soon).sign();
    socket.init(json!({ "Authorization": format!("Bearer {token}") })).await;
    socket.subscribe("1", "subscription { orderUpdated { kind } }").await;
    assert_eq!(socket.closed().await.0, 4403);
    let late = gateway.bearer(&Token::of("CUST01").claiming("exp", soon - 60).sign());
    let late = late.sends("{ me { id } }", json!({})).await;
    assert_eq!((late.status, &late.body["data"]), (401, &Value::Null));
}

#[expect(clippy::disallowed_methods, reason = "the token has to expire by the gateway's own clock")]
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
