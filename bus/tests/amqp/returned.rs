//! Messages that the broker returns.

use bus::message::Message;
use bus::transport::{PublishError, Target, Transport as _};
use schema::pattern::Service;
use testkit::{WAIT_LIMIT, eventually};

use crate::holding_proxy::HoldingProxy;
use crate::kit::{Rabbit, port_of};

/// A broker that receives many messages at once returns some first and confirms all of them later, in one frame.
#[tokio::test]
async fn returned_messages_are_told_apart_if_confirmations_come_together() {
    let mut rabbit = Rabbit::shared().await;
    let proxy = HoldingProxy::before(port_of(&rabbit.url)).await;
    rabbit.url = proxy.url(&rabbit.url);
    let transport = rabbit.connected("gateway.1").await;
    let requests = transport.topology().requests(Service::Order);
    let is_unroutable = |index: usize| index % 4 == 1;
    let messages = (0..400).map(|index| {
        let queue = if is_unroutable(index) { "not.declared" } else { &requests };
        let message = Message { body: format!("{index}").into(), ..Message::default() };
        (Target::Queue(queue.to_owned()), message)
    });
    let first = vec![(Target::Queue(requests.clone()), Message::default())];
    assert_eq!(transport.publish(first, WAIT_LIMIT).await, [Ok(())]);
    proxy.hold();
    let publishing = transport.publish(messages.collect(), WAIT_LIMIT);
    let opening = async {
        eventually("everything is written", async || proxy.held() > 400 * 40).await;
        proxy.release();
    };
    let (published, ()) = tokio::join!(publishing, opening);
    for (index, published) in published.into_iter().enumerate() {
        let expected = if is_unroutable(index) { Err(PublishError::Unroutable) } else { Ok(()) };
        assert_eq!(published, expected, "message {index}");
    }
}
