//! Pages of other origins, and compressed bodies in both directions.

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};
use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZstdEncoder};
use gateway::http::CorsOrigins;
use reqwest::{Method, Response, header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::kit::{Options, TestGateway, answer, code};

const SHOP: &str = "https://shop.example";

async fn gateway(origins: &str) -> TestGateway {
    TestGateway::with(Options { cors: CorsOrigins::parse(origins).unwrap(), ..Options::default() }).await
}

/// What a browser sends before a page's POST of JSON with a token.
async fn preflight(gateway: &TestGateway, origin: &str) -> Response {
    let request = gateway.http.request(Method::OPTIONS, gateway.url("/graphql"));
    let request = request.header("origin", origin).header("access-control-request-method", "POST");
    request.header("access-control-request-headers", "authorization,content-type").send().await.unwrap()
}

fn text<'a>(response: &'a Response, header: &str) -> Option<&'a str> {
    response.headers().get(header).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_listed_origins_page_may_call_the_gateway_and_read_the_answer() {
    let gateway = gateway(SHOP).await;
    let allowed = preflight(&gateway, SHOP).await;
    assert_eq!(allowed.status(), 200);
    assert_eq!(text(&allowed, "access-control-allow-origin"), Some(SHOP));
    assert!(text(&allowed, "access-control-allow-methods").unwrap().contains("POST"));
    assert_eq!(text(&allowed, "access-control-allow-headers"), Some("authorization,content-type"));
    assert_eq!(text(&allowed, "access-control-max-age"), Some("86400"));
    let post = gateway.post(&json!({ "query": "{ hello }" })).header("origin", SHOP).send().await.unwrap();
    assert_eq!(text(&post, "access-control-allow-origin"), Some(SHOP));
    assert_eq!(text(&post, "access-control-expose-headers"), Some("retry-after,x-request-id,traceresponse"));
    assert!(text(&post, "vary").unwrap().contains("origin"));

    let foreign = preflight(&gateway, "https://shop.example.evil.example").await;
    assert_eq!(text(&foreign, "access-control-allow-origin"), None);
    // A refusal can be read by the page as well.
    let refused = gateway.http.get(gateway.url("/graphql")).header("origin", SHOP).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), text(&refused, "access-control-allow-origin")), (400, Some(SHOP)));
}

#[tokio::test]
async fn origins_are_allowed_by_setting_alone() {
    let none = gateway("").await;
    let response = preflight(&none, SHOP).await;
    assert_eq!((response.status().as_u16(), text(&response, "access-control-allow-origin")), (405, None));
    let local = gateway("local").await;
    let response = preflight(&local, "http://localhost:5173").await;
    assert_eq!(text(&response, "access-control-allow-origin"), Some("http://localhost:5173"));
    assert_eq!(text(&preflight(&local, SHOP).await, "access-control-allow-origin"), None);
    let any = gateway("*").await;
    assert_eq!(text(&preflight(&any, SHOP).await, "access-control-allow-origin"), Some("*"));
}

async fn encoded(encoding: &str, body: &[u8]) -> Vec<u8> {
    macro_rules! encode {
        ($encoder:ident) => {{
            let mut encoder = $encoder::new(Vec::new());
            encoder.write_all(body).await.unwrap();
            encoder.shutdown().await.unwrap();
            encoder.into_inner()
        }};
    }
    match encoding {
        "gzip" => encode!(GzipEncoder),
        "br" => encode!(BrotliEncoder),
        "zstd" => encode!(ZstdEncoder),
        _ => body.to_vec(),
    }
}

async fn decoded(encoding: &str, body: &[u8]) -> String {
    let mut text = String::new();
    let read = match encoding {
        "gzip" => GzipDecoder::new(body).read_to_string(&mut text).await,
        "br" => BrotliDecoder::new(body).read_to_string(&mut text).await,
        "zstd" => ZstdDecoder::new(body).read_to_string(&mut text).await,
        other => panic!("{other}"),
    };
    read.unwrap();
    text
}

fn post(gateway: &TestGateway, encoding: &str, body: Vec<u8>) -> reqwest::RequestBuilder {
    let post = gateway.http.post(gateway.url("/graphql")).header(header::CONTENT_TYPE, "application/json");
    post.header(header::CONTENT_ENCODING, encoding).body(body)
}

#[tokio::test]
async fn a_compressed_body_is_read_within_the_same_bound() {
    let gateway = TestGateway::with_limits(|limits| limits.max_body_bytes = 10_000).await;
    let query = json!({ "query": "{ hello }" }).to_string();
    let bomb = json!({ "query": format!("{{ hello }} #{}", "x".repeat(10_000)) }).to_string();
    for encoding in ["gzip", "br", "zstd", "identity"] {
        let request = post(&gateway, encoding, encoded(encoding, query.as_bytes()).await);
        assert_eq!(answer(request).await, (200, json!({ "data": { "hello": "world" } })), "{encoding}");
        let (status, answer) =
            answer(post(&gateway, encoding, encoded(encoding, bomb.as_bytes()).await)).await;
        assert_eq!((status, code(&answer)), (413, "PAYLOAD_TOO_LARGE"), "{encoding}");
    }
    let (status, answer) = answer(post(&gateway, "gzip", b"{}".to_vec())).await;
    assert_eq!((status, code(&answer)), (400, "BAD_USER_INPUT"), "it is not gzip");
}

#[tokio::test]
async fn a_body_in_another_encoding_is_refused_with_those_that_are_read() {
    let gateway = TestGateway::start().await;
    for encoding in ["deflate", "gzip, br", "GZIP2"] {
        let response = post(&gateway, encoding, b"{}".to_vec()).send().await.unwrap();
        assert_eq!(response.status(), 415, "{encoding}");
        assert_eq!(text(&response, "accept-encoding"), Some("gzip, br, zstd"));
        let body: Value = response.json().await.unwrap();
        assert_eq!(code(&body), "BAD_USER_INPUT");
    }
}

#[tokio::test]
async fn a_long_response_is_compressed_for_a_client_that_asks_for_it() {
    let gateway = TestGateway::start().await;
    let long = "ä".repeat(2_000);
    let ask = async |text: &str, accept: &str| {
        let query =
            json!({ "query": "query($text: String!) { echo(text: $text) }", "variables": { "text": text } });
        gateway.post(&query).header("accept-encoding", accept).send().await.unwrap()
    };
    for (accept, encoding) in [("gzip", "gzip"), ("br", "br"), ("zstd", "zstd"), ("gzip;q=0.5, br", "br")] {
        let response = ask(&long, accept).await;
        assert_eq!(text(&response, "content-encoding"), Some(encoding), "{accept}");
        assert!(text(&response, "vary").unwrap().contains("accept-encoding"));
        let body = response.bytes().await.unwrap();
        assert!(body.len() < 1_000);
        let body: Value = serde_json::from_str(&decoded(encoding, &body).await).unwrap();
        assert_eq!(body["data"]["echo"], long.as_str());
    }
    for (text_, accept) in
        [(long.as_str(), "identity"), (&long, "gzip;q=0"), (&long, "compress"), ("short", "gzip")]
    {
        assert_eq!(text(&ask(text_, accept).await, "content-encoding"), None, "{accept}");
    }
}
