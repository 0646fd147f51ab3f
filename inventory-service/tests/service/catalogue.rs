use inventory_service::Inventory;
use schema::cursor::ProductCursor;
use schema::domain_error::{DomainErrorCode, DomainResult};
use schema::inventory_messages::{ListProducts, ProductPage, Reserved};
use schema::page::Page;
use schema::pattern::{INVENTORY_ADJUST, INVENTORY_GET, INVENTORY_LIST, INVENTORY_PUT, INVENTORY_WITHDRAW};
use schema::product::Product;

use crate::kit::{InventoryService, adjust, fresh_order, on_each_database, product, reserve};

async fn list(service: &InventoryService, search: Option<&str>, page: Page) -> DomainResult<ProductPage> {
    let list = ListProducts { search: search.map(str::to_owned), page };
    let mut pages: Vec<DomainResult<ProductPage>> = service.ask(INVENTORY_LIST, &[list]).await;
    pages.remove(0)
}

async fn found(service: &InventoryService, search: &str) -> Vec<String> {
    ids(&list(service, Some(search), Page::default()).await.into_result().unwrap())
}

fn ids(page: &ProductPage) -> Vec<String> {
    page.products.iter().map(|product| product.id.to_string()).collect()
}

fn cursor(id: &str) -> Option<String> {
    Some(ProductCursor { product_id: product(id) }.encode())
}

#[tokio::test]
async fn pages_go_both_ways_by_id_in_the_order_of_bytes() {
    on_each_database(async |service| {
        for id in ["b", "A", "c", "B", "a"] {
            service.put(id, "Mug", "for a test").await;
        }
        let page = async |page| {
            let page = list(&service, None, page).await.into_result().unwrap();
            (ids(&page).concat(), page.has_previous_page, page.has_next_page)
        };
        assert_eq!(page(Page::default()).await, ("ABabc".into(), false, false));
        let first = Page { first: Some(2), ..Page::default() };
        assert_eq!(page(first.clone()).await, ("AB".into(), false, true));
        assert_eq!(page(Page { after: cursor("B"), ..first.clone() }).await, ("ab".into(), true, true));
        assert_eq!(page(Page { after: cursor("b"), ..first }).await, ("c".into(), true, false));
        let last = Page { last: Some(2), ..Page::default() };
        assert_eq!(page(last.clone()).await, ("bc".into(), true, false));
        assert_eq!(page(Page { before: cursor("a"), ..last }).await, ("AB".into(), false, true));
    })
    .await;
}

