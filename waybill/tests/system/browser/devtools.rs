//! A client of the DevTools protocol: opens pages, evaluates JavaScript, clicks and takes screenshots.

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

/// A connection to a browser.
#[derive(Clone)]
pub(crate) struct DevTools {
    calls: mpsc::Sender<Value>,
    next_id: Arc<AtomicU64>,
    received: Arc<Mutex<Received>>,
}

#[derive(Default)]
struct Received {
    /// Who waits for the answer to a call, by the call's id.
    pending: HashMap<u64, oneshot::Sender<Value>>,
    /// By session.
    page_errors: HashMap<String, Vec<Value>>,
}

/// One page.
pub(crate) struct Window {
    devtools: DevTools,
    session: String,
}

impl DevTools {
    /// Connects. Pages can load what is at `origin`; every other request fails and is a page error.
    pub(crate) async fn connect(address: &str, origin: &str) -> Self {
        let (stream, _) = connect_async(address).await.unwrap();
        let (mut sink, mut source) = stream.split();
        let (calls, mut outgoing) = mpsc::channel::<Value>(256);
        tokio::spawn(async move {
            while let Some(call) = outgoing.recv().await {
                sink.send(Message::text(call.to_string())).await.unwrap();
            }
        });
        let devtools = Self { calls, next_id: Arc::default(), received: Arc::default() };
        let (receiver, origin) = (devtools.clone(), origin.to_owned());
        tokio::spawn(async move {
            while let Some(Ok(message)) = source.next().await {
                if let Ok(text) = message.to_text()
                    && let Ok(message) = serde_json::from_str(text)
                {
                    receiver.on_message(message, &origin).await;
                }
            }
        });
        devtools
    }

    /// A new window that shows `url`.
    pub(crate) async fn opens(&self, url: &str) -> Window {
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
            // Each window behaves as the one in front.
            ("Emulation.setFocusEmulationEnabled", json!({ "enabled": true })),
            ("Page.navigate", json!({ "url": url })),
        ] {
            window.call(method, parameters).await;
        }
        window
    }

    async fn call(&self, session: &str, method: &str, parameters: Value) -> Value {
        let (answer, answered) = oneshot::channel();
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.received.lock().unwrap().pending.insert(id, answer);
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

    async fn on_message(&self, message: Value, origin: &str) {
        if let Some(id) = message["id"].as_u64() {
            let pending = self.received.lock().unwrap().pending.remove(&id);
            pending.map(|pending| pending.send(message));
            return;
        }
        let session = message["sessionId"].as_str().unwrap_or_default().to_owned();
        let parameters = &message["params"];
        match message["method"].as_str() {
            Some("Fetch.requestPaused") => self.answer_request(&session, parameters, origin).await,
            Some("Runtime.exceptionThrown") => self.add_page_error(&session, parameters),
            Some("Log.entryAdded") if parameters["entry"]["level"] == "error" => {
                self.add_page_error(&session, parameters)
            }
            _ => {}
        }
    }

    async fn answer_request(&self, session: &str, paused: &Value, origin: &str) {
        let url = paused["request"]["url"].as_str().unwrap();
        let id = &paused["requestId"];
        let (method, parameters) = if url.starts_with(origin) {
            ("Fetch.continueRequest", json!({ "requestId": id }))
        } else {
            self.add_page_error(session, &json!({ "requestElsewhere": url }));
            ("Fetch.failRequest", json!({ "requestId": id, "errorReason": "AddressUnreachable" }))
        };
        let call = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.send(call, session, method, parameters).await;
    }

    fn add_page_error(&self, session: &str, error: &Value) {
        let mut received = self.received.lock().unwrap();
        received.page_errors.entry(session.to_owned()).or_default().push(error.clone());
    }
}

impl Window {
    async fn call(&self, method: &str, parameters: Value) -> Value {
        self.devtools.call(&self.session, method, parameters).await
    }

    /// The value of a JavaScript expression, or what its promise brings.
    pub(crate) async fn evaluate(&self, expression: &str) -> Value {
        let question = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        self.call("Runtime.evaluate", question).await["result"]["value"].clone()
    }

    /// Writes a text to where the focus is.
    pub(crate) async fn types(&self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Presses a key that writes nothing, or one character.
    pub(crate) async fn presses(&self, key: &str) {
        let key = match key {
            "Enter" => json!({ "key": key, "code": key, "windowsVirtualKeyCode": 13, "text": "\r" }),
            "Escape" => json!({ "key": key, "code": key, "windowsVirtualKeyCode": 27 }),
            key => json!({ "key": key, "text": key }),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = key.clone();
            event["type"] = json!(kind);
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Takes the network away from the page, or gives it back.
    pub(crate) async fn is_offline(&self, offline: bool) {
        let network =
            json!({ "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        self.call("Network.emulateNetworkConditions", network).await;
    }

    /// Shows the page to a reader who prefers `light` or `dark`.
    pub(crate) async fn prefers(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// Leaves for another path of the same origin.
    pub(crate) async fn goes_to(&self, path: &str) {
        let url = self.evaluate(&format!("new URL({}, location.href).href", json!(path))).await;
        self.call("Page.navigate", json!({ "url": url })).await;
    }

    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// The page as a PNG.
    pub(crate) async fn screenshot(&self) -> Vec<u8> {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" })).await;
        STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()
    }

    /// Waits until the expression's value is an element.
    pub(crate) async fn waits_for(&self, element: &str) {
        eventually(&format!("the page has {element}"), async || {
            let there = self.evaluate(&format!("!!({element})")).await;
            if there == true { Ok(()) } else { Err(self.page_errors()) }
        })
        .await;
    }

    /// Clicks with the mouse in the middle of the expression's element.
    pub(crate) async fn click(&self, element: &str) {
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

    /// The page's errors so far, and its requests to other addresses.
    pub(crate) fn page_errors(&self) -> Vec<Value> {
        let received = self.devtools.received.lock().unwrap();
        received.page_errors.get(&self.session).cloned().unwrap_or_default()
    }
}
