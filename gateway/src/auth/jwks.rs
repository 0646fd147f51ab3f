use std::{path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use jsonwebtoken::Algorithm;
use rand::RngExt;
use service_kit::health::ReadinessHandle;
use tokio::{io::AsyncReadExt, sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    AuthConfigError, KeySource,
    keys::{KeySet, KeySetError},
};

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
    keys: ArcSwapOption<KeySet>,
    // One read at a time; holds when the last one ended, so that those who waited for a slow one
    // don't each begin another.
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
    #[error(transparent)]
    Invalid(#[from] KeySetError),
}

impl Jwks {
    pub(super) fn new(source: KeySource) -> Result<Self, AuthConfigError> {
        let source = match source {
            KeySource::File(path) => Source::File(path),
            KeySource::Url(url) => {
                Source::Url { url: parse_url(&url)?, client: client().map_err(AuthConfigError::Client)? }
            }
        };
        Ok(Self { source, keys: ArcSwapOption::empty(), last_read: Mutex::new(None) })
    }

    /// The keys as last read; none before the first good read.
    pub(super) fn current(&self) -> Option<Arc<KeySet>> {
        self.keys.load_full()
    }

    /// The keys, read again where the set at hand doesn't hold the named one and the last read is
    /// long enough ago. Callers that meet share one read.
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

    /// Reads the keys for the first time where they are in a file. One that isn't there, or holds none, is a mistake of
    /// whoever starts the process; an address may not answer for a while.
    pub(super) async fn read_file(&self) -> Result<(), AuthConfigError> {
        if let Source::File(path) = &self.source {
            let unusable =
                |error: ReadError| AuthConfigError::File { path: path.clone(), source: error.into() };
            self.keys.store(Some(Arc::new(self.source.read().await.map_err(unusable)?)));
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
            let pause = self.pause();
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn pause(&self) -> Duration {
        let interval = match (&self.source, self.current()) {
            (_, None) => RETRY_INTERVAL,
            (Source::Url { .. }, Some(_)) => URL_INTERVAL,
            (Source::File(_), Some(_)) => FILE_INTERVAL,
        };
        // Copies of the gateway that started together shall not ask together.
        interval.mul_f64(rand::rng().random_range(0.8..1.2))
    }

    async fn read_into(&self, last_read: &mut Option<Instant>) {
        match self.source.read().await {
            Ok(keys) => self.keys.store(Some(Arc::new(keys))),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                keys_at_hand = self.current().is_some(),
                "could not read the signing keys"
            ),
        }
        *last_read = Some(Instant::now());
    }
}

impl Source {
    async fn read(&self) -> Result<KeySet, ReadError> {
        let json = match self {
            // Errors of the client name the address, which may carry credentials.
            Self::Url { client, url } => {
                fetch(client, url.clone()).await.map_err(|error| error.without_url())?
            }
            Self::File(path) => read_file(path).await?,
        };
        Ok(KeySet::parse(&json)?)
    }
}

impl ReadError {
    fn without_url(self) -> Self {
        match self {
            Self::Fetch(error) => Self::Fetch(error.without_url()),
            other => other,
        }
    }
}

async fn fetch(client: &reqwest::Client, url: reqwest::Url) -> Result<Vec<u8>, ReadError> {
    let mut response = client
        .get(url)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(ReadError::Fetch)?;
    let mut json = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(ReadError::Fetch)? {
        if json.len() + chunk.len() > MAX_KEY_SET_BYTES {
            return Err(ReadError::TooLarge);
        }
        json.extend_from_slice(&chunk);
    }
    Ok(json)
}

async fn read_file(path: &PathBuf) -> Result<Vec<u8>, ReadError> {
    let mut json = Vec::new();
    let mut file = tokio::fs::File::open(path).await?;
    (&mut file).take(MAX_KEY_SET_BYTES as u64 + 1).read_to_end(&mut json).await?;
    if json.len() > MAX_KEY_SET_BYTES {
        return Err(ReadError::TooLarge);
    }
    Ok(json)
}

fn parse_url(url: &str) -> Result<reqwest::Url, AuthConfigError> {
    reqwest::Url::parse(url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or(AuthConfigError::Url)
}

fn client() -> Result<reqwest::Client, reqwest::Error> {
    // The process-wide provider is set by whoever comes first; they all choose ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(FETCH_TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()
}
