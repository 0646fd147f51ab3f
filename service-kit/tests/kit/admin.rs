use service_kit::admin;
use service_kit::config::AdminConfig;
use service_kit::health::SILENCE_LIMIT;
use service_kit::{Liveness, Readiness, metrics};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn any_port() -> AdminConfig {
    AdminConfig { host: "127.0.0.1".into(), port: 0 }
}

#[tokio::test]
async fn readyz_lists_unmet_conditions_and_livez_dead_loops() {
    let (readiness, liveness) = (Readiness::default(), Liveness::new(SILENCE_LIMIT));
    let broker = readiness.condition("broker");
    let commands = liveness.watch("order commands", &[], &CancellationToken::new());
    let admin = admin::start(admin::routes(&readiness, &liveness), &any_port()).await.unwrap();

    let missing = r#"{"ready":false,"draining":false,"missing":["broker"]}"#;
    assert_eq!(get(admin.address, "/readyz").await, (503, missing.into()));
    broker.set(true);
    assert_eq!(get(admin.address, "/readyz").await.0, 200);
    readiness.start_draining();
    assert_eq!(get(admin.address, "/readyz").await.0, 503);

    let (status, body) = get(admin.address, "/livez").await;
    assert_eq!(status, 200);
    assert!(
        body.starts_with(r#"{"alive":true,"dead":[],"loops":[{"name":"order commands","silentMs":"#),
        "{body}"
    );
    let (_, shown) = get(admin.address, "/metrics").await;
    assert!(shown.contains(r#"waybill_condition_met{condition="broker"} 1"#), "{shown}");
    assert!(shown.contains(r#"waybill_loop_silent_seconds{loop="order commands"} "#), "{shown}");
    drop(commands);
    let dead =
        r#"{"alive":false,"dead":["order commands"],"loops":[{"name":"order commands","silentMs":null}]}"#;
    assert_eq!(get(admin.address, "/livez").await, (503, dead.into()));
}

#[tokio::test]
async fn metrics_show_recorded_values_and_routes_can_be_added() {
    metrics::install();
    ::metrics::counter!("kit_test_total").increment(3);
    ::metrics::histogram!("kit_test_seconds").record(0.003);
    let extra = axum::Router::new().route("/extra", axum::routing::get(async || "more"));
    let routes = admin::routes(&Readiness::default(), &Liveness::new(SILENCE_LIMIT)).merge(extra);
    let admin = admin::start(routes, &any_port()).await.unwrap();
    let (status, body) = get(admin.address, "/metrics").await;
    assert_eq!(status, 200);
    assert!(body.contains("kit_test_total 3"), "{body}");
    assert!(body.contains(r#"kit_test_seconds_bucket{le="0.005"} 1"#), "{body}");
    assert_eq!(get(admin.address, "/extra").await, (200, "more".into()));
}

#[tokio::test]
async fn a_taken_port_is_one_clear_message() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = AdminConfig { host: "127.0.0.1".into(), port: taken.local_addr().unwrap().port() };
    let routes = admin::routes(&Readiness::default(), &Liveness::new(SILENCE_LIMIT));
    let error = admin::start(routes, &config).await.unwrap_err();
    let text = format!("{error:#}");
    assert!(
        text.starts_with(&format!("cannot listen on 127.0.0.1:{} (ADMIN_PORT): ", config.port)),
        "{text}"
    );
}
