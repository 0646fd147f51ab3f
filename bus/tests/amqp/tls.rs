//! RabbitMQ over TLS, with certificates of an authority that the system doesn't know.

use bus::amqp::{AmqpConfig, AmqpTransport};
use bus::conformance::retry_delays;
use bus::topology::Topology;
use bus::transport::{LinkState, Transport as _};
use testkit::{Authority, RabbitMq, WAIT_LIMIT, eventually, unique};

fn connect(url: &str, root_certificates: Option<String>) -> AmqpTransport {
    let topology = Topology::new(unique("tls"), retry_delays());
    let mut config = AmqpConfig::new(url, "tls.1", topology);
    config.root_certificates = root_certificates;
    AmqpTransport::connect(config).unwrap()
}

/// Why the broker can't be connected to.
async fn refusal(url: &str, root_certificates: Option<String>) -> String {
    let transport = connect(url, root_certificates);
    eventually("connecting fails", async || match &*transport.link_state().borrow() {
        LinkState::Down(reason) if reason != "connecting" => Some(reason.clone()),
        state => {
            assert!(!matches!(state, LinkState::Up { .. }), "{url} is connected to");
            None
        }
    })
    .await
}

#[tokio::test]
async fn the_brokers_certificate_is_checked_against_the_given_root() {
    let authority = Authority::new();
    let root = || Some(authority.root());
    let server = RabbitMq::start_with_tls(&authority.issue(&["localhost"])).await.unwrap();
    let url = server.tls_url("localhost");

    connect(&url, root()).wait_until_up(WAIT_LIMIT).await.unwrap();
    let unknown = refusal(&url, None).await;
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    let of_another = refusal(&url, Some(Authority::new().root())).await;
    assert!(of_another.contains("UnknownIssuer"), "{of_another}");
    let wrong_name = refusal(&server.tls_url("127.0.0.1"), root()).await;
    assert!(wrong_name.contains("not valid for name"), "{wrong_name}");

    server.replace_certificate(&authority.issue_expired(&["localhost"])).await.unwrap();
    let expired = refusal(&url, root()).await;
    assert!(expired.contains("certificate expired"), "{expired}");
    server.replace_certificate(&authority.issue(&["localhost"])).await.unwrap();
    connect(&url, root()).wait_until_up(WAIT_LIMIT).await.unwrap();
}
