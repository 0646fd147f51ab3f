//! `DATABASE_URL` of PostgreSQL: libpq's form with its lists of hosts, which the driver does not read. A parameter that is
//! unknown or contradicts another is an error, since a misspelt `sslmode` would be a connection in plain text.

use std::path::{Path, PathBuf};

use bus::tls::read_root_certificates;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::form_urlencoded;

const FORM: &str = "postgres://user:password@host:5432/database";

/// Parameters of libpq that change nothing here: every wait has a bound already, and the driver chooses the rest.
const WITHOUT_EFFECT: [&str; 10] = [
    "connect_timeout",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "sslcompression",
    "sslsni",
    "tcp_user_timeout",
];

/// What is wrong with a `DATABASE_URL`. The message holds no part of it that may be a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidUrl(String);

/// Checks a `DATABASE_URL`, and that the certificates that it names can be read. Connects to nothing.
pub fn check_url(url: &str) -> Result<(), InvalidUrl> {
    if url.starts_with("sqlite:") { Ok(()) } else { PostgresUrl::parse(url).map(drop) }
}

/// The servers of a URL, and how to connect to them.
#[derive(Debug, Clone)]
pub(crate) struct PostgresUrl {
    /// In the order of the URL; at least one.
    pub(crate) servers: Vec<Server>,
    pub(crate) target: TargetSession,
    pub(crate) pooling: Pooling,
    /// Parameters of the URL that have no effect.
    pub(crate) without_effect: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// Its host and port, or its socket.
    pub(crate) name: String,
    /// What to try, one after the other: the same server, with TLS or without.
    pub(crate) attempts: Vec<PgConnectOptions>,
}

/// Which servers are accepted: libpq's `target_session_attrs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetSession {
    Any,
    ReadWrite,
    Primary,
}

/// What stands between this process and the server: PgBouncer's `pool_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// Nothing, or a pooler that gives each connection a session of its own.
    Session,
    /// A pooler that gives out sessions for the length of a transaction.
    Transaction,
}

/// The parameters that this module reads itself.
#[derive(Default)]
struct Parameters {
    sslmode: Option<SslMode>,
    sslrootcert: Option<String>,
    sslcert: Option<PathBuf>,
    sslkey: Option<PathBuf>,
    target: Option<TargetSession>,
    pooling: Option<Pooling>,
    host: Option<String>,
    port: Option<String>,
    without_effect: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl PostgresUrl {
    pub(crate) fn parse(url: &str) -> Result<Self, InvalidUrl> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let rest = rest.ok_or_else(|| invalid(format!("not a URL of the form {FORM}")))?;
        let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = location.split_at(location.find('/').unwrap_or(location.len()));
        let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        let (parameters, driver_query) = parameters(query)?;

        let by_parameter = parameters.host.is_some();
        let hosts: Vec<&str> = parameters.host.as_deref().unwrap_or(hosts).split(',').collect();
        let ports = parameters.port.as_deref().map(|ports| ports.split(',').collect::<Vec<_>>());
        if ports.as_ref().is_some_and(|ports| ports.len() != 1 && ports.len() != hosts.len()) {
            return Err(invalid("port lists another number of ports than there are hosts"));
        }
        let mut servers = Vec::with_capacity(hosts.len());
        for (index, host) in hosts.iter().enumerate() {
            let port = ports.as_ref().and_then(|ports| ports.get(index).or(ports.first()));
            let port = port.map(|port| port_number(port, index)).transpose()?;
            let in_url = if by_parameter { "localhost" } else { checked_host(host, index, hosts.len())? };
            let single = format!("postgres://{user}{in_url}{database}?{driver_query}");
            let parsed = single.parse::<PgConnectOptions>();
            let mut options = parsed.map_err(|_| {
                let hint = "in a user's name, a password and a database, the characters : / ? # [ ] @ are percent-encoded";
                invalid(format!("not a URL of the form {FORM}; {hint}"))
            })?;
            if by_parameter {
                options = if host.starts_with('/') { options.socket(host) } else { options.host(host) };
            }
            if let Some(port) = port {
                options = options.port(port);
            }
            servers.push(options);
        }
        let several = servers.len() > 1;
        let servers =
            servers.into_iter().map(|options| parameters.server(options)).collect::<Result<_, _>>()?;
        // A service that finds itself on a standby can do nothing there, so that with a choice it takes the primary.
        let default = if several { TargetSession::ReadWrite } else { TargetSession::Any };
        Ok(Self {
            servers,
            target: parameters.target.unwrap_or(default),
            pooling: parameters.pooling.unwrap_or(Pooling::Session),
            without_effect: parameters.without_effect,
        })
    }
}

