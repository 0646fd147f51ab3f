//! Tokens that are none of ours.

use serde_json::{Value, json};

use crate::kit::{Said, Shop, Token, on_both};

on_both!(a_bad_token_is_refused_on_both_doors_and_places_nothing, a_socket_is_closed_when_its_token_ends);

fn bad_tokens() -> Vec<(&'static str, String)> {
    let good = Token::of("CUST01").sign();
    let (head, tail) = good.rsplit_once('.').unwrap();
    let other_payload = Token::of("CUST02").sign();
    let grafted =
        format!("{}.{}.{tail}", head.split('.').next().unwrap(), other_payload.split('.').nth(1).unwrap());
    vec![
        ("expired", Token::of("CUST01").claiming("exp", 1_000_000_000).sign()),
        ("without an end", Token::of("CUST01").without("exp").sign()),
        ("not yet good", Token::of("CUST01").claiming("nbf", 4_000_000_000_u64).sign()),
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

async fn a_bad_token_is_refused_on_both_doors_and_places_nothing(shop: Shop) {
    let create = "mutation { createOrder(input: { items: [{ productId: \"PROD01\", quantity: 1 }] }) { order { id } } }";
    for (kind, token) in bad_tokens() {
        let bearer = shop.bearer_of_text(&token);
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
        let mut socket = shop.socket().await;
        socket.introduces_itself(Some(&token)).await;
        assert!(matches!(socket.hears().await, Said::Closed(Some(4403))), "{kind}");
    }
    assert!(shop.customer("CUST01").lists().await.is_empty(), "nothing was placed");
    let basic =
        shop.post(json!({ "query": "{ me { id } }" }).to_string()).header("content-type", "application/json");
    assert_eq!(basic.header("authorization", "Basic Q1VTVDAx").send().await.unwrap().status(), 401);
}

async fn a_socket_is_closed_when_its_token_ends(shop: Shop) {
    let soon = now() + 3;
    let mut socket = shop.socket().await;
    socket.signs_in(Some(&Token::of("CUST01").claiming("exp", soon).sign())).await;
    let follow = json!({ "query": "subscription { orderUpdated { kind } }" });
    socket.says(json!({ "id": "1", "type": "subscribe", "payload": follow })).await;
    assert_eq!(socket.close_code().await, Some(4403));
    let late =
        shop.bearer(Token::of("CUST01").claiming("exp", soon - 60)).sends("{ me { id } }", json!({})).await;
    assert_eq!((late.status, &late.body["data"]), (401, &Value::Null));
}

#[expect(clippy::disallowed_methods, reason = "the token has to end by the clock that the gateway goes by")]
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
