//! What readers see: nothing that axe-core finds fault with, and README's pictures.

use std::path::Path;

use serde_json::{Value, json};
use testkit::install_locked;

use super::kit::{ConsoleWindow, button, one};
use crate::browser::Chromium;
use crate::kit::OneProcess;

const AXE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/axe");
const PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");
const MAX_PICTURE_BYTES: usize = 80_000;
const WIDTHS: [u32; 2] = [1280, 360];

async fn has_no_finding(window: &ConsoleWindow, axe: &str, what: &str) {
    if window.0.evaluate("typeof axe").await != "object" {
        window.0.evaluate(&format!("{axe}; 0")).await;
    }
    for scheme in ["light", "dark"] {
        window.0.prefers(scheme).await;
        for width in WIDTHS {
            window.0.resize(width, 800).await;
            let run = "axe.run().then(({ violations, passes }) => ({ passed: passes.length, violations: violations.map(\
                ({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => [html, failureSummary])]) }))";
            let found = window.0.evaluate(run).await;
            assert!(found["passed"].as_u64().is_some_and(|passed| passed > 10), "{found:#}");
            assert_eq!(found["violations"], json!([]), "{what}, {scheme}, {width} px: {found:#}");
            let is_wider = window.0.evaluate("document.documentElement.scrollWidth > innerWidth").await;
            assert_eq!(is_wider, false, "{what} fits into {width} px");
        }
    }
}

/// Takes a picture. `UPDATE_PICTURE=1` writes it to docs.
#[expect(clippy::disallowed_methods, reason = "a switch of this test alone, no configuration")]
async fn picture(window: &ConsoleWindow, name: &str, scheme: &str, (width, height): (u32, u32)) {
    window.0.prefers(scheme).await;
    window.0.resize(width, height).await;
    window.0.evaluate("scrollTo(0, 0)").await;
    window.0.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))").await;
    let taken = window.0.screenshot().await;
    let path = Path::new(PICTURES).join(name);
    if std::env::var_os("UPDATE_PICTURE").is_some() {
        std::fs::write(&path, &taken).unwrap();
    }
    for png in [taken, std::fs::read(path).unwrap()] {
        assert!(
            png.starts_with(b"\x89PNG\r\n\x1a\n") && png.len() < MAX_PICTURE_BYTES,
            "{name}: {} bytes",
            png.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_view_is_accessible_in_light_and_dark_wide_and_narrow() {
    let packages = install_locked(Path::new(AXE)).await.unwrap();
    let axe = std::fs::read_to_string(packages.path().join("node_modules/axe-core/axe.min.js")).unwrap();
    let mut process = OneProcess::new().with("SEED", "demo");
    let gateway = process.start().await;
    let chromium = Chromium::start(gateway.address()).await;
    let window = ConsoleWindow::open(&chromium, "/console/orders", "Warehouse").await;
    window.sees(".rows", "rejected").await;
    picture(&window, "console.png", "light", (1000, 500)).await;
    has_no_finding(&window, &axe, "orders").await;
    let shipped = one(".rows .row:has([data-status=PROCESSING]) a");
    window.clicks(&shipped).await;
    window.sees(".timeline", ", processing").await;
    window.clicks(&button("Ship")).await;
    has_no_finding(&window, &axe, "an order's form").await;
    window.0.presses("Escape").await;
    picture(&window, "console-narrow.png", "light", (360, 640)).await;

    let customer = ConsoleWindow::open(&chromium, "/console/shop", "Customer CUST01").await;
    customer.clicks(&one("[data-id=PROD01] button")).await;
    customer.sees(".basket", "Enamel mug").await;
    has_no_finding(&customer, &axe, "the shop").await;
    customer.0.goes_to("/console/now").await;
    customer.is_live().await;
    customer.fills("input[type=number]", "30").await;
    customer.clicks(&button("Place demo orders")).await;
    customer.sees("form", "30 placed").await;
    customer.sees("figure", "per second").await;
    picture(&customer, "console-dark.png", "dark", (1000, 600)).await;
    has_no_finding(&customer, &axe, "now").await;
    let orders = gateway.customer("CUST01").lists().await;
    let is_demo = |order: &&Value| order["shippingAddress"].as_str().unwrap().starts_with("[demo]");
    assert_eq!(orders.iter().filter(is_demo).count(), 34, "30 and the four that the shop began with");
    for window in [window, customer] {
        assert_eq!(window.faults(), Vec::<Value>::new());
    }
    process.stop().await;
}
