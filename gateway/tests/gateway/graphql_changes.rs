//! Changing, cancelling and deleting orders.

use schema::domain_error::{DomainError, DomainErrorCode};
use serde_json::{Value, json};

use crate::kit::{ada, refusal, test_api, viewer, warehouse};

const UPDATE: &str = "mutation($input: UpdateOrderInput!) { updateOrder(input: $input) {
    order { status version shippingAddress trackingCompany trackingNumber } userErrors { code field } } }";

fn invalid(field: &str) -> Value {
    json!({"code": "INVALID_INPUT", "field": ["input", field]})
}

#[tokio::test]
async fn a_change_answers_the_order_as_it_is_now() {
    let test = test_api();
    let id = test.placed("CUST01", "PROD01").id.to_string();
    let input = json!({"id": id, "status": "SHIPPED", "trackingCompany": "Post", "trackingNumber": "1",
        "shippingAddress": "2 Pier", "expectedVersion": 1});
    let response = test.run_with(ada(), UPDATE, json!({"input": input})).await;
    let order = json!({"status": "SHIPPED", "version": 2, "shippingAddress": "2 Pier",
        "trackingCompany": "Post", "trackingNumber": "1"});
    assert_eq!(response, json!({"data": {"updateOrder": {"order": order, "userErrors": []}}}));
    let asked = test.services.requests_for("order.update");
    let change = &asked[0][0];
    assert!(change["requestId"].is_string());
    assert_eq!(change["owner"], json!({"customerId": "CUST01"}));
    assert_eq!(change["expectedVersion"], 1);
    let changes = json!({"status": "SHIPPED", "shippingAddress": "2 Pier", "trackingCompany": "Post", "trackingNumber": "1"});
    assert_eq!(change["changes"], changes);
}

#[tokio::test]
async fn each_change_has_a_request_id_of_its_own() {
    let test = test_api();
    let id = test.placed("CUST01", "PROD01").id;
    let update = format!("updateOrder(input: {{id: \"{id}\"}}) {{ order {{ version }} }}");
    test.run(ada(), &format!("mutation {{ a: {update} b: {update} }}")).await;
    let asked = test.services.requests_for("order.update");
    assert_eq!(asked.len(), 2);
    assert_ne!(asked[0][0]["requestId"], asked[1][0]["requestId"]);
}

#[tokio::test]
async fn cancelling_and_deleting_need_only_orders_write() {
    let test = test_api();
    let id = test.placed("CUST01", "PROD01").id;
    let writer = || viewer("CUST01", "orders:write");
    let cancel = format!("mutation {{ cancelOrder(input: {{id: \"{id}\"}}) {{ order {{ status }} }} }}");
    let cancelled = json!({"data": {"cancelOrder": {"order": {"status": "CANCELLED"}}}});
    assert_eq!(test.run(writer(), &cancel).await, cancelled);
    let update = json!({"input": {"id": id.to_string(), "status": "CANCELLED", "shippingAddress": "2 Pier"}});
    let response = test.run_with(writer(), UPDATE, update).await;
    assert_eq!(response["data"]["updateOrder"]["order"]["status"], "CANCELLED");
    let delete = format!(
        "mutation {{ deleteOrder(input: {{id: \"{id}\"}}) {{ deletedOrderId userErrors {{ code }} }} }}"
    );
    let deleted = json!({"data": {"deleteOrder": {"deletedOrderId": id.to_string(), "userErrors": []}}});
    assert_eq!(test.run(writer(), &delete).await, deleted);
    let gone = json!({"data": {"deleteOrder": {"deletedOrderId": null, "userErrors": [{"code": "ORDER_NOT_FOUND"}]}}});
    assert_eq!(test.run(writer(), &delete).await, gone);
}

#[tokio::test]
async fn the_warehouse_changes_anybodys_order_and_a_customer_only_their_own() {
    let test = test_api();
    let id = test.placed("CUST02", "PROD01").id.to_string();
    let input = json!({"input": {"id": id, "trackingNumber": "1"}});
    let response = test.run_with(ada(), UPDATE, input.clone()).await;
    let not_found = json!([{"code": "ORDER_NOT_FOUND", "field": ["input", "id"]}]);
    assert_eq!(response["data"]["updateOrder"], json!({"order": null, "userErrors": not_found}));
    let response = test.run_with(warehouse(), UPDATE, input).await;
    assert_eq!(response["data"]["updateOrder"]["order"]["trackingNumber"], "1");
}

#[tokio::test]
async fn everything_wrong_with_a_change_is_listed_at_once_and_nothing_is_sent() {
    let test = test_api();
    let input = json!({"id": "no id", "shippingAddress": "", "trackingCompany": "x".repeat(101),
        "trackingNumber": "1\n2", "expectedVersion": -1});
    let response = test.run_with(ada(), UPDATE, json!({"input": input})).await;
    let not_found = json!({"code": "ORDER_NOT_FOUND", "field": ["input", "id"]});
    let wrong = ["shippingAddress", "trackingCompany", "trackingNumber"].map(invalid);
    let mut expected = wrong.to_vec();
    expected.extend([not_found, invalid("expectedVersion")]);
    assert_eq!(response, json!({"data": {"updateOrder": {"order": null, "userErrors": expected}}}));
    for (field, payload) in [("cancelOrder", "order { id }"), ("deleteOrder", "deletedOrderId")] {
        let document = format!(
            "mutation {{ {field}(input: {{id: \"\"}}) {{ {payload} userErrors {{ code field }} }} }}"
        );
        let response = test.run(ada(), &document).await;
        let expected = json!([{"code": "ORDER_NOT_FOUND", "field": ["input", "id"]}]);
        assert_eq!(response["data"][field]["userErrors"], expected);
    }
    assert!(test.services.requests().is_empty());
}

#[tokio::test]
async fn refusals_are_user_errors_about_the_field_they_mean() {
    let test = test_api();
    let id = test.placed("CUST01", "PROD01").id.to_string();
    for (refused, code, field) in [
        (refusal(DomainErrorCode::InvalidTransition), "INVALID_TRANSITION", json!(null)),
        (refusal(DomainErrorCode::VersionConflict), "VERSION_CONFLICT", json!(["input", "expectedVersion"])),
        (refusal(DomainErrorCode::OrderNotFound), "ORDER_NOT_FOUND", json!(["input", "id"])),
        (
            DomainError::at(DomainErrorCode::InvalidInput, "SHIPPED needs one", ["input", "trackingNumber"]),
            "INVALID_INPUT",
            json!(["input", "trackingNumber"]),
        ),
    ] {
        test.services.refuse("order.update", refused);
        for status in ["PENDING", "PROCESSING", "REJECTED", "DELIVERED"] {
            let input = json!({"input": {"id": id, "status": status}});
            let response = test.run_with(ada(), UPDATE, input).await;
            let expected = json!({"order": null, "userErrors": [{"code": code, "field": field}]});
            assert_eq!(response, json!({"data": {"updateOrder": expected}}));
        }
    }
    test.services.refuse("order.update", refusal(DomainErrorCode::StockTooLow));
    let response = test.run_with(ada(), UPDATE, json!({"input": {"id": id}})).await;
    assert_eq!(response["data"], json!({"updateOrder": null}));
    assert_eq!(response["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR");
}
