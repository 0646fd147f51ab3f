//! What queries answer, and how lists are paged.

use serde_json::{Value, json};

use crate::kit::toy::toy;
use crate::kit::{Options, TestApi, TestGateway, ada, answer, code, errors, refusal, test_api, token};
use schema::domain_error::DomainErrorCode;
use schema::order::{Rejection, RejectionCode, Shortfall};

#[tokio::test]
async fn an_order_shows_all_that_it_is() {
    let test = test_api();
    let order = test.placed("CUST01", "PROD01");
    let id = order.id.to_string();
    let line_id = order.line_items[0].id.to_string();
    let query = "query($id: ID!) { order(id: $id) {
        id status customerId totalAmount { amount currencyCode } shippingAddress trackingCompany trackingNumber
        version createdAt updatedAt rejection { code }
        lineItems { id productId productName quantity unitPrice { amount } totalPrice { amount } product { name } }
        history { kind version status previousStatus occurredAt }
        customer { name } } }";
    let response = test.run_with(ada(), query, json!({"id": id})).await;
    let line = json!({"id": line_id, "productId": "PROD01", "productName": "As ordered", "quantity": 2,
        "unitPrice": {"amount": "14.50"}, "totalPrice": {"amount": "29.00"}, "product": {"name": "Product 1"}});
    let created = json!({"kind": "CREATED", "version": 1, "status": "PROCESSING", "previousStatus": null,
        "occurredAt": "2026-11-23T19:10:51.371Z"});
    assert_eq!(
        response,
        json!({"data": {"order": {
            "id": id, "status": "PROCESSING", "customerId": "CUST01",
            "totalAmount": {"amount": "29.00", "currencyCode": "USD"}, "shippingAddress": "1 Harbour Street",
            "trackingCompany": null, "trackingNumber": null, "version": 1,
            "createdAt": "2026-11-23T19:10:51.371Z", "updatedAt": "2026-11-23T19:10:51.371Z", "rejection": null,
            "lineItems": [line], "history": [created], "customer": {"name": "Name of CUST01"}}}})
    );
}

#[tokio::test]
async fn a_rejected_order_says_why() {
    let test = test_api();
    let order = test.placed("CUST01", "PROD01");
    let shortfalls = vec![Shortfall { product_id: "PROD01".parse().unwrap(), requested: 2, available: 1 }];
    let message = "too little stock".to_owned();
    let rejection = Rejection { code: RejectionCode::OutOfStock, message, shortfalls };
    test.services.data.lock().unwrap().change(order.id, |order| order.rejection = Some(rejection));
    let query =
        "{ orders { nodes { rejection { code message shortfalls { productId requested available } } } } }";
    let shortfall = json!({"productId": "PROD01", "requested": 2, "available": 1});
    let rejection = json!({"code": "OUT_OF_STOCK", "message": "too little stock", "shortfalls": [shortfall]});
    assert_eq!(
        test.run(ada(), query).await,
        json!({"data": {"orders": {"nodes": [{"rejection": rejection}]}}})
    );
}

#[tokio::test]
async fn a_product_that_left_the_catalogue_is_null_and_its_line_stays() {
    let test = test_api();
    test.placed("CUST01", "GONE");
    let query = "{ orders { nodes { lineItems { productId product { id } } } } }";
    let lines = json!([{"productId": "GONE", "product": null}]);
    let expected = json!({"data": {"orders": {"nodes": [{"lineItems": lines}]}}});
    assert_eq!(test.run(ada(), query).await, expected);
}

/// The versions (here: places, newest first) of a page, and its info.
async fn page(test: &TestApi, arguments: &str) -> (Vec<String>, Value) {
    let query = format!(
        "{{ orders({arguments}) {{ edges {{ cursor node {{ id }} }} nodes {{ id }}
            pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }}"
    );
    let response = test.run(ada(), &query).await;
    let orders = &response["data"]["orders"];
    let ids = |list: &str, id: &dyn Fn(&Value) -> Value| -> Vec<String> {
        orders[list].as_array().unwrap().iter().map(|item| id(item).as_str().unwrap().to_owned()).collect()
    };
    let nodes = ids("nodes", &|node| node["id"].clone());
    assert_eq!(ids("edges", &|edge| edge["node"]["id"].clone()), nodes);
    let cursors = ids("edges", &|edge| edge["cursor"].clone());
    let info = orders["pageInfo"].clone();
    assert_eq!(info["startCursor"].as_str(), cursors.first().map(String::as_str));
    assert_eq!(info["endCursor"].as_str(), cursors.last().map(String::as_str));
    (nodes, info)
}

