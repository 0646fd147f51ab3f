//! As much of the DevTools protocol as it takes to look at a page and click on it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use testkit::{WAIT_LIMIT, eventually};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use super::npm::Files;

/// A connection to a browser.
#[derive(Clone)]
pub(super) struct DevTools {
    calls: mpsc::Sender<Value>,
    next_id: Arc<AtomicU64>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    answers: HashMap<u64, oneshot::Sender<Value>>,
    /// By session.
    complaints: HashMap<String, Vec<Value>>,
}

/// One page.
pub(super) struct Window {
    devtools: DevTools,
    session: String,
}

impl DevTools {
    /// Connects. Pages get what is at `origin` and `files`; every other request fails and is a complaint.
    pub(super) async fn connect(address: &str, origin: &str, files: Files) -> Self {
        let (stream, _) = connect_async(address).await.unwrap();
        let (mut sink, mut source) = stream.split();
        let (calls, mut outgoing) = mpsc::channel::<Value>(256);
        tokio::spawn(async move {
            while let Some(call) = outgoing.recv().await {
                sink.send(Message::text(call.to_string())).await.unwrap();
            }
        });
        let devtools = Self { calls, next_id: Arc::default(), seen: Arc::default() };
        let (hearing, origin) = (devtools.clone(), origin.to_owned());
        tokio::spawn(async move {
            while let Some(Ok(message)) = source.next().await {
                if let Ok(text) = message.to_text()
                    && let Ok(message) = serde_json::from_str(text)
                {
                    hearing.hears(message, &origin, &files).await;
                }
            }
        });
        devtools
    }

    /// A new window that shows `url`.
    pub(super) async fn opens(&self, url: &str) -> Window {
        let target = self.call("", "Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.call("", "Target.attachToTarget", attach).await;
        let session = attached["sessionId"].as_str().unwrap().to_owned();
        let window = Window { devtools: self.clone(), session };
        for (method, parameters) in [
            ("Fetch.enable", json!({ "patterns": [{ "urlPattern": "*" }] })),
            ("Runtime.enable", json!({})),
            ("Log.enable", json!({})),
            ("Page.enable", json!({})),
            ("Page.navigate", json!({ "url": url })),
        ] {
            window.call(method, parameters).await;
        }
        window
    }

    async fn call(&self, session: &str, method: &str, parameters: Value) -> Value {
        let (answer, answered) = oneshot::channel();
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.seen.lock().unwrap().answers.insert(id, answer);
        self.send(id, session, method, parameters).await;
        let answer = tokio::time::timeout(WAIT_LIMIT, answered).await.expect("the browser answers").unwrap();
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    async fn send(&self, id: u64, session: &str, method: &str, parameters: Value) {
        let mut call = json!({ "id": id, "method": method, "params": parameters });
        if !session.is_empty() {
            call["sessionId"] = json!(session);
        }
        self.calls.send(call).await.unwrap();
    }

    async fn hears(&self, message: Value, origin: &str, files: &Files) {
        if let Some(id) = message["id"].as_u64() {
            let waiting = self.seen.lock().unwrap().answers.remove(&id);
            waiting.map(|waiting| waiting.send(message));
            return;
        }
        let session = message["sessionId"].as_str().unwrap_or_default().to_owned();
        let parameters = &message["params"];
        match message["method"].as_str() {
            Some("Fetch.requestPaused") => self.serves(&session, parameters, origin, files).await,
            Some("Runtime.exceptionThrown") => self.notes(&session, parameters),
            Some("Log.entryAdded") if parameters["entry"]["level"] == "error" => {
                self.notes(&session, parameters)
            }
            _ => {}
        }
    }

    async fn serves(&self, session: &str, paused: &Value, origin: &str, files: &Files) {
        let url = paused["request"]["url"].as_str().unwrap();
        let id = &paused["requestId"];
        let (method, parameters) = if let Some((kind, bytes)) = files.at(url) {
            let headers = json!([
                { "name": "Content-Type", "value": kind },
                // The page asks with CORS, as integrity demands.
                { "name": "Access-Control-Allow-Origin", "value": "*" },
            ]);
            let body = STANDARD.encode(bytes);
            let answer =
                json!({ "requestId": id, "responseCode": 200, "responseHeaders": headers, "body": body });
            ("Fetch.fulfillRequest", answer)
        } else if url.starts_with(origin) {
            ("Fetch.continueRequest", json!({ "requestId": id }))
        } else {
            self.notes(session, &json!({ "requestElsewhere": url }));
            ("Fetch.failRequest", json!({ "requestId": id, "errorReason": "AddressUnreachable" }))
        };
        let call = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.send(call, session, method, parameters).await;
    }

    fn notes(&self, session: &str, complaint: &Value) {
        self.seen.lock().unwrap().complaints.entry(session.to_owned()).or_default().push(complaint.clone());
    }
}

impl Window {
    async fn call(&self, method: &str, parameters: Value) -> Value {
        self.devtools.call(&self.session, method, parameters).await
    }

    /// The value of a JavaScript expression.
    pub(super) async fn evaluate(&self, expression: &str) -> Value {
        let question = json!({ "expression": expression, "returnByValue": true });
        self.call("Runtime.evaluate", question).await["result"]["value"].clone()
    }

    /// Waits until the expression names something.
    pub(super) async fn waits_for(&self, element: &str) {
        eventually(&format!("the page has {element}"), async || {
            let there = self.evaluate(&format!("!!({element})")).await;
            if there == true { Ok(()) } else { Err(self.complaints()) }
        })
        .await;
    }

    /// Clicks, with the mouse, in the middle of what the expression names.
    pub(super) async fn click(&self, element: &str) {
        self.waits_for(element).await;
        let middle = format!(
            "(() => {{ const box = ({element}).getBoundingClientRect(); \
             return [box.x + box.width / 2, box.y + box.height / 2] }})()"
        );
        let middle = self.evaluate(&middle).await;
        for kind in ["mousePressed", "mouseReleased"] {
            let event =
                json!({ "type": kind, "x": middle[0], "y": middle[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Errors that the page has met so far, and requests that it made elsewhere.
    pub(super) fn complaints(&self) -> Vec<Value> {
        self.devtools.seen.lock().unwrap().complaints.get(&self.session).cloned().unwrap_or_default()
    }
}