impl Parameters {
    /// Sets how `options` use TLS.
    fn server(&self, options: PgConnectOptions) -> Result<Server, InvalidUrl> {
        let socket = options.get_socket().cloned();
        let socket =
            socket.or_else(|| options.get_host().starts_with('/').then(|| options.get_host().into()));
        let name = match &socket {
            Some(folder) => format!("{}:{}", folder.display(), options.get_port()),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        // The driver's own default comes from libpq's variable PGSSLMODE.
        let mode = self.sslmode.unwrap_or(match options.get_ssl_mode() {
            PgSslMode::Disable => SslMode::Disable,
            PgSslMode::Allow => SslMode::Allow,
            PgSslMode::Prefer => SslMode::Prefer,
            PgSslMode::Require => SslMode::Require,
            PgSslMode::VerifyCa => SslMode::VerifyCa,
            PgSslMode::VerifyFull => SslMode::VerifyFull,
        });
        // Poolers refuse the startup parameter `extra_float_digits`.
        let mut options = options.extra_float_digits(None).disable_statement_logging();
        if self.pooling == Some(Pooling::Transaction) {
            // The next transaction meets another session, which doesn't have the statements of this one.
            options = options.statement_cache_capacity(0);
        }
        options = self.client_certificate(options)?;
        let file = self.root_file(mode)?;
        if let Some(file) = file {
            options = options.ssl_root_cert(file);
        }
        let modes: &[PgSslMode] = match mode {
            // As libpq: a socket of this machine is not encrypted.
            _ if socket.is_some() => &[PgSslMode::Disable],
            SslMode::Disable => &[PgSslMode::Disable],
            SslMode::Allow => &[PgSslMode::Disable, PgSslMode::Require],
            SslMode::Prefer => &[PgSslMode::Require, PgSslMode::Disable],
            // As libpq: with roots to check against, the certificate is checked.
            SslMode::Require if file.is_some() => &[PgSslMode::VerifyCa],
            SslMode::Require => &[PgSslMode::Require],
            SslMode::VerifyCa => &[PgSslMode::VerifyCa],
            SslMode::VerifyFull => &[PgSslMode::VerifyFull],
        };
        let attempts = modes.iter().map(|&mode| options.clone().ssl_mode(mode)).collect();
        Ok(Server { name, attempts })
    }

    /// Returns the file of root certificates; none stands for the system's roots alone.
    fn root_file(&self, mode: SslMode) -> Result<Option<&Path>, InvalidUrl> {
        let given = self.sslrootcert.as_deref();
        match (mode, given) {
            (SslMode::VerifyFull, None | Some("system")) => Ok(None),
            (SslMode::VerifyCa, None | Some("system")) => Err(invalid(
                "sslmode=verify-ca without a file sslrootcert would accept every certificate of a public authority: use verify-full",
            )),
            (_, Some("system")) => Err(invalid("sslrootcert=system needs sslmode=verify-full")),
            (_, None) => Ok(None),
            (SslMode::Disable | SslMode::Allow | SslMode::Prefer, Some(_)) => Err(invalid(
                "sslrootcert is of no use unless TLS is required: add sslmode=verify-full (or verify-ca)",
            )),
            (_, Some(file)) => {
                read_root_certificates(file).map_err(|error| invalid(format!("sslrootcert: {error}")))?;
                Ok(Some(Path::new(file)))
            }
        }
    }

    fn client_certificate(&self, options: PgConnectOptions) -> Result<PgConnectOptions, InvalidUrl> {
        let (Some(certificate), Some(key)) = (&self.sslcert, &self.sslkey) else {
            return match (&self.sslcert, &self.sslkey) {
                (None, None) => Ok(options),
                _ => Err(invalid("sslcert and sslkey are given together")),
            };
        };
        let read = |name: &str, file: &Path| {
            let unreadable = |error| format!("{name}: the file {} can't be read: {error}", file.display());
            std::fs::read(file).map_err(|error| invalid(unreadable(error)))
        };
        let certificates = read("sslcert", certificate)?;
        if !matches!(CertificateDer::pem_slice_iter(&certificates).next(), Some(Ok(_))) {
            return Err(invalid(format!(
                "sslcert: the file {} holds no certificate in PEM",
                certificate.display()
            )));
        }
        if PrivateKeyDer::from_pem_slice(&read("sslkey", key)?).is_err() {
            return Err(invalid(format!("sslkey: the file {} holds no private key in PEM", key.display())));
        }
        Ok(options.ssl_client_cert(certificate).ssl_client_key(key))
    }
}

/// Reads a URL's query; returns beside it the part that the driver reads.
fn parameters(query: &str) -> Result<(Parameters, String), InvalidUrl> {
    let mut parameters = Parameters::default();
    let mut driver = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "sslmode" | "ssl-mode" => parameters.sslmode = Some(choice(&name, &value, &SSL_MODES)?),
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" => {
                parameters.sslrootcert = Some(value.into_owned()).filter(|file| !file.is_empty());
            }
            "sslcert" | "ssl-cert" => parameters.sslcert = Some(PathBuf::from(&*value)),
            "sslkey" | "ssl-key" => parameters.sslkey = Some(PathBuf::from(&*value)),
            "target_session_attrs" => parameters.target = Some(choice(&name, &value, &TARGETS)?),
            "pool_mode" => parameters.pooling = Some(choice(&name, &value, &POOLINGS)?),
            "host" | "hostaddr" => parameters.host = Some(value.into_owned()),
            "port" => parameters.port = Some(value.into_owned()),
            "channel_binding" => choice(&name, &value, &[("prefer", ()), ("disable", ())])?,
            "load_balance_hosts" => choice(&name, &value, &[("disable", ())])?,
            "user" | "password" | "dbname" | "application_name" | "options" | "statement-cache-capacity" => {
                driver.append_pair(&name, &value);
            }
            name if name.starts_with("options[") => {
                driver.append_pair(name, &value);
            }
            name if WITHOUT_EFFECT.contains(&name) => parameters.without_effect.push(name.to_owned()),
            name => {
                return Err(invalid(format!(
                    "the parameter {name:?} is unknown or not supported: leave it out"
                )));
            }
        }
    }
    Ok((parameters, driver.finish()))
}

