//! The public keys of an identity provider: read, kept fresh, and found by the id that a token names.

use std::sync::atomic::{AtomicU64, Ordering};
use std::{path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use rand::RngExt;
use serde::Deserialize;
use service_kit::health::ReadinessHandle;
use tokio::{io::AsyncReadExt, sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{AuthConfigError, KeySource};

/// Larger key sets are refused.
const MAX_KEY_SET_BYTES: usize = 512 * 1024;

/// The most that one fetch may take, connecting included.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// How often an unknown key id may cause a read. Tokens are free to make up; reads are not.
const UNKNOWN_KEY_INTERVAL: Duration = Duration::from_secs(30);

/// How often keys are read anyway, so that withdrawn ones end.
const URL_INTERVAL: Duration = Duration::from_secs(300);
const FILE_INTERVAL: Duration = Duration::from_secs(5);

/// How long after a failed read the next one comes while there are no keys at all.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// The keys of an identity provider, kept fresh. The last good set stays while the source is away.
pub(super) struct Jwks {
    source: Source,
    /// None before the first good read.
    keys: ArcSwapOption<KeySet>,
    /// Counts the good reads.
    readings: AtomicU64,
    // Held while reading; holds when the last read ended, so that requests that waited for a slow read don't each begin
    // another.
    last_read: Mutex<Option<Instant>>,
}

enum Source {
    Url { client: reqwest::Client, url: reqwest::Url },
    File(PathBuf),
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("the key set's address did not answer")]
    Fetch(#[source] reqwest::Error),
    #[error("the key set's file could not be read")]
    File(#[from] std::io::Error),
    #[error("the key set is larger than {MAX_KEY_SET_BYTES} bytes")]
    TooLarge,
    #[error("not a JSON Web Key Set")]
    Malformed(#[from] serde_json::Error),
    #[error("no usable key: RSA of 2048 bits or more, P-256 or Ed25519, for signatures")]
    NoUsableKey,
}

impl Jwks {
    pub(super) fn new(source: KeySource) -> Result<Self, AuthConfigError> {
        let source = match source {
            KeySource::File(path) => Source::File(path),
            KeySource::Url(url) => {
                let url = reqwest::Url::parse(url.expose()).ok();
                let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
                Source::Url { url: url.ok_or(AuthConfigError::Url)?, client: client()? }
            }
        };
        Ok(Self {
            source,
            keys: ArcSwapOption::empty(),
            readings: AtomicU64::new(0),
            last_read: Mutex::new(None),
        })
    }

    fn current(&self) -> Option<Arc<KeySet>> {
        self.keys.load_full()
    }

    fn replace(&self, keys: KeySet) {
        self.keys.store(Some(Arc::new(keys)));
        self.readings.fetch_add(1, Ordering::Release);
    }

    /// Numbers the keys in use: it changes with each good read, after the keys have.
    pub(super) fn reading(&self) -> u64 {
        self.readings.load(Ordering::Acquire)
    }

    /// Returns the keys, read again if they don't hold the named one and the last read is long enough ago. Concurrent
    /// calls share one read.
    pub(super) async fn holding(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Arc<KeySet>> {
        let current = self.current();
        let known = |keys: &Arc<KeySet>| keys.find(id, algorithm).is_some();
        if current.as_ref().is_some_and(known) {
            return current;
        }
        let mut last_read = self.last_read.lock().await;
        let due = match *last_read {
            None => true,
            Some(at) if self.current().is_none() => at.elapsed() >= RETRY_INTERVAL,
            Some(at) => at.elapsed() >= UNKNOWN_KEY_INTERVAL,
        };
        if due {
            self.read_into(&mut last_read).await;
        }
        self.current()
    }

    /// Reads the keys for the first time if they are in a file: one that can't be used is a mistake in the configuration,
    /// while an address may not answer for a while.
    pub(super) async fn read_file(&self) -> Result<(), AuthConfigError> {
        if let Source::File(path) = &self.source {
            let unusable =
                |error: ReadError| AuthConfigError::File { path: path.clone(), source: error.into() };
            self.replace(self.source.read().await.map_err(unusable)?);
        }
        Ok(())
    }

    /// Reads the keys now and again and again until `stop`. The condition is met from the first good read on.
    pub(super) async fn refresh(&self, condition: &ReadinessHandle, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.read_into(&mut *self.last_read.lock().await).await;
            if self.current().is_some() {
                condition.set(true);
            }
            stop.run_until_cancelled(tokio::time::sleep(self.pause())).await;
        }
    }

    fn pause(&self) -> Duration {
        let interval = match (&self.source, self.current()) {
            (_, None) => RETRY_INTERVAL,
            (Source::Url { .. }, Some(_)) => URL_INTERVAL,
            (Source::File(_), Some(_)) => FILE_INTERVAL,
        };
        // Copies of the gateway that started together must not ask together.
        interval.mul_f64(rand::rng().random_range(0.8..1.2))
    }

    async fn read_into(&self, last_read: &mut Option<Instant>) {
        match self.source.read().await {
            Ok(keys) => self.replace(keys),
            Err(error) => {
                let (error, has_keys): (&dyn std::error::Error, _) = (&error, self.current().is_some());
                tracing::warn!(error, has_keys, "signing keys not read");
            }
        }
        *last_read = Some(Instant::now());
    }
}

impl Source {
    async fn read(&self) -> Result<KeySet, ReadError> {
        let json = match self {
            // The client's errors name the address, which may carry credentials.
            Self::Url { client, url } => {
                fetch(client, url.clone()).await.map_err(|error| ReadError::Fetch(error.without_url()))?
            }
            Self::File(path) => {
                let (mut json, file) = (Vec::new(), tokio::fs::File::open(path).await?);
                file.take(MAX_KEY_SET_BYTES as u64 + 1).read_to_end(&mut json).await?;
                json
            }
        };
        if json.len() > MAX_KEY_SET_BYTES {
            return Err(ReadError::TooLarge);
        }
        KeySet::parse(&json)
    }
}

/// Returns the response's body, cut off somewhere beyond the largest key set.
async fn fetch(client: &reqwest::Client, url: reqwest::Url) -> Result<Vec<u8>, reqwest::Error> {
    let mut response = client.get(url).send().await?.error_for_status()?;
    let mut json = Vec::new();
    while json.len() <= MAX_KEY_SET_BYTES
        && let Some(chunk) = response.chunk().await?
    {
        json.extend_from_slice(&chunk);
    }
    Ok(json)
}

fn client() -> Result<reqwest::Client, reqwest::Error> {
    // Every part of the process sets the same provider; the first one to do so wins.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(FETCH_TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()
}

/// More keys than any provider publishes; later keys of a longer set are ignored.
const MAX_KEYS: usize = 64;

/// 2048 bits: the least that RFC 7518, section 3.3, allows for RS256.
const MIN_RSA_MODULUS_BYTES: usize = 256;

/// A public key with the one algorithm it may verify.
pub(super) struct VerifyingKey {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// The usable signing keys of a JSON Web Key Set.
pub(super) struct KeySet(Vec<VerifyingKey>);

impl KeySet {
    /// Reads a key set. Keys of other kinds or uses are skipped, as RFC 7517, section 5, asks.
    fn parse(json: &[u8]) -> Result<Self, ReadError> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<serde_json::Value>,
        }
        let Document { keys } = serde_json::from_slice(json)?;
        let jwks = keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        let keys: Vec<_> = jwks.filter_map(verifying_key).take(MAX_KEYS).collect();
        if keys.is_empty() {
            return Err(ReadError::NoUsableKey);
        }
        Ok(Self(keys))
    }

    /// Returns the key that a token's header names. A header without `kid` names the only key of its algorithm, and none
    /// if there are several.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&VerifyingKey> {
        let fits =
            |key: &&VerifyingKey| key.algorithm == algorithm && (id.is_none() || key.id.as_deref() == id);
        let mut candidates = self.0.iter().filter(fits);
        let first = candidates.next()?;
        match (id, candidates.next()) {
            (None, Some(_)) => None,
            _ => Some(first),
        }
    }
}

fn verifying_key(jwk: Jwk) -> Option<VerifyingKey> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(key) => {
            let modulus = URL_SAFE_NO_PAD.decode(&key.n).ok()?;
            (modulus.len() >= MIN_RSA_MODULUS_BYTES).then_some(Algorithm::RS256)?
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        // A symmetric key in a public set would let everyone sign.
        _ => return None,
    };
    let key = is_for_verifying(&jwk.common, algorithm).then(|| DecodingKey::from_jwk(&jwk).ok())??;
    Some(VerifyingKey { key, id: jwk.common.key_id, algorithm })
}

fn is_for_verifying(key: &CommonParameters, algorithm: Algorithm) -> bool {
    matches!(key.public_key_use, None | Some(PublicKeyUse::Signature))
        && key.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify))
        && key.key_algorithm.is_none_or(|named| named == KeyAlgorithm::from(algorithm))
}
