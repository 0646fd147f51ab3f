use bus::failure::FailureCode;
use schema::customer::Customer;
use schema::domain_error::{DomainErrorCode, DomainResult};
use schema::pattern::{CUSTOMER_GET, CUSTOMER_PUT, ORDER_GET};

use crate::fixture::{customer, on_each_database};

#[tokio::test]
async fn customers_are_answered_in_the_order_requested_with_null_for_unknown_ids() {
    on_each_database(async |service| {
        let (ada, bruno) = (customer("ADA", "Ada"), customer("BRUNO", "Bruno"));
        let put: Vec<DomainResult<Customer>> = service.send(CUSTOMER_PUT, &[&ada, &bruno]).await;
        assert_eq!(put, [DomainResult::Done(ada.clone()), DomainResult::Done(bruno.clone())]);
        let got: Vec<Option<Customer>> =
            service.send(CUSTOMER_GET, &["BRUNO", "UNKNOWN", "ADA", "BRUNO"]).await;
        assert_eq!(got, [Some(bruno.clone()), None, Some(ada), Some(bruno)]);
        let none: Vec<Option<Customer>> = service.send(CUSTOMER_GET, &[""; 0]).await;
        assert_eq!(none, []);
    })
    .await;
}

#[tokio::test]
async fn putting_a_customer_again_overwrites_it_and_the_last_one_counts() {
    on_each_database(async |service| {
        let _: Vec<DomainResult<Customer>> = service.send(CUSTOMER_PUT, &[customer("ADA", "Ada")]).await;
        let moved = Customer {
            phone: Some("+1 503 555 0100".to_owned()),
            shipping_address: "2 Mill Lane".to_owned(),
            ..customer("ADA", "Ada Lindgren")
        };
        let _: Vec<DomainResult<Customer>> =
            service.send(CUSTOMER_PUT, &[&customer("ADA", "Eve"), &moved]).await;
        let got: Vec<Option<Customer>> = service.send(CUSTOMER_GET, &["ADA"]).await;
        assert_eq!(got, [Some(moved)]);
    })
    .await;
}

#[tokio::test]
async fn a_customer_out_of_bounds_is_refused_and_the_others_are_kept() {
    on_each_database(async |service| {
        let bad = [
            Customer { name: String::new(), ..customer("BAD", "") },
            Customer { email: "e".repeat(201), ..customer("BAD", "Bad") },
            Customer { phone: Some("12\n34".to_owned()), ..customer("BAD", "Bad") },
            Customer { shipping_address: "a\0b".to_owned(), ..customer("BAD", "Bad") },
        ];
        let good = customer("ADA", "Ada");
        let all: Vec<&Customer> = bad.iter().chain([&good]).collect();
        let answers: Vec<DomainResult<Customer>> = service.send(CUSTOMER_PUT, &all).await;
        let fields: Vec<_> = answers[..4]
            .iter()
            .map(|answer| match answer {
                DomainResult::Refused { refused } if refused.code == DomainErrorCode::InvalidInput => {
                    refused.field.clone().unwrap().concat()
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(fields, ["name", "email", "phone", "shippingAddress"]);
        let got: Vec<Option<Customer>> = service.send(CUSTOMER_GET, &["BAD", "ADA"]).await;
        assert_eq!(got, [None, Some(good)]);
    })
    .await;
}

#[tokio::test]
async fn invalid_requests_are_answered_with_their_failure_code() {
    on_each_database(async |service| {
        let code = async |pattern, data: serde_json::Value| {
            service.send_once(pattern, &data).await.unwrap_err().code
        };
        assert_eq!(code(CUSTOMER_GET, serde_json::json!([7])).await, FailureCode::Undecodable);
        assert_eq!(code(CUSTOMER_GET, serde_json::json!([""])).await, FailureCode::Undecodable);
        assert_eq!(code(CUSTOMER_GET, serde_json::json!(vec!["A"; 501])).await, FailureCode::BadRequest);
        assert_eq!(code(ORDER_GET, serde_json::json!([])).await, FailureCode::NoHandler);
    })
    .await;
}

#[tokio::test]
async fn copies_that_start_at_once_insert_the_demo_customers_once() {
    on_each_database(async |service| {
        let copies = futures::future::join_all((0..4).map(|_| service.customers.seed_demo())).await;
        assert!(copies.iter().all(Result::is_ok), "{copies:?}");
        let got: Vec<Option<Customer>> = service.send(CUSTOMER_GET, &["CUST01", "CUST02"]).await;
        assert!(got.iter().all(Option::is_some));

        let _: Vec<DomainResult<Customer>> =
            service.send(CUSTOMER_PUT, &[customer("CUST01", "Another")]).await;
        service.customers.seed_demo().await.unwrap();
        let got: Vec<Option<Customer>> = service.send(CUSTOMER_GET, &["CUST01"]).await;
        assert_eq!(got[0].as_ref().unwrap().name, "Another", "existing customers stay unchanged");
    })
    .await;
}

#[tokio::test]
async fn with_the_database_away_a_request_may_be_repeated() {
    on_each_database(async |service| {
        service.customers.database.clone().close().await;
        assert_eq!(
            service.send_once(CUSTOMER_GET, &["ADA"]).await.unwrap_err().code,
            FailureCode::Unavailable
        );
    })
    .await;
}
