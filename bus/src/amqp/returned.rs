//! Messages that came back because no queue took them, until their own confirmation comes.

use lapin::message::BasicReturnMessage;

use super::publisher::Outgoing;

/// No longer than the publishing window, as each one belongs to a message that is still unconfirmed.
#[derive(Default)]
pub(super) struct Returned(Vec<BasicReturnMessage>);

impl Returned {
    pub(super) fn extend(&mut self, returned: Option<BasicReturnMessage>) {
        self.0.extend(returned);
    }

    /// Whether the message came back. Of two that are alike to the last byte, either may be meant.
    pub(super) fn take(&mut self, outgoing: &Outgoing) -> bool {
        let found = self.0.iter().position(|returned| is_same(returned, outgoing));
        found.inspect(|&index| drop(self.0.swap_remove(index))).is_some()
    }
}

fn is_same(returned: &BasicReturnMessage, outgoing: &Outgoing) -> bool {
    let properties = &outgoing.properties;
    returned.routing_key == outgoing.routing_key
        && returned.exchange == outgoing.exchange
        && returned.properties.message_id() == properties.message_id()
        && returned.properties.correlation_id() == properties.correlation_id()
        && returned.data == outgoing.body
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use lapin::BasicProperties;
    use lapin::message::Delivery;

    fn outgoing(id: &str) -> Outgoing {
        Outgoing {
            exchange: "".into(),
            routing_key: "queue".into(),
            mandatory: true,
            properties: BasicProperties::default().with_message_id(id.into()),
            body: Bytes::from_static(b"{}"),
        }
    }

    #[test]
    fn a_message_that_came_back_is_known_by_what_it_says_whoever_confirmation_it_came_with() {
        let mut delivery = Delivery::mock(0, "".into(), "queue".into(), false, b"{}".to_vec());
        delivery.properties = BasicProperties::default().with_message_id("second".into());
        let message = BasicReturnMessage { delivery, reply_code: 312, reply_text: "NO_ROUTE".into() };
        let mut returned = Returned::default();
        returned.extend(Some(message));
        assert!(!returned.take(&outgoing("first")));
        assert!(returned.take(&outgoing("second")));
        assert!(!returned.take(&outgoing("second")), "once only");
    }
}
