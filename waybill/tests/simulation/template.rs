//! Migrated and seeded database files, made once and copied for each run.

use bus::clock::ManualClock;
use inventory_service::Inventory;
use inventory_service::stock::HoldTime;
use schema::inventory_messages::{Adjust, PutProduct};
use schema::money::{Currency, Money};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::Database;
use store::failpoint::Failpoints;
use tempfile::TempDir;
use uuid::Uuid;

/// Products and what is on hand of each: little, so that clients compete.
pub(crate) const STOCK: [(&str, i64); 4] = [("MUG", 12), ("TRAY", 30), ("LAMP", 3), ("ROPE", 200)];
pub(crate) const START: &str = "2026-11-23T19:00:00.000Z";

static TEMPLATE: Mutex<Option<TempDir>> = Mutex::new(None);

/// A folder in memory if there is one: what matters here is the order of writes, not the disk.
pub(crate) fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

pub(crate) fn url(folder: &Path, name: &str) -> String {
    format!("sqlite://{}", folder.join(name).display())
}

/// Copies the two files into `folder`.
pub(crate) async fn copy_to(folder: &Path) {
    let template: PathBuf = {
        let made = TEMPLATE.lock().unwrap().as_ref().map(|made| made.path().to_owned());
        match made {
            Some(path) => path,
            None => {
                let made = make().await;
                let path = made.path().to_owned();
                *TEMPLATE.lock().unwrap() = Some(made);
                path
            }
        }
    };
    for name in ["orders.sqlite", "inventory.sqlite"] {
        std::fs::copy(template.join(name), folder.join(name)).unwrap();
    }
}

async fn make() -> TempDir {
    let folder = folder();
    let clock = Arc::new(ManualClock::at(START.parse().unwrap()));
    let orders = Database::connect(&url(folder.path(), "orders.sqlite"), clock.clone()).await.unwrap();
    migrations::ORDERS.migrate(&orders).await.unwrap();
    orders.close().await;
    let database = Database::connect(&url(folder.path(), "inventory.sqlite"), clock).await.unwrap();
    migrations::INVENTORY.migrate(&database).await.unwrap();
    let inventory = Inventory {
        database: database.clone(),
        currency: Currency::USD,
        hold_time: HoldTime(Duration::from_secs(60)),
        failpoints: Failpoints::default(),
    };
    for (index, (product, on_hand)) in STOCK.into_iter().enumerate() {
        let put = PutProduct {
            id: product.parse().unwrap(),
            name: product.to_lowercase(),
            description: "something to sell".to_owned(),
            unit_price: Money { amount_minor: 1_000, currency: Currency::USD },
        };
        inventory.put(&[put]).await.unwrap().remove(0).unwrap();
        let adjust = Adjust {
            adjustment_id: Uuid::from_u128(index as u128 + 1),
            product_id: product.parse().unwrap(),
            by: on_hand,
            reason: "opening stock".to_owned(),
        };
        inventory.adjust(&[adjust]).await.unwrap().remove(0).unwrap();
    }
    database.close().await;
    folder
}
