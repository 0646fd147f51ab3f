//! The files that the page loads from a CDN, fetched from the npm registry.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use gateway::http::playground::{Asset, CDN, SCRIPTS, STYLES};
use tokio::process::Command;

/// The files by their address at the CDN.
#[derive(Clone)]
pub(super) struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    /// Fetches them from the npm registry.
    pub(super) async fn fetch() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let assets: Vec<&Asset> = STYLES.iter().chain(&SCRIPTS).collect();
        let packages: BTreeSet<String> =
            assets.iter().map(|asset| format!("{}@{}", asset.package, asset.version)).collect();
        let mut archives = BTreeMap::new();
        for package in packages {
            let printed =
                output(Command::new("npm").args(["pack", "--silent", &package]).current_dir(&folder)).await;
            archives.insert(package, String::from_utf8(printed).unwrap().trim().to_owned());
        }
        let mut files = BTreeMap::new();
        for asset in assets {
            let archive = &archives[&format!("{}@{}", asset.package, asset.version)];
            let path = format!("package/{}", asset.path);
            let file = output(Command::new("tar").args(["xzOf", archive, &path]).current_dir(&folder)).await;
            files.insert(asset.url(CDN), file);
        }
        Self(files)
    }

    /// The file at an address, with its type.
    pub(super) fn at(&self, url: &str) -> Option<(&'static str, &[u8])> {
        let kind = if url.ends_with(".css") { "text/css" } else { "text/javascript" };
        self.0.get(url).map(|bytes| (kind, bytes.as_slice()))
    }
}

async fn output(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