#[tokio::test]
async fn search_takes_name_and_description_by_the_letter_whatever_the_case() {
    on_each_database(async |service| {
        service.put("1", "Enamel Mug", "For the camp fire").await;
        service.put("2", "CRÈME Brûlée dish", "Oven-proof").await;
        service.put("3", "100% cotton tote", "snake_case printed").await;
        service.put("4", "Tote", "C:\\fire").await;
        assert_eq!(found(&service, "mug").await, ["1"]);
        assert_eq!(found(&service, "FIRE").await, ["1", "4"]);
        assert_eq!(found(&service, " tote ").await, ["3", "4"]);
        assert_eq!(found(&service, "crème BRÛ").await, ["2"]);
        assert_eq!(found(&service, "%").await, ["3"]);
        assert_eq!(found(&service, "_").await, ["3"]);
        assert_eq!(found(&service, "\\").await, ["4"]);
        assert_eq!(found(&service, "mugfor").await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn a_page_or_search_that_makes_no_sense_is_refused() {
    on_each_database(async |service| {
        let refused = async |search, page| match list(&service, search, page).await {
            DomainResult::Refused { refused } => refused.code,
            DomainResult::Done(page) => panic!("{page:?}"),
        };
        let page = Page { after: Some("AAAA".to_owned()), ..Page::default() };
        assert_eq!(refused(None, page).await, DomainErrorCode::CursorInvalid);
        let page = Page { first: Some(1), last: Some(1), ..Page::default() };
        assert_eq!(refused(None, page).await, DomainErrorCode::InvalidInput);
        assert_eq!(refused(Some(""), Page::default()).await, DomainErrorCode::InvalidInput);
        assert_eq!(refused(Some("a\0"), Page::default()).await, DomainErrorCode::InvalidInput);
    })
    .await;
}

#[tokio::test]
async fn products_are_answered_in_the_order_asked_with_nothing_for_unknown_ids() {
    on_each_database(async |service| {
        service.stock("A", 1).await;
        service.stock("B", 2).await;
        let ids = ["B", "none", "A", "B"].map(product);
        let products: Vec<Option<Product>> = service.ask(INVENTORY_GET, &ids).await;
        let available: Vec<_> = products
            .iter()
            .map(|product| product.as_ref().map(|product| product.available_quantity))
            .collect();
        assert_eq!(available, [Some(2), None, Some(1), Some(2)]);
    })
    .await;
}

#[tokio::test]
async fn stock_is_adjusted_once_per_id_and_never_below_what_is_held() {
    on_each_database(async |service| {
        service.stock("MUG", 10).await;
        service.reserve(reserve(fresh_order(), 1, &[("MUG", 4)])).await;
        let twice = adjust("MUG", 5);
        let batch = [twice.clone(), twice, adjust("MUG", -12), adjust("SPOON", 1)];
        let answers: Vec<DomainResult<Product>> = service.ask(INVENTORY_ADJUST, &batch).await;
        let answers: Vec<_> = answers
            .into_iter()
            .map(|answer| answer.into_result().map(|p| p.available_quantity).map_err(|refusal| refusal.code))
            .collect();
        assert_eq!(
            answers,
            [Ok(11), Ok(11), Err(DomainErrorCode::StockTooLow), Err(DomainErrorCode::ProductNotFound)]
        );
        service.assert_ledger_adds_up().await;
    })
    .await;
}

#[tokio::test]
async fn a_price_in_another_currency_is_refused() {
    on_each_database(async |service| {
        let put = serde_json::json!([{
            "id": "MUG", "name": "Mug", "description": "Blue",
            "unitPrice": {"amountMinor": 1, "currency": "EUR"}
        }]);
        let answers: Vec<DomainResult<Product>> = service.ask(INVENTORY_PUT, &put).await;
        assert!(
            matches!(&answers[0], DomainResult::Refused { refused } if refused.code == DomainErrorCode::InvalidInput)
        );
    })
    .await;
}

#[tokio::test]
async fn a_withdrawn_product_is_known_but_neither_listed_nor_sold() {
    on_each_database(async |service| {
        service.stock("MUG", 10).await;
        service.stock("TRAY", 10).await;
        let withdrawn: Vec<DomainResult<Product>> =
            service.ask(INVENTORY_WITHDRAW, &["MUG", "SPOON"].map(product)).await;
        let codes =
            withdrawn.into_iter().map(|answer| answer.into_result().map(drop).map_err(|error| error.code));
        assert!(codes.eq([Ok(()), Err(DomainErrorCode::ProductNotFound)]));
        assert_eq!(ids(&list(&service, None, Page::default()).await.into_result().unwrap()), ["TRAY"]);
        assert_eq!(service.available("MUG").await, 0);
        let refused = service.reserve(reserve(fresh_order(), 1, &[("MUG", 1)])).await;
        assert_eq!(refused, Reserved::UnknownProducts { product_ids: vec![product("MUG")] });
        service.put("MUG", "Mug", "is back").await;
        assert_eq!(service.available("MUG").await, 10);
        service.assert_ledger_adds_up().await;
    })
    .await;
}

#[tokio::test]
async fn prices_in_another_currency_than_configured_are_noticed() {
    on_each_database(async |service| {
        assert_eq!(service.inventory.other_currency().await.unwrap(), None);
        service.put("MUG", "Mug", "Blue").await;
        assert_eq!(service.inventory.other_currency().await.unwrap(), None);
        let euros = Inventory { currency: "EUR".parse().unwrap(), ..service.inventory.clone() };
        assert_eq!(euros.other_currency().await.unwrap().as_deref(), Some("USD"));
    })
    .await;
}

#[tokio::test]
async fn copies_that_start_at_once_fill_an_empty_catalogue_once() {
    on_each_database(async |service| {
        let copies = futures::future::join_all((0..4).map(|_| service.inventory.seed_demo())).await;
        assert!(copies.iter().all(Result::is_ok), "{copies:?}");
        let all = Page { first: Some(100), ..Page::default() };
        let page = list(&service, None, all).await.into_result().unwrap();
        assert!(page.products.len() >= 24);
        let mug = &page.products[0];
        assert_eq!((mug.id.as_str(), mug.name.as_str()), ("PROD01", "Enamel mug"));
        assert_eq!((mug.unit_price.to_decimal(), mug.available_quantity), ("14.50".to_owned(), 5_000));
        service.assert_ledger_adds_up().await;
        service.reserve(reserve(fresh_order(), 1, &[("PROD28", 1)])).await;
        service.inventory.seed_demo().await.unwrap();
        assert_eq!(service.available("PROD28").await, 0, "a catalogue that isn't empty is left alone");
    })
    .await;
}
