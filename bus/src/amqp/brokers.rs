//! The list of brokers to connect to, by their URLs.

use lapin::uri::{AMQPScheme, AMQPUri};
use std::sync::Arc;

/// AMQP's heartbeat. A connection that has been silent for twice as long is lost.
const HEARTBEAT_SECONDS: u16 = 5;

/// A URL is invalid. The message doesn't repeat it, as it may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an AMQP URL (amqp://user:password@host:port/vhost): {0}")]
pub struct InvalidUrl(String);

/// Checks one URL or several that are separated by commas. Connects to nothing.
pub fn check_urls(urls: &str) -> Result<(), InvalidUrl> {
    parse(urls).map(drop)
}

/// Returns the virtual host that the URL names, the first of several.
pub fn virtual_host(urls: &str) -> Result<String, InvalidUrl> {
    let mut uris = parse(urls)?;
    Ok(uris.swap_remove(0).vhost)
}

/// A broker to connect to. Cloning is cheap enough for once a connection.
#[derive(Clone)]
pub(super) struct Broker {
    /// Its host and port.
    pub(super) name: String,
    pub(super) uri: AMQPUri,
    /// Root certificates in PEM that are trusted beside the system's.
    pub(super) root_certificates: Option<Arc<str>>,
}

/// The brokers, in the order of their URLs, and the one whose turn it is.
pub(super) struct Brokers {
    brokers: Vec<Broker>,
    current: usize,
    /// Brokers that are tried until all of them have been.
    untried: usize,
}

impl Brokers {
    pub(super) fn new(urls: &str, root_certificates: Option<String>) -> Result<Self, InvalidUrl> {
        let root_certificates: Option<Arc<str>> = root_certificates.map(Arc::from);
        let brokers = parse(urls)?.into_iter().map(|uri| Broker {
            name: format!("{}:{}", uri.authority.host, uri.authority.port),
            uri,
            root_certificates: root_certificates.clone(),
        });
        let brokers: Vec<Broker> = brokers.collect();
        Ok(Self { untried: brokers.len(), brokers, current: 0 })
    }

    pub(super) fn current(&self) -> Broker {
        self.brokers[self.current].clone()
    }

    /// Goes on to the next broker. Returns whether a round is over, in which each of them was tried.
    pub(super) fn next(&mut self) -> bool {
        self.current = (self.current + 1) % self.brokers.len();
        self.untried -= 1;
        let is_round_over = self.untried == 0;
        if is_round_over {
            self.untried = self.brokers.len();
        }
        is_round_over
    }
}

fn parse(urls: &str) -> Result<Vec<AMQPUri>, InvalidUrl> {
    let uris = split(urls).into_iter().map(|url| {
        let mut uri: AMQPUri = url.parse().map_err(|reason: String| InvalidUrl(without_url(reason, url)))?;
        if uri.authority.host.contains(',') {
            return Err(InvalidUrl("each URL of a list begins with amqp:// or amqps://".to_owned()));
        }
        uri.query.heartbeat = Some(HEARTBEAT_SECONDS);
        Ok(uri)
    });
    uris.collect()
}

/// Splits a list at the commas behind which a URL begins: a password may hold others.
fn split(urls: &str) -> Vec<&str> {
    let begins = |rest: &str| {
        [AMQPScheme::AMQP, AMQPScheme::AMQPS].iter().any(|scheme| rest.starts_with(&format!("{scheme}://")))
    };
    let mut split = Vec::new();
    let mut start = 0;
    for (comma, _) in urls.match_indices(',') {
        if begins(urls[comma + 1..].trim_start()) {
            split.push(urls[start..comma].trim());
            start = comma + 1;
        }
    }
    split.push(urls[start..].trim());
    split
}

/// The parser's reason, which may repeat the URL.
fn without_url(reason: String, url: &str) -> String {
    if reason.contains(url) { "it can't be parsed".to_owned() } else { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_split_where_a_url_begins() {
        assert_eq!(split("amqp://one"), ["amqp://one"]);
        assert_eq!(
            split("amqp://u:a,b@one, amqps://two,amqp://three"),
            ["amqp://u:a,b@one", "amqps://two", "amqp://three"]
        );
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_without_its_password() {
        for urls in [
            "amqp://u:hunter2@one:port",
            "amqp://one,amqp://u:hunter2@two?heartbeat=often",
            "amqp:u:hunter2@one",
            "amqp://u:hunter2@one,two",
            "amqp://u:hunter2@one,http://two",
        ] {
            let error = check_urls(urls).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn each_broker_is_tried_before_the_pause() {
        let mut brokers = Brokers::new("amqp://one,amqp://two:1,amqp://three", None).unwrap();
        let mut tried = Vec::new();
        for _ in 0..6 {
            tried.push((brokers.current().name, brokers.next()));
        }
        let names: Vec<&str> = tried.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["one:5672", "two:1", "three:5672", "one:5672", "two:1", "three:5672"]);
        assert!(tried.iter().map(|(_, over)| *over).eq([false, false, true, false, false, true]));
    }
}
