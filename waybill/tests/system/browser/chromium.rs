//! A headless Chromium with an empty profile.

use std::process::Command;

use tempfile::TempDir;
use testkit::Process;

use super::devtools::{DevTools, Window};

const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
];

/// A running browser that reaches one gateway and nothing else.
pub(crate) struct Chromium {
    devtools: DevTools,
    origin: String,
    _process: Process,
    _profile: TempDir,
}

impl Chromium {
    pub(crate) async fn start(gateway: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let process = PROGRAMS
            .iter()
            .find_map(|program| {
                let mut command = Command::new(program);
                command
                    .args(FLAGS)
                    .arg(format!("--user-data-dir={}", profile.path().display()))
                    .arg("about:blank");
                // Chromium writes there, too.
                command.env("HOME", profile.path()).env("TMPDIR", profile.path());
                Process::spawn(&mut command).ok()
            })
            .expect("chromium must be installed");
        let line = process.line("DevTools listening on ").await.unwrap();
        let address = line.split("DevTools listening on ").nth(1).unwrap().trim();
        let origin = format!("http://{gateway}");
        let devtools = DevTools::connect(address, &origin).await;
        Self { devtools, origin, _process: process, _profile: profile }
    }

    /// Opens a window at a path of the gateway.
    pub(crate) async fn opens(&self, path: &str) -> Window {
        self.devtools.opens(&format!("{}{path}", self.origin)).await
    }
}
