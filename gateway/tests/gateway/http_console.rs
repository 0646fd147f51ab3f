//! The page at `/console`: where it is served, under which policy, and to whom it gives tokens.

use gateway::auth::{AuthConfig, KeySource};
use gateway::http::{Console, CorsOrigins, console::ConsoleSetting};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use service_kit::config::Secret;

use crate::kit::{Options, SECRET, TestGateway, answer};

async fn gateway(console: Console) -> TestGateway {
    TestGateway::with(Options { console, cors: CorsOrigins::Local, ..Options::default() }).await
}

fn mock() -> Console {
    Console::Mock(Secret::new(SECRET))
}

async fn get(gateway: &TestGateway, path: &str) -> Response {
    gateway.http.get(gateway.url(path)).send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers()[name].to_str().unwrap()
}

#[tokio::test]
async fn the_page_runs_its_own_files_alone() {
    let gateway = gateway(mock()).await;
    for path in [
        "/console",
        "/console/",
        "/console/shop",
        "/console/orders?status=SHIPPED",
        "/console/orders/1",
        "/console/now",
    ] {
        let page = get(&gateway, path).await;
        assert_eq!(
            (page.status(), header(&page, "content-type")),
            (StatusCode::OK, "text/html; charset=utf-8"),
            "{path}"
        );
        let policy = header(&page, "content-security-policy").to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'; "), "{policy}");
        assert!(policy.contains("require-trusted-types-for 'script'; trusted-types 'none'"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        let html = page.text().await.unwrap();
        let files: Vec<_> = html.split('"').filter(|part| part.starts_with("/console/files/")).collect();
        assert_eq!(files, ["/console/files/console.css", "/console/files/app.js"]);
        for script in html.split("<script").skip(1) {
            assert!(script.contains("></script>"), "a script within the page: {script}");
        }
    }
    for (path, kind) in
        [("console.css", "text/css; charset=utf-8"), ("app.js", "text/javascript; charset=utf-8")]
    {
        let file = get(&gateway, &format!("/console/files/{path}")).await;
        assert_eq!(header(&file, "content-type"), kind);
        assert_eq!(header(&file, "x-content-type-options"), "nosniff");
    }
    for path in [
        "/console/files/none.js",
        "/console/files/index.html",
        "/console/files/..%2f..%2fCargo.toml",
        "/console/other",
    ] {
        assert_eq!(get(&gateway, path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn all_of_it_is_sent_in_less_than_60_kb() {
    let gateway = gateway(mock()).await;
    let names = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/console")).unwrap();
    let mut sent = 0;
    for name in names.map(|file| file.unwrap().file_name().into_string().unwrap()) {
        let path =
            if name == "index.html" { "/console".to_owned() } else { format!("/console/files/{name}") };
        let request = gateway.http.get(gateway.url(&path)).header("accept-encoding", "gzip");
        sent += request.send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap().len();
    }
    assert!((10_000..60_000).contains(&sent), "{sent} bytes");
}

#[tokio::test]
async fn a_file_that_has_not_changed_is_not_sent_again() {
    let gateway = gateway(mock()).await;
    let url = gateway.url("/console/files/app.js");
    let first = gateway.http.get(&url).send().await.unwrap();
    assert_eq!(header(&first, "cache-control"), "no-cache");
    let tag = header(&first, "etag").to_owned();
    let again =
        async |known: &str| gateway.http.get(&url).header("if-none-match", known).send().await.unwrap();
    let unchanged = again(&format!("\"other\", {tag}")).await;
    assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(unchanged.text().await.unwrap(), "");
    assert_eq!(again("\"other\"").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn in_mock_mode_the_page_and_no_page_elsewhere_gets_tokens() {
    let gateway = gateway(mock()).await;
    let url = gateway.url("/console/config.json");
    let response = gateway.http.get(&url).header("sec-fetch-site", "same-origin").send().await.unwrap();
    assert_eq!(header(&response, "cache-control"), "no-store");
    let config: Value = response.json().await.unwrap();
    let identities = config["identities"].as_array().unwrap();
    let names: Vec<_> = identities.iter().map(|identity| identity["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Customer CUST01", "Customer CUST02", "Warehouse"]);
    for identity in identities {
        let token = identity["token"].as_str().unwrap();
        let request = gateway.post(&serde_json::json!({ "query": "{ __typename }" })).bearer_auth(token);
        assert_eq!(answer(request).await.0, 200);
    }
    for site in ["same-site", "cross-site"] {
        let request =
            gateway.http.get(&url).header("sec-fetch-site", site).header("origin", "http://localhost:5173");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert!(!response.text().await.unwrap().contains("token"));
    }
}

#[tokio::test]
async fn a_sign_in_page_reaches_back_and_no_token_is_given_out() {
    let page = "https://sign-in.example/console";
    let Ok(ConsoleSetting::SignInPage(url)) = ConsoleSetting::parse(page) else {
        panic!("{page} is an address")
    };
    let gateway = gateway(Console::SignIn(Some(url))).await;
    let html = get(&gateway, "/console").await;
    assert_eq!(header(&html, "cross-origin-opener-policy"), "same-origin-allow-popups");
    let config: Value = get(&gateway, "/console/config.json").await.json().await.unwrap();
    assert_eq!((&config["signInPage"], &config["identities"]), (&page.into(), &serde_json::json!([])));
}

#[tokio::test]
async fn without_a_console_its_paths_are_nothing() {
    let gateway = gateway(Console::Off).await;
    for path in ["/console", "/console/config.json", "/console/files/app.js"] {
        assert_eq!(get(&gateway, path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[test]
fn it_is_on_in_mock_mode_and_in_jwks_mode_if_it_is_asked_for() {
    let mock = AuthConfig::Mock { secret: Secret::new(SECRET) };
    let jwks =
        AuthConfig::Jwks { source: KeySource::File("keys".into()), issuer: "i".into(), audience: "a".into() };
    let console = |setting: &str, auth| Console::new(&ConsoleSetting::parse(setting).unwrap(), auth);
    assert!(matches!(Console::new(&ConsoleSetting::ByMode, &mock), Console::Mock(_)));
    assert!(matches!(Console::new(&ConsoleSetting::ByMode, &jwks), Console::Off));
    assert!(matches!(console("off", &mock), Console::Off));
    assert!(matches!(console("on", &jwks), Console::SignIn(None)));
    assert!(matches!(console("https://sign-in.example", &jwks), Console::SignIn(Some(_))));
    for wrong in ["yes", "ftp://sign-in.example", "sign-in.example"] {
        assert!(ConsoleSetting::parse(wrong).is_err(), "{wrong}");
    }
}