const SSL_MODES: [(&str, SslMode); 6] = [
    ("disable", SslMode::Disable),
    ("allow", SslMode::Allow),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];
/// The others of libpq's find servers that can't be written to.
const TARGETS: [(&str, TargetSession); 3] = [
    ("any", TargetSession::Any),
    ("read-write", TargetSession::ReadWrite),
    ("primary", TargetSession::Primary),
];
const POOLINGS: [(&str, Pooling); 2] = [("session", Pooling::Session), ("transaction", Pooling::Transaction)];

fn choice<T: Copy>(name: &str, value: &str, choices: &[(&str, T)]) -> Result<T, InvalidUrl> {
    let chosen = choices.iter().find(|(word, _)| *word == value);
    chosen.map(|&(_, choice)| choice).ok_or_else(|| {
        let words: Vec<&str> = choices.iter().map(|&(word, _)| word).collect();
        invalid(format!("{name}={value} is not one of {}", words.join(", ")))
    })
}

/// Refuses what is no host with an optional port. Messages number the hosts: with a password that is not percent-encoded, a
/// part of it may stand where a host is expected.
fn checked_host(host: &str, index: usize, hosts: usize) -> Result<&str, InvalidUrl> {
    let after_brackets = host.rfind(']').map_or(0, |bracket| bracket + 1);
    if let Some((_, port)) = host[after_brackets..].split_once(':') {
        port_number(port, index)?;
    }
    if hosts > 1 && host.split(':').next().is_none_or(str::is_empty) {
        return Err(invalid(format!("host {} of the list is empty", index + 1)));
    }
    Ok(host)
}

fn port_number(text: &str, index: usize) -> Result<u16, InvalidUrl> {
    let port = text.parse().ok().filter(|&port| port > 0);
    port.ok_or_else(|| invalid(format!("the port of host {} is not a number from 1 to 65535", index + 1)))
}

