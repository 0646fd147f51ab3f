//! The service over a database of its own, which gets every request twice.

use std::sync::Arc;

use bus::clock::{Deadline, SystemClock};
use bus::envelope::Envelope;
use bus::failure::Failure;
use bus::rpc_server::{Request, RequestHandler};
use customer_service::Customers;
use schema::customer::Customer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::to_raw_value;
use store::Database;
use tempfile::TempDir;

pub(crate) struct Fixture {
    pub(crate) customers: Customers,
    _folder: TempDir,
}

/// Runs a test on an empty database of each kind.
pub(crate) async fn on_each_database(test: impl AsyncFn(Fixture)) {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite://{}/customers.db", folder.path().display());
    test(Fixture::open(&sqlite, folder).await).await;
    let postgres = testkit::postgres_database().await;
    test(Fixture::open(&postgres, tempfile::tempdir().unwrap()).await).await;
}

impl Fixture {
    async fn open(url: &str, folder: TempDir) -> Self {
        let database = Database::connect(url, Arc::new(SystemClock)).await.unwrap();
        migrations::CUSTOMERS.migrate(&database).await.unwrap();
        Self { customers: Customers { database }, _folder: folder }
    }

    /// Sends a request twice, as a broker may, and returns the reply, which has to be the same both times.
    pub(crate) async fn send<Q: Serialize, R: DeserializeOwned>(&self, pattern: &str, data: &Q) -> R {
        let first = self.send_once(pattern, data).await.unwrap();
        assert_eq!(first, self.send_once(pattern, data).await.unwrap(), "{pattern} delivered again");
        serde_json::from_str(&first).unwrap()
    }

    pub(crate) async fn send_once<Q: Serialize>(&self, pattern: &str, data: &Q) -> Result<String, Failure> {
        let envelope = Envelope { pattern: pattern.to_owned(), data: to_raw_value(data).unwrap(), id: None };
        let request = Request { envelope, deadline: Deadline::after(testkit::WAIT_LIMIT) };
        Ok(self.customers.handle(request).await?.get().to_owned())
    }
}

pub(crate) fn customer(id: &str, name: &str) -> Customer {
    Customer {
        id: id.parse().unwrap(),
        name: name.to_owned(),
        email: format!("{id}@example.com"),
        phone: None,
        shipping_address: "1 Harbour Street\nPortland".to_owned(),
    }
}
