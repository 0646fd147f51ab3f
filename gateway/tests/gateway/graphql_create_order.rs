//! Placing orders: what is checked, what is sent, and what is answered when how much is known.

use bus::rpc_client::RequestError;
use bus::transport::PublishError;
use serde_json::{Value, json};

use crate::kit::{CommandOutcome, TestApi, ada, errors, test_api, unavailable, viewer};

const CREATE: &str = "mutation($input: CreateOrderInput!, $wait: Boolean! = true) {
    createOrder(input: $input, wait: $wait) {
        replayed userErrors { code message field }
        order { id status version shippingAddress totalAmount { amount } createdAt
            lineItems { productId productName quantity unitPrice { amount } } } } }";

fn mug(quantity: i64) -> Value {
    json!([{"productId": "PROD01", "quantity": quantity}])
}

async fn create(test: &TestApi, input: Value) -> Value {
    test.run_with(ada(), CREATE, json!({"input": input})).await
}

async fn create_without_wait(test: &TestApi, input: Value) -> Value {
    test.run_with(ada(), CREATE, json!({"input": input, "wait": false})).await
}

fn command_outcome(test: &TestApi, command_outcome: CommandOutcome) {
    *test.services.command_outcome.lock().unwrap() = command_outcome;
}

/// The payload, if nothing failed.
fn payload(response: &Value) -> &Value {
    assert_eq!(response["errors"], Value::Null, "{response}");
    &response["data"]["createOrder"]
}

fn user_errors(response: &Value) -> Vec<(String, String)> {
    let user_errors = payload(response)["userErrors"].as_array().unwrap();
    let path = |field: &Value| {
        let words: Vec<&str> = field.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        words.join(".")
    };
    user_errors
        .iter()
        .map(|error| (error["code"].as_str().unwrap().to_owned(), path(&error["field"])))
        .collect()
}

#[tokio::test]
async fn an_order_is_answered_with_its_outcome() {
    let test = test_api();
    let response = create(&test, json!({"items": mug(2), "shippingAddress": "1 Pier\nPortland"})).await;
    let payload = payload(&response);
    assert_eq!((&payload["replayed"], &payload["userErrors"]), (&json!(false), &json!([])));
    let order = &payload["order"];
    assert_eq!((&order["status"], &order["version"]), (&json!("PROCESSING"), &json!(1)));
    assert_eq!(order["totalAmount"], json!({"amount": "29.00"}));
    assert_eq!(order["shippingAddress"], "1 Pier\nPortland");
    let placements = test.services.placements.lock().unwrap();
    assert_eq!(placements.len(), 1);
    assert_eq!(placements[0].customer_id.as_str(), "CUST01");
    assert_eq!(placements[0].order_id.to_string(), order["id"].as_str().unwrap());
    assert_eq!(placements[0].order_id.0.get_version_num(), 7);
}

#[tokio::test]
async fn an_order_without_an_answer_is_pending_at_version_0() {
    for (fates, wait) in [
        (CommandOutcome::Accepted, true),
        (CommandOutcome::DoneWithoutAnswer, true),
        (CommandOutcome::Answered, false),
    ] {
        let test = test_api();
        command_outcome(&test, fates);
        let input = json!({"items": mug(2)});
        let response = match wait {
            true => create(&test, input).await,
            false => create_without_wait(&test, input).await,
        };
        let id = test.services.placements.lock().unwrap()[0].order_id.to_string();
        let line = json!({"productId": "PROD01", "productName": null, "quantity": 2, "unitPrice": null});
        let order = json!({"id": id, "status": "PENDING", "version": 0, "shippingAddress": null,
            "totalAmount": null, "createdAt": "2026-11-23T19:10:51.371Z", "lineItems": [line]});
        assert_eq!(*payload(&response), json!({"replayed": null, "userErrors": [], "order": order}));
        assert!(test.services.requests().is_empty(), "a fresh id has nothing to look up");
    }
}

