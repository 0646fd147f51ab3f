//! Messages that come back.

use bus::message::Message;
use bus::transport::{PublishError, Target, Transport as _};
use schema::pattern::Service;
use testkit::{WAIT_LIMIT, eventually};

use crate::dam::Dam;
use crate::stand::{Rabbit, port_of};

/// A broker that gets many messages at once returns some first and confirms all of them later, in one go.
#[tokio::test]
async fn each_returned_message_is_known_by_itself_when_confirmations_come_together() {
    let mut rabbit = Rabbit::shared().await;
    let dam = Dam::before(port_of(&rabbit.url)).await;
    rabbit.url = dam.url(&rabbit.url);
    let transport = rabbit.connected("gateway.1").await;
    let requests = transport.topology().requests(Service::Order);
    let goes_nowhere = |index: usize| index % 4 == 1;
    let messages = (0..400).map(|index| {
        let queue = if goes_nowhere(index) { "nobody.has.this" } else { &requests };
        let message = Message { body: format!("{index}").into(), ..Message::default() };
        (Target::Queue(queue.to_owned()), message)
    });
    let first = vec![(Target::Queue(requests.clone()), Message::default())];
    assert_eq!(transport.publish(first, WAIT_LIMIT).await, [Ok(())]);
    dam.close();
    let publishing = transport.publish(messages.collect(), WAIT_LIMIT);
    let opening = async {
        eventually("everything is written", async || dam.held() > 400 * 40).await;
        dam.open();
    };
    let (published, ()) = tokio::join!(publishing, opening);
    for (index, published) in published.into_iter().enumerate() {
        let expected = if goes_nowhere(index) { Err(PublishError::Unroutable) } else { Ok(()) };
        assert_eq!(published, expected, "message {index}");
    }
}