#[tokio::test]
async fn orders_are_paged_both_ways_newest_first() {
    let test = test_api();
    let mut placed: Vec<String> = Vec::new();
    for _ in 0..5 {
        placed.insert(0, test.placed("CUST01", "PROD01").id.to_string());
        test.placed("CUST02", "PROD01");
    }
    let (first, info) = page(&test, "first: 2").await;
    assert_eq!(first, placed[..2]);
    assert_eq!((&info["hasNextPage"], &info["hasPreviousPage"]), (&json!(true), &json!(false)));
    let after = info["endCursor"].as_str().unwrap().to_owned();
    // An order that is placed meanwhile moves nothing.
    let newest = test.placed("CUST01", "PROD01").id.to_string();
    let (second, info) = page(&test, &format!("first: 2, after: \"{after}\"")).await;
    assert_eq!(second, placed[2..4]);
    let before = info["startCursor"].as_str().unwrap().to_owned();
    let (back, info) = page(&test, &format!("last: 2, before: \"{before}\"")).await;
    assert_eq!(back, placed[..2]);
    assert_eq!((&info["hasNextPage"], &info["hasPreviousPage"]), (&json!(true), &json!(true)));
    let (last, _) = page(&test, "last: 1").await;
    assert_eq!(last, placed[4..]);
    let (all, _) = page(&test, "statuses: [PROCESSING, PROCESSING]").await;
    assert_eq!(all.len(), 6);
    assert_eq!(all[0], newest);
    for none in ["statuses: []", "statuses: [SHIPPED]"] {
        let (nodes, info) = page(&test, none).await;
        assert!(nodes.is_empty());
        assert_eq!((&info["startCursor"], &info["endCursor"]), (&Value::Null, &Value::Null));
    }
}

#[tokio::test]
async fn what_narrows_a_list_is_requested_as_it_is_given() {
    let test = test_api();
    let placed =
        [test.placed("CUST01", "PROD01"), test.placed("CUST02", "PROD02"), test.placed("CUST01", "PROD02")];
    test.services
        .data
        .lock()
        .unwrap()
        .change(placed[2].id, |order| order.tracking_number = Some("PP 1".into()));
    let query = "query($product: ID, $number: String, $from: DateTime, $before: DateTime) {
        orders(allCustomers: true, statuses: [PROCESSING, PROCESSING], productId: $product, trackingNumber: $number,
            placedFrom: $from, placedBefore: $before, first: 5) { nodes { id } } }";
    let (first, second) = (placed[0].created_at.to_string(), placed[1].created_at.to_string());
    for (variables, expected) in [
        (json!({}), vec![2, 1, 0]),
        (json!({"product": "PROD02"}), vec![2, 1]),
        (json!({"product": "PROD02", "before": null, "from": second}), vec![2, 1]),
        (json!({"number": "PP 1"}), vec![2]),
        (json!({"from": first, "before": second}), vec![0]),
        (json!({"from": second, "before": first}), vec![]),
    ] {
        let response = test.run_with(crate::kit::warehouse(), query, variables.clone()).await;
        let expected: Vec<Value> =
            expected.iter().map(|&at: &usize| json!({"id": placed[at].id.to_string()})).collect();
        assert_eq!(response, json!({"data": {"orders": {"nodes": expected}}}), "{variables}");
    }
    test.services.requests();
    let variables = json!({"product": "PROD02", "from": "2026-11-23T20:10:51.371999+01:00"});
    test.run_with(crate::kit::warehouse(), query, variables).await;
    let request = json!([{"owner": "any", "statuses": ["PROCESSING"], "productId": "PROD02",
        "placedFrom": "2026-11-23T19:10:51.371Z", "page": {"first": 5}}]);
    assert_eq!(test.services.requests_for("order.list"), [request]);
}

