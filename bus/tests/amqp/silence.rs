//! Brokers that are there and say nothing.

use bus::message::Message;
use bus::transport::{LinkState, PublishError, Target, Transport as _};
use schema::pattern::Service;
use std::time::Duration;
use testkit::{WAIT_LIMIT, eventually};

use crate::dam::Dam;
use crate::stand::{Rabbit, port_of};

#[tokio::test]
async fn a_broker_that_falls_silent_is_left_and_found_again() {
    let rabbit = Rabbit::of_its_own().await;
    let transport = rabbit.connected("gateway.1").await;
    let requests = Target::Queue(transport.topology().requests(Service::Order));
    let publish = async |limit| transport.publish(vec![(requests.clone(), Message::default())], limit).await;
    assert_eq!(publish(WAIT_LIMIT).await, [Ok(())]);

    rabbit.server().pause().unwrap();
    // Stopping takes effect a moment later.
    eventually("a message is in doubt", async || {
        let published = publish(Duration::from_millis(200)).await;
        if matches!(published[..], [Err(PublishError::Unknown(_))]) { Ok(()) } else { Err(published) }
    })
    .await;
    eventually("the silence is noticed", async || {
        matches!(*transport.link_state().borrow(), LinkState::Down(_))
    })
    .await;
    assert_eq!(publish(WAIT_LIMIT).await, [Err(PublishError::Disconnected)]);

    rabbit.server().resume().unwrap();
    transport.wait_until_up(WAIT_LIMIT).await.unwrap();
    assert_eq!(publish(WAIT_LIMIT).await, [Ok(())]);
}

/// Each attempt costs two sockets and two threads, so none may outlive its time.
#[tokio::test]
async fn attempts_that_nobody_answers_are_given_up_altogether() {
    let mut rabbit = Rabbit::shared().await;
    let dam = Dam::before(port_of(&rabbit.url)).await;
    rabbit.url = dam.url(&rabbit.url);
    dam.close();
    let transport = rabbit.connect("gateway.1");
    eventually("an attempt is under way", async || dam.connections() > 0).await;
    eventually("the reason is said", async || {
        let link = transport.link_state().borrow().clone();
        if matches!(&link, LinkState::Down(reason) if reason.contains("did not answer")) {
            Ok(())
        } else {
            Err(link)
        }
    })
    .await;
    eventually("both connections are hung up", async || dam.connections() == 0).await;
    dam.open();
    transport.wait_until_up(WAIT_LIMIT).await.unwrap();
}
