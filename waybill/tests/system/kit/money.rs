//! Exact sums over the API's decimal strings.

/// The decimal with two digits that is so many times each amount, summed up.
pub(crate) fn times(amounts: &[(&str, u32)]) -> String {
    let cents: u64 = amounts.iter().map(|(amount, quantity)| cents(amount) * u64::from(*quantity)).sum();
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn cents(amount: &str) -> u64 {
    let (whole, fraction) = amount.split_once('.').unwrap();
    assert_eq!(fraction.len(), 2, "{amount}");
    whole.parse::<u64>().unwrap() * 100 + fraction.parse::<u64>().unwrap()
}