#[tokio::test]
async fn a_filter_that_no_index_answers_or_that_is_out_of_bounds_is_refused_before_any_request() {
    let test = test_api();
    let long = format!("trackingNumber: \"{}\"", "9".repeat(101));
    for (filter, message) in [
        (r#"productId: "PROD01", trackingNumber: "PP 1""#, "give productId or trackingNumber, not both"),
        (r#"productId: """#, "productId must have 1 to 64 characters and no control characters"),
        (r#"trackingNumber: " ""#, "trackingNumber must not be empty"),
        (r#"trackingNumber: "a\u0000""#, "trackingNumber must not contain control characters"),
        (&long, "trackingNumber must have at most 100 characters"),
    ] {
        let response = test.run(ada(), &format!("{{ orders({filter}) {{ nodes {{ id }} }} }}")).await;
        assert_eq!(errors(&response), [("BAD_USER_INPUT".into(), "orders".into())], "{filter}");
        assert_eq!(response["errors"][0]["message"], message, "{filter}");
    }
    for time in ["yesterday", "2026-11-23", "2026-11-23T19:10:51", "", "2026-02-30T00:00:00Z"] {
        let response =
            test.run(ada(), &format!("{{ orders(placedFrom: \"{time}\") {{ nodes {{ id }} }} }}")).await;
        assert_eq!(errors(&response).len(), 1, "{time}: {response}");
    }
    assert!(test.services.requests().is_empty());
}

#[tokio::test]
async fn a_page_has_one_end_and_1_to_100_entries() {
    let test = test_api();
    for arguments in [
        "first: 1, last: 1",
        "first: 0",
        "first: 101",
        "last: 0",
        "last: 101",
        "first: -1",
        "last: -2147483648",
    ] {
        for (field, query) in [
            ("orders", format!("{{ orders({arguments}) {{ nodes {{ id }} }} }}")),
            ("products", format!("{{ products({arguments}) {{ nodes {{ id }} }} }}")),
            ("me.orders", format!("{{ me {{ orders({arguments}) {{ nodes {{ id }} }} }} }}")),
        ] {
            let response = test.run(ada(), &query).await;
            assert_eq!(errors(&response), [("BAD_USER_INPUT".into(), field.into())], "{query}");
        }
    }
    assert!(!test.services.requests().iter().any(|pattern| pattern.ends_with(".list")));
}

#[tokio::test]
async fn a_cursor_that_is_none_or_anothers_is_invalid() {
    let test = test_api();
    test.placed("CUST02", "PROD01");
    let others = test
        .run(crate::kit::warehouse(), "{ orders(customerId: \"CUST02\") { pageInfo { endCursor } } }")
        .await;
    let others = others["data"]["orders"]["pageInfo"]["endCursor"].as_str().unwrap().to_owned();
    let products = test.run(ada(), "{ products(first: 1) { edges { cursor } } }").await;
    let product = products["data"]["products"]["edges"][0]["cursor"].as_str().unwrap().to_owned();
    test.services.requests();
    for cursor in ["", "x", "bm90IGEgY3Vyc29y", &product, &others] {
        for end in ["after", "before"] {
            let query = format!("{{ orders({end}: \"{cursor}\") {{ nodes {{ id }} }} }}");
            let response = test.run(ada(), &query).await;
            assert_eq!(errors(&response), [("CURSOR_INVALID".into(), "orders".into())], "{query}");
        }
    }
    let query = format!("{{ products(after: \"{others}\") {{ nodes {{ id }} }} }}");
    assert_eq!(errors(&test.run(ada(), &query).await), [("CURSOR_INVALID".into(), "products".into())]);
    assert!(test.services.requests().is_empty());
    test.services.refuse("order.list", refusal(DomainErrorCode::CursorInvalid));
    let response = test.run(ada(), "{ orders { nodes { id } } }").await;
    assert_eq!(errors(&response), [("CURSOR_INVALID".into(), "orders".into())]);
}

#[tokio::test]
async fn the_catalogue_can_be_searched() {
    let test = test_api();
    let search = |text: &str| format!("{{ products(search: \"{text}\") {{ nodes {{ id }} }} }}");
    let found = test.run(ada(), &search("pRODUCT 20")).await;
    assert_eq!(found, json!({"data": {"products": {"nodes": [{"id": "PROD20"}]}}}));
    let everything = test.run(ada(), &search("  ")).await;
    assert_eq!(everything["data"]["products"]["nodes"].as_array().unwrap().len(), 20);
    for bad in ["a\\u0000b", &"x".repeat(101)] {
        let response = test.run(ada(), &search(bad)).await;
        assert_eq!(errors(&response), [("BAD_USER_INPUT".into(), "products".into())]);
    }
}

#[tokio::test]
async fn a_document_that_selects_too_much_is_refused_before_any_request() {
    let TestApi { services, api } = test_api();
    let (_, inside) = toy();
    let gateway = TestGateway::serving(api, inside, Options::default()).await;
    let ada = token("CUST01");
    let run = async |query: &str| {
        let body = json!({ "query": query, "extensions": { "cost": true } });
        answer(gateway.post(&body).bearer_auth(&ada)).await.1
    };
    let nested =
        "{ orders(first: 100) { nodes { customer { orders(first: 100) { nodes { id version } } } } } }";
    assert_eq!(code(&run(nested).await), "QUERY_TOO_COMPLEX");
    assert!(services.requests().is_empty());
    let full = "{ orders(first: 100) { pageInfo { hasNextPage endCursor } edges { cursor node { id status version cursor
        customerId customer { id name email phone shippingAddress } totalAmount { amount currencyCode }
        lineItems { id productId productName quantity unitPrice { amount currencyCode } totalPrice { amount currencyCode }
            product { id name description unitPrice { amount currencyCode } availableQuantity createdAt updatedAt } }
        shippingAddress trackingCompany trackingNumber rejection { code message shortfalls { productId requested available } }
        createdAt updatedAt history { cursor kind version status previousStatus occurredAt } } } } }";
    let answer = run(full).await;
    assert_eq!(answer.get("errors"), None, "{answer}");
    let cost = answer["extensions"]["cost"]["complexity"].as_u64().unwrap();
    assert!((1_000..10_000).contains(&cost), "{cost}");
}