#[tokio::test]
async fn one_key_names_one_order() {
    let test = test_api();
    let input = json!({"items": mug(2), "idempotencyKey": "k"});
    let first = create(&test, input.clone()).await;
    let again = create(&test, input.clone()).await;
    assert_eq!(payload(&again)["order"], payload(&first)["order"]);
    assert_eq!((&payload(&first)["replayed"], &payload(&again)["replayed"]), (&json!(false), &json!(true)));
    let other = create(&test, json!({"items": mug(3), "idempotencyKey": "k"})).await;
    assert_eq!(user_errors(&other), [("IDEMPOTENCY_KEY_REUSED".into(), "input.idempotencyKey".into())]);
    let other_customer =
        test.run_with(viewer("CUST02", "orders:write"), CREATE, json!({"input": input})).await;
    assert_ne!(payload(&other_customer)["order"]["id"], payload(&first)["order"]["id"]);
}

#[tokio::test]
async fn a_key_whose_order_is_stored_is_answered_from_it_without_the_outcome() {
    for wait in [false, true] {
        let test = test_api();
        command_outcome(&test, CommandOutcome::DoneWithoutAnswer);
        let send = async |quantity: i64| {
            let input = json!({"items": mug(quantity), "idempotencyKey": "k"});
            match wait {
                true => create(&test, input).await,
                false => create_without_wait(&test, input).await,
            }
        };
        let stored = send(2).await;
        let order = &payload(&stored)["order"];
        assert_eq!((&order["status"], &order["version"]), (&json!("PROCESSING"), &json!(1)));
        assert_eq!(payload(&stored)["replayed"], Value::Null);
        let other = send(3).await;
        assert_eq!(user_errors(&other), [("IDEMPOTENCY_KEY_REUSED".into(), "input.idempotencyKey".into())]);
        assert_eq!(payload(&other)["order"], Value::Null);
        let id = test.services.placements.lock().unwrap()[0].order_id;
        let yesterday = "2026-11-22T19:10:51.371Z".parse().unwrap();
        test.services.data.lock().unwrap().change(id, |order| order.created_at = yesterday);
        assert_eq!(payload(&send(2).await)["replayed"], json!(true));
    }
}

#[tokio::test]
async fn a_key_whose_order_can_not_be_read_is_pending() {
    let test = test_api();
    command_outcome(&test, CommandOutcome::DoneWithoutAnswer);
    let timed_out = RequestError::DeadlineExceeded { pattern: "order.get".into() };
    for error in [unavailable("order.get"), timed_out] {
        test.services.fail("order.get", error);
        let response = create(&test, json!({"items": mug(2), "idempotencyKey": "k"})).await;
        let order = &payload(&response)["order"];
        assert_eq!((&order["status"], &order["version"]), (&json!("PENDING"), &json!(0)));
    }
}

#[tokio::test]
async fn the_key_of_a_deleted_order_answers_that_it_is_gone() {
    let test = test_api();
    let input = json!({"items": mug(2), "idempotencyKey": "k"});
    create(&test, input.clone()).await;
    let id = test.services.placements.lock().unwrap()[0].order_id;
    test.services.data.lock().unwrap().delete(id);
    let other = json!({"items": mug(3), "idempotencyKey": "k"});
    for wait in [true, false] {
        let send = async |input: &Value| match wait {
            true => create(&test, input.clone()).await,
            false => create_without_wait(&test, input.clone()).await,
        };
        let response = send(&input).await;
        assert_eq!(payload(&response)["order"], Value::Null);
        assert_eq!(payload(&response)["replayed"], json!(true));
        assert_eq!(user_errors(&response), [("ORDER_NOT_FOUND".into(), "input.idempotencyKey".into())]);
        if !wait {
            let refused = ("IDEMPOTENCY_KEY_REUSED".into(), "input.idempotencyKey".into());
            assert_eq!(user_errors(&send(&other).await), [refused]);
        }
    }
}

