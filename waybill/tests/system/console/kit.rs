//! A window of the console, and what its reader does.

use serde_json::{Value, json};
use testkit::eventually;

use crate::browser::{Chromium, Window};

/// An element of the page: `button` by its text, anything else by a selector.
pub(crate) fn one(selector: &str) -> String {
    format!("document.querySelector({})", json!(selector))
}

pub(crate) fn button(label: &str) -> String {
    format!(
        "[...document.querySelectorAll('button')].find(button => button.innerText === {} && !button.disabled)",
        json!(label)
    )
}

pub(crate) struct ConsoleWindow(pub(crate) Window);

impl ConsoleWindow {
    /// Opens a path of the console as an identity, and waits until it follows the updates.
    pub(crate) async fn open(chromium: &Chromium, path: &str, identity: &str) -> Self {
        let window = Self(chromium.opens(path).await);
        window.0.waits_for(&one("header select")).await;
        let choose = format!(
            "(() => {{ const select = {}; select.value = {}; select.dispatchEvent(new Event('change')); }})()",
            one("header select"),
            json!(identity)
        );
        window.0.evaluate(&choose).await;
        window.is_live().await;
        window
    }

    pub(crate) async fn is_live(&self) {
        self.sees("header .link", "live").await;
    }

    pub(crate) async fn clicks(&self, element: &str) {
        let scroll = format!("({element})?.scrollIntoView({{ block: 'center' }})");
        self.0.waits_for(element).await;
        self.0.evaluate(&scroll).await;
        self.0.click(element).await;
    }

    /// Replaces what a field holds.
    pub(crate) async fn fills(&self, selector: &str, text: &str) {
        self.0.waits_for(&one(selector)).await;
        self.0.evaluate(&format!("(({}).focus(), ({}).select())", one(selector), one(selector))).await;
        self.0.types(text).await;
    }

    /// The text of an element; empty if there is none.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let text = self.0.evaluate(&format!("({})?.innerText", one(selector))).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the element's text holds `part`.
    pub(crate) async fn sees(&self, selector: &str, part: &str) {
        eventually(&format!("{selector} shows {part:?}"), async || {
            let text = self.text(selector).await;
            let page = self.text("body").await;
            if text.contains(part) { Ok(()) } else { Err((text, page, self.faults())) }
        })
        .await;
    }

    /// Each row of the list in sight: the order's id and its status.
    pub(crate) async fn rows(&self) -> Vec<(String, String)> {
        let rows = "[...document.querySelectorAll('.rows .row:not([data-leaving])')].map(row => \
            [row.dataset.id, row.querySelector('.status').dataset.status])";
        serde_json::from_value(self.0.evaluate(rows).await).unwrap()
    }

    /// The page's errors, but for connections that failed: a gateway that is stopped refuses them.
    pub(crate) fn faults(&self) -> Vec<Value> {
        let mut errors = self.0.page_errors();
        errors.retain(|error| {
            error["entry"]["source"] != "network" && !error.to_string().contains("WebSocket connection to")
        });
        errors
    }
}
