//! Brokers that accept connections and send nothing.

use bus::message::Message;
use bus::transport::{LinkState, PublishError, Target, Transport as _};
use schema::pattern::Service;
use std::time::Duration;
use testkit::{WAIT_LIMIT, eventually};

use crate::holding_proxy::HoldingProxy;
use crate::kit::{Rabbit, port_of};

#[tokio::test]
async fn a_broker_that_stops_answering_is_disconnected_and_connected_again() {
    let rabbit = Rabbit::of_its_own().await;
    let transport = rabbit.connected("gateway.1").await;
    let requests = Target::Queue(transport.topology().requests(Service::Order));
    let publish = async |limit| transport.publish(vec![(requests.clone(), Message::default())], limit).await;
    assert_eq!(publish(WAIT_LIMIT).await, [Ok(())]);

    rabbit.server().pause().unwrap();
    // Pausing takes effect a moment later.
    eventually("a message has an unknown outcome", async || {
        let published = publish(Duration::from_millis(200)).await;
        if matches!(published[..], [Err(PublishError::Unknown(_))]) { Ok(()) } else { Err(published) }
    })
    .await;
    eventually("the link is down", async || matches!(*transport.link_state().borrow(), LinkState::Down(_)))
        .await;
    assert_eq!(publish(WAIT_LIMIT).await, [Err(PublishError::Disconnected)]);

    rabbit.server().resume().unwrap();
    transport.wait_until_up(WAIT_LIMIT).await.unwrap();
    assert_eq!(publish(WAIT_LIMIT).await, [Ok(())]);
}

/// Each attempt costs two sockets and two threads, so each must end at its limit.
#[tokio::test]
async fn unanswered_attempts_to_connect_close_their_sockets() {
    let mut rabbit = Rabbit::shared().await;
    let proxy = HoldingProxy::before(port_of(&rabbit.url)).await;
    rabbit.url = proxy.url(&rabbit.url);
    proxy.hold();
    let transport = rabbit.connect("gateway.1");
    eventually("an attempt is under way", async || proxy.connections() > 0).await;
    eventually("the link state has the reason", async || {
        let link = transport.link_state().borrow().clone();
        if matches!(&link, LinkState::Down(reason) if reason.contains("did not answer")) {
            Ok(())
        } else {
            Err(link)
        }
    })
    .await;
    eventually("both connections are closed", async || proxy.connections() == 0).await;
    proxy.release();
    transport.wait_until_up(WAIT_LIMIT).await.unwrap();
}
