//! Lists of brokers.

use bus::transport::{LinkState, Transport as _};
use testkit::{RabbitMq, WAIT_LIMIT, eventually, free_port};

use crate::kit::Rabbit;

#[tokio::test]
async fn the_next_broker_of_the_list_is_used_when_one_is_lost() {
    let (first, second) = tokio::try_join!(RabbitMq::start(), RabbitMq::start()).unwrap();
    let absent = format!("amqp://guest:guest@127.0.0.1:{}/%2f", free_port());
    let mut rabbit = Rabbit::shared().await;
    rabbit.url = format!("{absent}, {},{}", first.url(), second.url());
    let transport = rabbit.connect("several.1");
    transport.wait_until_up(WAIT_LIMIT).await.unwrap();
    assert_eq!((connections(&first).await, connections(&second).await), (2, 0), "they are tried in order");

    for (lost, next) in [(&first, &second), (&second, &first)] {
        let LinkState::Up { epoch } = *transport.link_state().borrow() else { panic!("it is connected") };
        lost.kill().await.unwrap();
        eventually("the other broker is used", async || match *transport.link_state().borrow() {
            LinkState::Up { epoch: later } if later > epoch => Some(()),
            _ => None,
        })
        .await;
        assert_eq!(connections(next).await, 2);
        lost.restart().await.unwrap();
    }
}

async fn connections(server: &RabbitMq) -> usize {
    let listed = server.ctl(&["list_connections", "--silent", "name"]).await.unwrap();
    listed.lines().filter(|line| line.contains("several.1") || line.contains("->")).count()
}
