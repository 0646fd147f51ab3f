//! The demo's catalogue, which an empty database is seeded with.

use schema::domain_error::DomainError;
use schema::inventory_messages::{Adjust, PutProduct};
use schema::money::Money;
use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use store::StoreError;
use uuid::Uuid;

use crate::inventory::Inventory;
use crate::stock::UnitOfWork;
use crate::tables::product;
use crate::unit_of_work::LockSet;

/// The namespace of the first deliveries' ids, which are derived so that copies that start together make them once.
const FIRST_DELIVERIES: Uuid = Uuid::from_u128(0x5b0f_7a51_3f0e_4d0e_9f57_0f1d_1a9e_0001);

/// Name, description, price in minor units, units on hand; PROD01 and on.
#[rustfmt::skip]
const PRODUCTS: [(&str, &str, i64, i64); 28] = [
    ("Enamel mug", "Holds 350 ml, survives campfires and dishwashers alike.", 1450, 5_000),
    ("Canvas tote bag", "Heavy cotton with long handles; carries a week's groceries.", 1900, 5_000),
    ("Walnut serving board", "Oiled walnut with a leather loop, 45 by 20 cm.", 4800, 800),
    ("Linen apron", "Washed linen with crossed straps and two deep pockets.", 5400, 600),
    ("Pour-over coffee dripper", "Porcelain cone for one or two cups, size 02.", 2750, 900),
    ("Paper coffee filters", "A hundred unbleached filters, size 02.", 650, 4_000),
    ("Hand coffee grinder", "Steel burrs, adjustable from espresso to French press.", 7900, 250),
    ("Cast-iron skillet", "Pre-seasoned, 26 cm, for stove, oven and open fire.", 4200, 400),
    ("Beeswax food wraps", "Three sizes in a set; rinse, dry and use again.", 1650, 1_500),
    ("Glass storage jar", "One litre with a cork lid.", 1200, 2_000),
    ("Stoneware bowl", "Hand-glazed, 16 cm; no two are quite alike.", 2200, 700),
    ("Chef's knife", "20 cm blade of Japanese steel, maple handle.", 11_900, 120),
    ("Whetstone", "Two grits, 1000 and 6000, on a bamboo base.", 3900, 300),
    ("Wool throw blanket", "Lambswool, 130 by 180 cm, herringbone.", 9800, 150),
    ("Soy candle", "Cedar and sage, burns for some forty hours.", 2400, 1_200),
    ("Reading lamp", "Brass arm, dimmable warm light, two-metre cord.", 8900, 180),
    ("Dotted notebook", "A5, 192 numbered pages, lies flat.", 1800, 3_000),
    ("Fountain pen", "Steel nib, fine, with a converter for bottled ink.", 3400, 500),
    ("Bottled ink", "50 ml, midnight blue, dries in ten seconds.", 1500, 800),
    ("Desk plant", "A pothos in a 12 cm clay pot; forgives neglect.", 1700, 220),
    ("Day pack", "18 litres, waxed canvas, padded sleeve for a laptop.", 12_500, 140),
    ("Insulated bottle", "750 ml of steel: cold for a day, hot for half of one.", 3200, 1_000),
    ("Merino socks", "Crew length, mended for life.", 2100, 2_500),
    ("Trail map case", "Waterproof, with a neck strap and a pencil loop.", 1350, 400),
    ("Folding camp stool", "Beech and canvas, 1.1 kg, holds 110 kg.", 5900, 60),
    ("Hurricane lantern", "Galvanised steel; burns lamp oil for 26 hours.", 3700, 45),
    ("Restored typewriter", "A 1960s portable, cleaned and with a fresh ribbon.", 24_900, 3),
    ("Handwoven rug", "One of a kind, 170 by 240 cm.", 89_000, 1),
];

impl Inventory {
    /// Fills an empty catalogue with the demo's products, and their stock through the ledger.
    pub async fn seed_demo(&self) -> Result<(), StoreError> {
        if product::Entity::find().count(self.database.read()).await? > 0 {
            return Ok(());
        }
        let (products, deliveries) = (products(self.currency), first_deliveries());
        let locks = LockSet {
            products: products.iter().map(|product| product.id.clone()).collect(),
            adjustments: deliveries.iter().map(|delivery| delivery.adjustment_id).collect(),
            ..LockSet::default()
        };
        let fill = |work: &mut UnitOfWork| {
            products.iter().try_for_each(|product| work.put(product, self.currency).map(drop))?;
            deliveries.iter().try_for_each(|delivery| work.adjust(delivery).map(drop))
        };
        let filled: Result<(), DomainError> = self.transact(&locks, fill).await?;
        filled.expect("the demo's products and deliveries are within bounds");
        tracing::info!(products = PRODUCTS.len(), "catalogue seeded with the demo's products");
        Ok(())
    }
}

fn products(currency: schema::money::Currency) -> Vec<PutProduct> {
    numbered()
        .map(|(id, (name, description, amount_minor, _))| PutProduct {
            id: id.parse().expect("the demo's ids are short"),
            name: name.to_owned(),
            description: description.to_owned(),
            unit_price: Money { amount_minor, currency },
        })
        .collect()
}

fn first_deliveries() -> Vec<Adjust> {
    numbered()
        .map(|(id, (.., on_hand))| Adjust {
            adjustment_id: Uuid::new_v5(&FIRST_DELIVERIES, id.as_bytes()),
            product_id: id.parse().expect("the demo's ids are short"),
            by: on_hand,
            reason: "first delivery".to_owned(),
        })
        .collect()
}

fn numbered() -> impl Iterator<Item = (String, (&'static str, &'static str, i64, i64))> {
    PRODUCTS.into_iter().enumerate().map(|(index, product)| (format!("PROD{:02}", index + 1), product))
}
