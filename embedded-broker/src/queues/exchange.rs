//! Publishing: routing by AMQP's rules, bounds, and the two halves of becoming visible.

use bus::message::Message;
use bus::transport::{PublishError, Target};

use super::{Changes, Millis, QueueName, Queues, Stored, dead_letter};

/// The largest body that is accepted: RabbitMQ's default.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// The result for each message, in the order published.
pub(crate) type Answers = Vec<Result<(), PublishError>>;

/// Messages published together. They become visible together, or not at all.
#[derive(Debug)]
pub(crate) struct Publication {
    answers: Answers,
    /// The copy of each message for each of its queues, with the message's index.
    copies: Vec<(usize, Stored)>,
}

impl Queues {
    /// Whether any of the messages would be routed to a durable queue.
    pub(crate) fn reaches_durable(&self, messages: &[(Target, Message)]) -> bool {
        messages.iter().any(|(target, _)| self.route(target).iter().any(|queue| self.queues[queue].durable))
    }

    /// Accepts or refuses each message, and reserves slots for the accepted ones. A message that one of its queues
    /// refuses goes to none of them.
    pub(crate) fn stage_publication(
        &mut self,
        messages: Vec<(Target, Message)>,
        now: Millis,
        changes: &mut Changes,
    ) -> Publication {
        let mut publication = Publication { answers: Vec::new(), copies: Vec::new() };
        for (index, (target, mut message)) in messages.into_iter().enumerate() {
            dead_letter::remove_headers(&mut message);
            let answer = self.admit(&target, &message).map(|queues| {
                for queue in queues {
                    let copy = self.stage_message(queue, message.clone(), now, changes);
                    self.bytes += copy.entry.bytes();
                    publication.copies.push((index, copy));
                }
            });
            publication.answers.push(answer);
        }
        publication
    }

    pub(crate) fn commit_publication(&mut self, publication: Publication) -> Answers {
        for (_, copy) in publication.copies {
            self.put_reserved(copy);
        }
        publication.answers
    }

    /// Undoes the publication; each message that was accepted is answered with `error`.
    pub(crate) fn abort_publication(
        &mut self,
        mut publication: Publication,
        error: &PublishError,
    ) -> Answers {
        for (index, copy) in publication.copies {
            self.release_slot(&copy.queue);
            self.bytes -= copy.entry.bytes();
            publication.answers[index] = Err(error.clone());
        }
        publication.answers
    }

    fn admit(&self, target: &Target, message: &Message) -> Result<Vec<QueueName>, PublishError> {
        if message.body.len() > MAX_MESSAGE_BYTES && !matches!(target, Target::DeadLetter(_)) {
            return Err(PublishError::TooLarge(MAX_MESSAGE_BYTES));
        }
        if self.is_blocked() {
            return Err(PublishError::Blocked(format!("{} bytes of messages are waiting", self.bytes)));
        }
        let queues = self.route(target);
        if queues.is_empty() && !matches!(target, Target::Events { .. }) {
            return Err(PublishError::Unroutable);
        }
        if queues.iter().any(|queue| self.queues[queue].is_full()) {
            return Err(PublishError::Nacked);
        }
        Ok(queues)
    }

    fn route(&self, target: &Target) -> Vec<QueueName> {
        match target {
            Target::Queue(name) => {
                self.queues.get_key_value(name.as_str()).map(|(name, _)| name.clone()).into_iter().collect()
            }
            Target::DeadLetter(name) => self.dead_letters.get(name.as_str()).cloned().into_iter().collect(),
            Target::Events { routing_key } => self
                .queues
                .iter()
                .filter(|(_, queue)| queue.bindings.iter().any(|key| matches_topic(key, routing_key)))
                .map(|(name, _)| name.clone())
                .collect(),
        }
    }
}

/// Whether a binding's pattern matches a routing key: words between dots, `*` for any one word, `#` for any number of
/// words, none included.
fn matches_topic(pattern: &str, routing_key: &str) -> bool {
    fn matches(pattern: &[&str], words: &[&str]) -> bool {
        match (pattern, words) {
            ([], _) => words.is_empty(),
            (["#", rest @ ..], _) => (0..=words.len()).any(|skipped| matches(rest, &words[skipped..])),
            ([first, rest @ ..], [word, others @ ..]) => {
                (*first == "*" || first == word) && matches(rest, others)
            }
            (_, []) => false,
        }
    }
    let [pattern, words] = [pattern, routing_key].map(|text| text.split('.').collect::<Vec<&str>>());
    matches(&pattern, &words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_keys_as_amqp_says() {
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
            assert_eq!(matches_topic(pattern, key), expected, "{pattern} on {key}");
        }
    }
}