fn invalid(problem: impl Into<String>) -> InvalidUrl {
    InvalidUrl(problem.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> PostgresUrl {
        PostgresUrl::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    fn names(url: &str) -> Vec<String> {
        parsed(url).servers.into_iter().map(|server| server.name).collect()
    }

    fn modes(url: &str) -> Vec<PgSslMode> {
        parsed(url).servers[0].attempts.iter().map(PgConnectOptions::get_ssl_mode).collect()
    }

    #[test]
    fn lists_of_hosts_are_read_as_libpq_reads_them() {
        for (url, servers) in [
            ("postgres://u:p@one/db", &["one:5432"][..]),
            ("postgresql://u:p@one:5433,two,[::1]:7/db", &["one:5433", "two:5432", "[::1]:7"]),
            ("postgres://u@/db?host=one,two&port=1,2", &["one:1", "two:2"]),
            ("postgres://u@x/db?host=one,two&port=9", &["one:9", "two:9"]),
            ("postgres://u@x/db?host=/run/postgresql", &["/run/postgresql:5432"]),
            ("postgres://u@%2Frun%2Fpostgresql/db", &["/run/postgresql:5432"]),
        ] {
            assert_eq!(names(url), servers, "{url}");
        }
        let url = parsed("postgres://ada:s%2Fecret@one,two/waybill?application_name=shop&sslmode=disable");
        for server in &url.servers {
            let options = &server.attempts[0];
            assert_eq!((options.get_username(), options.get_database()), ("ada", Some("waybill")));
            assert_eq!(options.get_application_name(), Some("shop"));
        }
    }

    #[test]
    fn with_a_choice_of_servers_the_writable_one_is_meant() {
        assert_eq!(parsed("postgres://one/db").target, TargetSession::Any);
        assert_eq!(parsed("postgres://one,two/db").target, TargetSession::ReadWrite);
        assert_eq!(parsed("postgres://one,two/db?target_session_attrs=any").target, TargetSession::Any);
        let primary = parsed("postgres://one/db?target_session_attrs=primary&pool_mode=transaction");
        assert_eq!((primary.target, primary.pooling), (TargetSession::Primary, Pooling::Transaction));
    }

    #[test]
    fn sslmode_says_what_is_tried_in_which_order() {
        for (mode, tried) in [
            ("disable", &[PgSslMode::Disable][..]),
            ("allow", &[PgSslMode::Disable, PgSslMode::Require]),
            ("prefer", &[PgSslMode::Require, PgSslMode::Disable]),
            ("require", &[PgSslMode::Require]),
            ("verify-full", &[PgSslMode::VerifyFull]),
            ("verify-full&sslrootcert=system", &[PgSslMode::VerifyFull]),
        ] {
            let found = modes(&format!("postgres://one/db?sslmode={mode}"));
            assert!(found.iter().map(name).eq(tried.iter().map(name)), "{mode}: {found:?}");
        }
        assert!(matches!(modes("postgres://u@x/db?host=/run&sslmode=require")[..], [PgSslMode::Disable]));
    }

    fn name(mode: &PgSslMode) -> String {
        format!("{mode:?}")
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        let no_certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let empty = format!("sslmode=verify-full&sslrootcert={no_certificate}");
        let key = format!("sslmode=require&sslcert={no_certificate}&sslkey={no_certificate}");
        for (query, words) in [
            (
                "sslmode=verify_full",
                "sslmode=verify_full is not one of disable, allow, prefer, require, verify-ca, verify-full",
            ),
            ("sslmode=", "sslmode= is not one of"),
            (
                "sslmode=verify-full&sslrootcert=/nowhere/ca.pem",
                "sslrootcert: the file /nowhere/ca.pem can't be read",
            ),
            (&empty, "holds no certificate in PEM"),
            ("sslrootcert=/nowhere/ca.pem", "sslrootcert is of no use unless TLS is required"),
            ("sslmode=verify-ca", "use verify-full"),
            ("sslmode=require&sslrootcert=system", "needs sslmode=verify-full"),
            ("sslmode=require&sslcert=a.pem", "sslcert and sslkey are given together"),
            (&key, "holds no certificate in PEM"),
            ("target_session_attrs=standby", "is not one of any, read-write, primary"),
            ("pool_mode=statement", "is not one of session, transaction"),
            ("channel_binding=require", "is not one of prefer, disable"),
            ("sslmod=require", "the parameter \"sslmod\" is unknown or not supported"),
            ("host=a,b&port=1,2,3", "another number of ports"),
        ] {
            let error =
                PostgresUrl::parse(&format!("postgres://u:hunter2@one/db?{query}")).unwrap_err().to_string();
            assert!(error.contains(words), "{query}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        for url in [
            "postgres://u:hunter2@one:port/db",
            "postgres://u:hunter2@one:0/db",
            "postgres://u:hunter2@one:70000/db",
            "postgres://u:hunter2@one,,two/db",
            "postgres://u:hunter2@one,:5432/db",
            "postgres://u:hunter2/3@one/db",
            "postgres://u:hunter2#3@one/db",
            "mysql://u:hunter2@one/db",
        ] {
            let error = PostgresUrl::parse(url).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn parameters_without_effect_are_known() {
        let url = parsed("postgres://one/db?connect_timeout=10&keepalives=1");
        assert_eq!(url.without_effect, ["connect_timeout", "keepalives"]);
    }
}
