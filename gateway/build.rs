//! Makes the playground's files a part of the program.
//!
//! Fetches them from npm once and keeps them in the target folder, for every profile. A build that cannot have them is
//! complete without: the page then loads the same files from a CDN.

#![expect(clippy::disallowed_methods, reason = "a build script is configured by Cargo's variables")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha384};

use self::assets::{Asset, SCRIPTS, STYLES};

#[path = "src/http/playground/assets.rs"]
#[allow(dead_code, unreachable_pub, reason = "the gateway uses more of this file, as a module of its own")]
mod assets;

type Outcome<T> = Result<T, String>;

fn main() -> Outcome<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/http/playground/assets.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("run by Cargo, which sets OUT_DIR")?);
    // OUT_DIR is <target>/<profile>/build/<package>/out.
    let kept = out.ancestors().nth(4).ok_or("OUT_DIR is a folder of the target folder")?.join("playground");
    let embedded = match embed(&kept, &out) {
        Ok(files) => format!("Some([{files}])"),
        Err(reason) => {
            println!("cargo:warning=the playground will load its files from a CDN: {reason}");
            "None".to_owned()
        }
    };
    let count = STYLES.len() + SCRIPTS.len();
    let code = format!("const EMBEDDED: Option<[&[u8]; {count}]> = {embedded};\n");
    fs::write(out.join("playground.rs"), code).map_err(text)
}

/// Copies each file to `out`; returns Rust expressions of their contents.
fn embed(kept: &Path, out: &Path) -> Outcome<String> {
    let mut expressions = String::new();
    for asset in STYLES.iter().chain(&SCRIPTS) {
        let name = asset.url("").trim_start_matches('/').replace('/', "+");
        let bytes = match fs::read(kept.join(&name)).ok().filter(|bytes| is_pinned(asset, bytes)) {
            Some(bytes) => bytes,
            None => {
                let bytes = fetch(asset, out)?;
                keep(kept, &name, &bytes).map_err(text)?;
                bytes
            }
        };
        fs::write(out.join(&name), bytes).map_err(text)?;
        expressions.push_str(&format!("include_bytes!({name:?}), "));
    }
    Ok(expressions)
}

/// Reads a file from its package at npm, without a second attempt.
fn fetch(asset: &Asset, out: &Path) -> Outcome<Vec<u8>> {
    let package = format!("{}@{}", asset.package, asset.version);
    let mut npm = Command::new("npm");
    npm.args(["pack", "--silent", "--ignore-scripts", "--prefer-offline"]).args([
        "--fetch-retries=0",
        "--fetch-timeout=20000",
        &package,
    ]);
    if env::var_os("CARGO_NET_OFFLINE").is_some_and(|value| value == OsStr::new("true")) {
        npm.arg("--offline");
    }
    let archive = output(npm.current_dir(out))?;
    let archive = String::from_utf8(archive).map_err(text)?;
    let path = format!("package/{}", asset.path);
    let bytes = output(Command::new("tar").args(["-xzOf", archive.trim(), &path]).current_dir(out))?;
    match is_pinned(asset, &bytes) {
        true => Ok(bytes),
        false => Err(format!("{path} of {package} has another hash than the pinned one")),
    }
}

/// Another build may do the same at the same time.
fn keep(kept: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(kept)?;
    let partial = kept.join(format!("{name}.{}", std::process::id()));
    fs::write(&partial, bytes)?;
    fs::rename(partial, kept.join(name))
}

fn is_pinned(asset: &Asset, bytes: &[u8]) -> bool {
    asset.integrity == format!("sha384-{}", STANDARD.encode(Sha384::digest(bytes)))
}

fn output(command: &mut Command) -> Outcome<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(format!("{program} failed ({})", output.status)),
    }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}
