//! The page at `/`.

use base64::{Engine, engine::general_purpose::STANDARD};
use gateway::http::playground::{CDN, OWN_FILES, Playground, SCRIPTS, STYLES};
use serde_json::Value;
use service_kit::config::Secret;
use sha2::{Digest, Sha256, Sha384};

use crate::kit::{Options, TestGateway};

/// The settings that the page hands to its script.
fn settings(html: &str) -> Value {
    let start = r#"<script type="application/json" id="playground-config">"#;
    let (_, rest) = html.split_once(start).unwrap();
    let (json, _) = rest.split_once("</script>").unwrap();
    serde_json::from_str(json).unwrap()
}

#[tokio::test]
async fn the_page_is_served_with_a_policy_that_admits_its_own_parts_alone() {
    let gateway = TestGateway::start().await;
    let response = gateway.http.get(gateway.url("/")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    let html = response.text().await.unwrap();

    let scripts: Vec<_> = html.split("<script>").skip(1).collect();
    assert_eq!(scripts.len(), 1, "one script of its own");
    let (script, _) = scripts[0].split_once("</script>").unwrap();
    let hash = STANDARD.encode(Sha256::digest(script));
    assert!(policy.contains(&format!("'sha256-{hash}'")), "{policy}");
    let script_sources = policy.split("; ").find(|rule| rule.starts_with("script-src")).unwrap();
    assert!(!script_sources.contains("unsafe"), "{policy}");
    assert!(policy.starts_with("default-src 'none'"));

    assert_eq!(script_sources, format!("script-src 'self' 'sha256-{hash}'"), "of the gateway's own files");
    for asset in STYLES.iter().chain(&SCRIPTS) {
        assert!(html.contains(&asset.url(OWN_FILES)), "{asset:?}");
        assert!(html.contains(asset.integrity), "{asset:?}");
    }
    let loaded = html.matches("integrity=").count();
    assert_eq!(loaded, STYLES.len() + SCRIPTS.len());
    assert!(!html.contains("//cdn"), "nothing comes from elsewhere");
}

#[tokio::test]
async fn the_files_are_npms_and_browsers_keep_them() {
    let gateway = TestGateway::start().await;
    for asset in STYLES.iter().chain(&SCRIPTS) {
        let response = gateway.http.get(gateway.url(&asset.url(OWN_FILES))).send().await.unwrap();
        assert_eq!(response.status(), 200, "{asset:?}");
        let kind = if asset.path.ends_with(".css") { "text/css" } else { "text/javascript" };
        assert_eq!(response.headers()["content-type"], format!("{kind}; charset=utf-8"));
        assert_eq!(response.headers()["cache-control"], "public, max-age=31536000, immutable");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        let hash = STANDARD.encode(Sha384::digest(response.bytes().await.unwrap()));
        assert_eq!(asset.integrity, format!("sha384-{hash}"), "{asset:?}");
    }
    for path in ["/playground/npm/graphiql@4.1.2/package.json", "/playground/npm/", "/playground"] {
        let response = gateway.http.get(gateway.url(path)).send().await.unwrap();
        assert_eq!(response.status(), 404, "{path}");
    }
}

#[test]
fn the_page_has_example_tabs_and_a_token_only_where_there_is_one() {
    let page = Playground::default().render();
    let without = settings(&page.html);
    assert_eq!(without["token"], Value::Null);
    let tabs = without["tabs"].as_array().unwrap();
    let begins =
        ["mutation ", "subscription ", "query ", "query OrdersToShip", "subscription WatchAllOrders"];
    assert_eq!(tabs.len(), begins.len());
    for (tab, begin) in tabs.iter().zip(begins) {
        let mut lines = tab["query"].as_str().unwrap().lines();
        assert!(lines.find(|line| !line.starts_with('#')).unwrap().starts_with(begin), "{begin}");
    }
    let variables: Value = serde_json::from_str(tabs[0]["variables"].as_str().unwrap()).unwrap();
    assert_eq!(variables["input"]["items"][1]["productId"], "PROD02");

    let with = Playground { token: Some(Secret::new("a.b.c")), ..Playground::default() };
    assert_eq!(settings(&with.render().html)["token"], "a.b.c");
    assert!(!format!("{with:?}").contains("a.b.c"));
}

#[test]
fn nothing_that_is_filled_in_can_break_out_of_its_place() {
    let token = r#"</script><script>alert(1)</script>{{script}}"#.to_owned();
    let assets_url = r#"http://x/"><script>alert(2)</script>;default-src *"#.to_owned();
    let page = Playground { assets_url, token: Some(Secret::new(token.clone())) }.render();
    assert_eq!(settings(&page.html)["token"], token);
    assert!(!page.html.contains("<script>alert"));
    assert!(!page.policy.contains(";default-src *"));
}

#[test]
fn a_build_without_the_files_loads_them_from_the_cdn() {
    let page = Playground { assets_url: CDN.to_owned(), token: None }.render();
    for asset in STYLES.iter().chain(&SCRIPTS) {
        assert!(page.policy.contains(&asset.url(CDN)), "{asset:?}");
        assert!(page.html.contains(&asset.url(CDN)), "{asset:?}");
    }
    assert!(!page.policy.split("; ").any(|rule| rule.starts_with("script-src") && rule.contains("'self'")));
}

#[tokio::test]
async fn the_files_may_come_from_elsewhere_with_the_same_hashes() {
    let playground = Playground { assets_url: "http://127.0.0.1:1/npm/".into(), token: None };
    let gateway = TestGateway::with(Options { playground: Some(playground), ..Options::default() }).await;
    let html = gateway.http.get(gateway.url("/")).send().await.unwrap().text().await.unwrap();
    assert!(!html.contains("jsdelivr"));
    let graphiql = SCRIPTS.last().unwrap();
    let tag = format!(
        r#"<script src="http://127.0.0.1:1/npm/graphiql@4.1.2/graphiql.min.js" integrity="{}""#,
        graphiql.integrity
    );
    assert!(html.contains(&tag));
}
