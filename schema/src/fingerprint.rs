//! Whether two inputs under one idempotency key are the same input.

use crate::order_messages::Item;

/// A digest of what was asked for: the items, sorted by product, and the address as given.
///
/// An address that was left out differs from any address that was given, the customer's own
/// included. Parts are length-prefixed, so that no two inputs read as the same bytes.
pub fn request_fingerprint(items: &[Item], shipping_address: Option<&str>) -> String {
    let mut sorted: Vec<&Item> = items.iter().collect();
    sorted.sort_by(|a, b| a.product_id.cmp(&b.product_id));
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    part(&(sorted.len() as u64).to_be_bytes());
    for item in sorted {
        part(item.product_id.as_str().as_bytes());
        part(&item.quantity.to_be_bytes());
    }
    if let Some(address) = shipping_address {
        part(address.as_bytes());
    }
    format!("b3:{}", hasher.finalize().to_hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(product_id: &str, quantity: u32) -> Item {
        Item { product_id: product_id.parse().unwrap(), quantity }
    }

    #[test]
    fn the_order_of_items_does_not_matter_and_everything_else_does() {
        let first = request_fingerprint(&[item("A", 1), item("B", 2)], None);
        assert_eq!(first, request_fingerprint(&[item("B", 2), item("A", 1)], None));
        for other in [
            request_fingerprint(&[item("A", 2), item("B", 1)], None),
            request_fingerprint(&[item("A", 1)], None),
            request_fingerprint(&[item("A", 1), item("B", 2)], Some("")),
            request_fingerprint(&[item("A", 1), item("B", 2)], Some("1 Harbour Street")),
        ] {
            assert_ne!(first, other);
        }
    }
}