#[tokio::test]
async fn everything_wrong_with_an_input_is_listed_at_once_and_nothing_is_sent() {
    let test = test_api();
    let items = json!([
        {"productId": "", "quantity": 1},
        {"productId": "x".repeat(65), "quantity": 0},
        {"productId": "a\u{0}b", "quantity": -1},
        {"productId": "PROD01", "quantity": 10_001},
        {"productId": "PROD01", "quantity": 1},
    ]);
    let input = json!({"items": items, "shippingAddress": " ", "idempotencyKey": "k\n"});
    let response = create(&test, input).await;
    let mut found = user_errors(&response);
    found.sort();
    let invalid = |path: &str| ("INVALID_INPUT".to_owned(), path.to_owned());
    let expected = [
        ("DUPLICATE_PRODUCT".to_owned(), "input.items.4.productId".to_owned()),
        invalid("input.idempotencyKey"),
        invalid("input.items.0.productId"),
        invalid("input.items.1.productId"),
        invalid("input.items.1.quantity"),
        invalid("input.items.2.productId"),
        invalid("input.items.2.quantity"),
        invalid("input.items.3.quantity"),
        invalid("input.shippingAddress"),
    ];
    assert_eq!(found, expected);
    assert_eq!((&payload(&response)["order"], &payload(&response)["replayed"]), (&Value::Null, &Value::Null));
    let many: Vec<Value> = (0..101).map(|n| json!({"productId": format!("P{n}"), "quantity": 1})).collect();
    for items in [json!([]), json!(many)] {
        let response = create(&test, json!({"items": items})).await;
        assert_eq!(user_errors(&response), [invalid("input.items")]);
    }
    for (key, text) in [("shippingAddress", "x".repeat(501)), ("idempotencyKey", "x".repeat(256))] {
        let response = create(&test, json!({"items": mug(1), key: text})).await;
        assert_eq!(user_errors(&response), [invalid(&format!("input.{key}"))]);
    }
    assert!(test.services.placements.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_greatest_input_is_accepted() {
    let test = test_api();
    let items: Vec<Value> =
        (0..100).map(|n| json!({"productId": format!("{n:é>64}"), "quantity": 10_000})).collect();
    let input =
        json!({"items": items, "shippingAddress": "é".repeat(500), "idempotencyKey": "é".repeat(255)});
    assert!(user_errors(&create(&test, input).await).is_empty());
    let nulls = json!({"items": mug(1), "shippingAddress": null, "idempotencyKey": null});
    assert!(user_errors(&create(&test, nulls).await).is_empty());
}

#[tokio::test]
async fn an_order_that_was_not_accepted_is_an_error_that_says_so() {
    let test = test_api();
    let lost = PublishError::Unknown("the connection broke".into());
    let given_up = json!({"code": "INTERNAL_SERVER_ERROR", "outcome": "UNKNOWN"});
    let none = |code: &str| json!({"code": code, "outcome": "NONE", "retryable": true});
    let unknown = json!({"code": "DEADLINE_EXCEEDED", "outcome": "UNKNOWN"});
    let repeatable = json!({"code": "DEADLINE_EXCEEDED", "outcome": "UNKNOWN", "retryable": true});
    for (fates, key, expected) in [
        (CommandOutcome::Unsent(PublishError::Disconnected), Value::Null, none("SERVICE_UNAVAILABLE")),
        (
            CommandOutcome::Unsent(PublishError::Blocked("memory".into())),
            Value::Null,
            none("SERVICE_UNAVAILABLE"),
        ),
        (CommandOutcome::Unsent(PublishError::Nacked), Value::Null, none("OVERLOADED")),
        (CommandOutcome::Unsent(PublishError::WindowFull), Value::Null, none("OVERLOADED")),
        (CommandOutcome::Unsent(lost.clone()), Value::Null, unknown),
        (CommandOutcome::Unsent(lost), json!("k"), repeatable),
        (CommandOutcome::DeadLettered, json!("k"), given_up),
    ] {
        command_outcome(&test, fates);
        let response = create(&test, json!({"items": mug(1), "idempotencyKey": key})).await;
        assert_eq!(response["data"], json!({"createOrder": null}));
        assert_eq!(errors(&response)[0].1, "createOrder");
        assert_eq!(response["errors"][0]["extensions"], expected);
        assert!(!response.to_string().contains("secret"));
    }
}

#[tokio::test]
async fn a_refused_input_leaves_the_others_of_its_document_alone() {
    let test = test_api();
    let document = "mutation {
        bad: createOrder(input: {items: []}) { order { id } userErrors { code } }
        good: createOrder(input: {items: [{productId: \"PROD01\", quantity: 1}]}) { userErrors { code } } }";
    let response = test.run(ada(), document).await;
    let expected = json!({"data": {"bad": {"order": null, "userErrors": [{"code": "INVALID_INPUT"}]},
        "good": {"userErrors": []}}});
    assert_eq!(response, expected);
    assert_eq!(test.services.placements.lock().unwrap().len(), 1);
    assert_eq!(test.services.data.lock().unwrap().orders.len(), 1);
}
