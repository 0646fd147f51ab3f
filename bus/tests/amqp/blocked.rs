//! A broker that is short of memory.

use bus::message::Message;
use bus::transport::{Link, PublishError, Target, Transport as _};
use schema::pattern::Service;
use testkit::{PATIENCE, eventually};

use crate::stand::{Rabbit, next};

#[tokio::test]
async fn a_blocked_broker_fails_publishing_at_once_while_consumers_go_on() {
    let rabbit = Rabbit::of_its_own().await;
    let transport = rabbit.connected("gateway.1").await;
    let requests = transport.topology().requests(Service::Order);
    let publish = async |count: usize| {
        let message = (Target::Queue(requests.clone()), Message { body: "{}".into(), ..Message::default() });
        transport.publish(vec![message; count], PATIENCE).await
    };
    assert_eq!(publish(50).await, vec![Ok(()); 50]);

    rabbit.server().ctl(&["set_vm_memory_high_watermark", "0.00001"]).await.unwrap();
    // The broker says so to whoever publishes next; what that one sends is stuck until it is over.
    let stuck = publish(1);
    let seen = eventually("the block is seen", async || {
        let link = transport.link().borrow().clone();
        if matches!(&link, Link::Blocked { reason, .. } if !reason.is_empty()) { Ok(()) } else { Err(link) }
    });
    let afterwards = async {
        seen.await;
        let failed = publish(2).await;
        assert!(failed.iter().all(|failed| matches!(failed, Err(PublishError::Blocked(_)))), "{failed:?}");
        let posted = transport.post(Target::Queue(requests.clone()), Message::default()).await;
        assert!(matches!(posted, Err(PublishError::Blocked(_))), "{posted:?}");

        let mut deliveries = transport.consume(&requests, 5).await.unwrap();
        for _ in 0..50 {
            next(&mut deliveries).await.ack().await;
        }
        rabbit.server().ctl(&["set_vm_memory_high_watermark", "0.4"]).await.unwrap();
        transport.wait_until_up(PATIENCE).await.unwrap();
    };
    let (stuck, ()) = tokio::join!(stuck, afterwards);
    assert_eq!(stuck, [Ok(())]);
    assert_eq!(publish(1).await, [Ok(())]);
}
