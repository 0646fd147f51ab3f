//! Topic matching, as AMQP defines it.

/// Whether a binding's pattern takes a routing key: words between dots, `*` for any one word, `#` for any
/// number of words, none included.
pub(crate) fn matches(pattern: &str, routing_key: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('.').collect();
    let words: Vec<&str> = routing_key.split('.').collect();
    matches_words(&pattern, &words)
}

fn matches_words(pattern: &[&str], words: &[&str]) -> bool {
    match pattern.split_first() {
        None => words.is_empty(),
        Some((&"#", rest)) => (0..=words.len()).any(|skipped| matches_words(rest, &words[skipped..])),
        Some((&first, rest)) => match words.split_first() {
            Some((&word, others)) => (first == "*" || first == word) && matches_words(rest, others),
            None => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_keys_as_amqp_says() {
        for (pattern, key, expected) in [
            ("order.created", "order.created", true),
            ("order.created", "order.07.created", false),
            ("order.*", "order.created", true),
            ("order.*", "order", false),
            ("order.*", "order.07.created", false),
            ("order.#", "order.07.created", true),
            ("order.#", "order", true),
            ("order.#", "orders.07", false),
            ("#", "anything.at.all", true),
            ("#.created", "order.07.created", true),
            ("#.created", "created", true),
            ("#.created", "order.07.deleted", false),
            ("order.*.created", "order.07.created", true),
            ("*.07.#", "order.07", true),
            ("order.#.x.#", "order.a.x.b.c", true),
        ] {
            assert_eq!(matches(pattern, key), expected, "{pattern} on {key}");
        }
    }
}
