use std::time::Duration;

use testkit::{RabbitMq, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::belongings::{descendants, survivors};

#[tokio::test]
async fn a_broker_answers_and_has_quorum_queues_and_streams() {
    let rabbit = RabbitMq::start().await.unwrap();

    let flags = rabbit.ctl(&["list_feature_flags", "--silent"]).await.unwrap();

    for flag in ["quorum_queue", "stream_queue"] {
        let state = flags.lines().find_map(|line| line.strip_prefix(flag)).map(str::trim);
        assert_eq!(state, Some("enabled"), "{flag}");
    }
    assert!(rabbit.url().ends_with(&format!("127.0.0.1:{}/%2f", rabbit.port())));
}

#[tokio::test]
async fn a_killed_broker_refuses_connections_and_comes_back_on_its_port_with_its_data() {
    let rabbit = RabbitMq::start().await.unwrap();
    rabbit.ctl(&["add_vhost", "kept"]).await.unwrap();

    rabbit.kill().await.unwrap();
    assert!(TcpStream::connect(("127.0.0.1", rabbit.port())).await.is_err());
    rabbit.restart().await.unwrap();

    assert!(TcpStream::connect(("127.0.0.1", rabbit.port())).await.is_ok());
    let vhosts = rabbit.ctl(&["list_vhosts", "--silent"]).await.unwrap();
    assert!(vhosts.lines().any(|line| line == "kept"), "{vhosts}");
}

#[tokio::test]
async fn a_paused_broker_is_silent_until_it_is_resumed() {
    let rabbit = RabbitMq::start().await.unwrap();

    rabbit.pause().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", rabbit.port())).await.unwrap();
    stream.write_all(b"AMQP\x00\x00\x09\x01").await.unwrap();
    let silence = timeout(Duration::from_millis(300), stream.read_u8()).await;
    rabbit.resume().unwrap();

    assert!(silence.is_err(), "a paused broker answered");
    eventually("the resumed broker answers", async || stream.read_u8().await).await;
}

#[tokio::test]
async fn a_dropped_broker_leaves_nothing_behind() {
    let rabbit = RabbitMq::start().await.unwrap();
    let folder = rabbit.folder().to_owned();
    let others = descendants(std::process::id());
    assert!(folder.exists());

    drop(rabbit);

    assert!(!folder.exists());
    eventually("the broker and its helpers have ended", async || match survivors(&others)[..] {
        [] => Ok(()),
        ref alive => Err(format!("{alive:?}")),
    })
    .await;
}
