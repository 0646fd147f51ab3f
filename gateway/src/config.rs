//! The gateway's configuration.

mod documents;
mod live;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser};
use service_kit::config::{BusConfig, ConfigErrors, ProcessArgs, ProcessConfig, Secret, check_url};

pub use self::documents::DocumentArgs;
pub use self::live::{LiveArgs, LiveConfig};
use crate::auth::{AuthConfig, KeySource};
use crate::http::console::ConsoleSetting;
use crate::http::{CorsOrigins, Rate, RateLimitSettings};
use crate::query::{DocumentSettings, PersistedSettings};

#[derive(Debug, Clone)]
pub struct Config {
    pub host: String,
    /// 0 lets the system choose.
    pub port: u16,
    pub auth: AuthConfig,
    /// How long all requests of one operation may take together.
    pub request_timeout: Duration,
    /// How long `createOrder` waits for the outcome; within `request_timeout`.
    pub create_order_wait: Duration,
    pub max_body_bytes: usize,
    /// How long a connection without a request is kept.
    pub keep_alive: Duration,
    pub cors: CorsOrigins,
    pub documents: DocumentSettings,
    pub persisted: PersistedSettings,
    /// Requests of a batch; 0 if batches are refused.
    pub max_batch: usize,
    pub rate_limits: RateLimitSettings,
    /// HTTP requests and socket operations (not subscriptions) under way at once.
    pub max_concurrent_requests: usize,
    /// Whether `/` is the playground.
    pub playground: bool,
    /// Whether the schema has the fields for routers of Apollo Federation.
    pub federation: bool,
    pub live: LiveConfig,
    pub console: ConsoleSetting,
}

#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Listening")]
pub struct HttpArgs {
    /// Port of /graphql and the playground; 0 lets the system choose
    #[arg(long, env = "PORT", default_value = "4000")]
    pub port: String,
    /// The largest request body that is read
    #[arg(long, env = "MAX_BODY_BYTES", default_value = "1MiB")]
    pub max_body_bytes: String,
    /// How long a connection without a request is kept; longer than the load balancer in front keeps it
    #[arg(long, env = "KEEP_ALIVE_TIMEOUT", default_value = "75s")]
    pub keep_alive_timeout: String,
    /// Origins whose pages may call the gateway, separated by commas, * for all, or local; by default none, with `waybill up` local
    #[arg(long, env = "CORS_ORIGINS")]
    pub cors_origins: Option<String>,
    /// Whether the gateway is a subgraph for a router of Apollo Federation, with _service and _entities: off or on
    #[arg(long, env = "FEDERATION", default_value = "off")]
    pub federation: String,
    /// The page at /console: on, off, or on with the address of a page that signs in; by default on in mock mode alone
    #[arg(long, env = "CONSOLE")]
    pub console: Option<String>,
    /// How long createOrder waits for the outcome before it answers PENDING
    #[arg(long, env = "CREATE_ORDER_WAIT", default_value = "2s", help_heading = "Message bus")]
    pub create_order_wait: String,
    /// Whether / is the playground: on or off; by default off with AUTH_MODE=jwks
    #[arg(long, env = "PLAYGROUND")]
    pub playground: Option<String>,
    #[command(flatten)]
    pub documents: DocumentArgs,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub live: LiveArgs,
}

impl HttpArgs {
    /// Returns the gateway's configuration; adds what is wrong to `errors`. Unless set, `cors` are the allowed origins.
    pub fn check(
        &self,
        host: &str,
        cors: CorsOrigins,
        auth: AuthConfig,
        bus: &BusConfig,
        errors: &mut ConfigErrors,
    ) -> Config {
        let cors = match given(&self.cors_origins) {
            None => cors,
            Some(origins) => CorsOrigins::parse(origins).unwrap_or_else(|problem| {
                errors.add("CORS_ORIGINS", problem);
                CorsOrigins::None
            }),
        };
        // What is for developers is not for the open, unless asked for.
        let is_for_trying = matches!(auth, AuthConfig::Mock { .. });
        let playground = given(&self.playground)
            .map_or(is_for_trying, |text| errors.choice("PLAYGROUND", text, &[("on", true), ("off", false)]));
        let console =
            given(&self.console).map(ConsoleSetting::parse).unwrap_or_else(|| Ok(ConsoleSetting::ByMode));
        let console = console.unwrap_or_else(|problem| {
            errors.add("CONSOLE", problem);
            ConsoleSetting::Off
        });
        let waits = Duration::ZERO..=Duration::from_secs(60);
        Config {
            host: host.to_owned(),
            port: errors.port("PORT", &self.port),
            auth,
            request_timeout: bus.request_timeout,
            create_order_wait: errors.duration("CREATE_ORDER_WAIT", &self.create_order_wait, waits),
            cors,
            documents: self.documents.check(is_for_trying, errors),
            playground,
            persisted: self.documents.persisted(errors),
            max_batch: errors.number("MAX_BATCH_REQUESTS", &self.load.max_batch_requests, 0..=100),
            rate_limits: self.load.rate_limits(errors),
            max_concurrent_requests: errors.number(
                "MAX_CONCURRENT_REQUESTS",
                &self.load.max_concurrent_requests,
                1..=100_000,
            ),
            federation: errors.choice("FEDERATION", &self.federation, &[("off", false), ("on", true)]),
            live: self.live.check(errors),
            console,
            keep_alive: errors.duration(
                "KEEP_ALIVE_TIMEOUT",
                &self.keep_alive_timeout,
                Duration::from_secs(1)..=Duration::from_secs(3_600),
            ),
            max_body_bytes: errors.size("MAX_BODY_BYTES", &self.max_body_bytes, 1_024..=64 * 1_024 * 1_024),
        }
    }
}

#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Load")]
pub struct LoadArgs {
    /// HTTP requests and socket operations (not subscriptions) under way at once; further ones are refused
    #[arg(long, env = "MAX_CONCURRENT_REQUESTS", default_value = "1024")]
    pub max_concurrent_requests: String,
    /// Requests that one POST may hold in a JSON array; with 0 arrays are refused
    #[arg(long, env = "MAX_BATCH_REQUESTS", default_value = "0")]
    pub max_batch_requests: String,
    /// How many operations a customer may send: 20/s, 600/m, 10000/h, or off
    #[arg(long, env = "RATE_LIMIT_PER_CUSTOMER", default_value = "off")]
    pub rate_limit_per_customer: String,
    /// How many operations may come from one address (IPv6: one /64 network): 20/s, 600/m, 10000/h, or off
    #[arg(long, env = "RATE_LIMIT_PER_ADDRESS", default_value = "off")]
    pub rate_limit_per_address: String,
    /// How many proxies stand in front and append to X-Forwarded-For; with 0 the header is ignored
    #[arg(long, env = "TRUSTED_PROXIES", default_value = "0")]
    pub trusted_proxies: String,
}

impl LoadArgs {
    fn rate_limits(&self, errors: &mut ConfigErrors) -> RateLimitSettings {
        let mut rate = |variable, text: &str| match text.trim() {
            "off" => None,
            text => errors.parsed::<Rate>(variable, text, "a rate, such as 20/s, 600/m or 10000/h, nor off"),
        };
        RateLimitSettings {
            per_customer: rate("RATE_LIMIT_PER_CUSTOMER", &self.rate_limit_per_customer),
            per_address: rate("RATE_LIMIT_PER_ADDRESS", &self.rate_limit_per_address),
            trusted_proxies: errors.number("TRUSTED_PROXIES", &self.trusted_proxies, 0..=16),
        }
    }
}

#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Sign-in")]
pub struct AuthArgs {
    /// mock: tokens signed with JWT_SECRET, for trying things out; jwks: an identity provider's tokens
    #[arg(long, env = "AUTH_MODE")]
    pub auth_mode: Option<String>,
    /// mock: the secret that tokens are signed with (HS256)
    #[arg(long, env = "JWT_SECRET", hide_env_values = true)]
    pub jwt_secret: Option<Secret>,
    /// jwks: where the provider's keys are (RS256, ES256, EdDSA)
    #[arg(long, env = "JWKS_URL", hide_env_values = true)]
    pub jwks_url: Option<Secret>,
    /// jwks: a file with the provider's keys, instead of JWKS_URL
    #[arg(long, env = "JWKS_FILE")]
    pub jwks_file: Option<String>,
    /// jwks: the issuer that tokens have to name
    #[arg(long, env = "JWT_ISSUER")]
    pub jwt_issuer: Option<String>,
    /// jwks: the audience that tokens have to name
    #[arg(long, env = "JWT_AUDIENCE")]
    pub jwt_audience: Option<String>,
}

impl AuthArgs {
    /// Whether the mode needs a secret and none is given.
    pub fn lacks_secret(&self) -> bool {
        given(&self.auth_mode) == Some("mock") && self.secret().is_none()
    }

    /// Returns the typed values; adds what is wrong to `errors`. No mode is the default: everyone would know its secret.
    pub fn check(&self, errors: &mut ConfigErrors) -> AuthConfig {
        match (given(&self.auth_mode), self.secret()) {
            (Some("jwks"), _) => return self.jwks(errors),
            (Some("mock"), Some(secret)) => return AuthConfig::Mock { secret: secret.clone() },
            (Some("mock"), None) => errors
                .add("JWT_SECRET", "not set; AUTH_MODE=mock needs the secret that tokens are signed with"),
            (None, _) => errors.add("AUTH_MODE", "not set; give mock (for trying things out) or jwks"),
            (Some(other), _) => errors.add("AUTH_MODE", format!("{other:?} is not one of mock, jwks")),
        }
        AuthConfig::Mock { secret: Secret::new("") }
    }

    fn secret(&self) -> Option<&Secret> {
        self.jwt_secret.as_ref().filter(|secret| !secret.expose().is_empty())
    }

    fn jwks(&self, errors: &mut ConfigErrors) -> AuthConfig {
        let url = errors.url("JWKS_URL", self.jwks_url.as_ref(), &["http", "https"], check_url);
        let source = match (url, given(&self.jwks_file)) {
            (Some(url), None) => KeySource::Url(url),
            (None, Some(file)) => KeySource::File(file.into()),
            (url, _) => {
                let (variable, problem) = match url {
                    Some(_) => ("JWKS_FILE", "set beside JWKS_URL; give one of them"),
                    None => ("JWKS_URL", "not set, nor JWKS_FILE; AUTH_MODE=jwks needs the provider's keys"),
                };
                errors.add(variable, problem);
                KeySource::File(PathBuf::new())
            }
        };
        let mut required = |variable: &'static str, value: &Option<String>| {
            given(value).map(str::to_owned).unwrap_or_else(|| {
                let problem = "not set; AUTH_MODE=jwks accepts the tokens of one issuer for one audience";
                errors.add(variable, problem);
                String::new()
            })
        };
        AuthConfig::Jwks {
            source,
            issuer: required("JWT_ISSUER", &self.jwt_issuer),
            audience: required("JWT_AUDIENCE", &self.jwt_audience),
        }
    }
}

/// Returns the value of a variable that is set; an empty variable isn't.
fn given(value: &Option<String>) -> Option<&str> {
    value.as_deref().map(str::trim).filter(|value| !value.is_empty())
}

/// Serves GraphQL: queries and changes become messages to the services, their events live updates
#[derive(Parser, Debug)]
#[command(name = "gateway", version)]
pub struct Arguments {
    #[command(flatten)]
    process: ProcessArgs,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    auth: AuthArgs,
}

/// The defaults of this process that differ from those of other processes.
pub const DEFAULTS: &[(&str, &str)] = &[("admin_port", "9400")];

impl Arguments {
    /// Returns the configuration of the process and the gateway, or everything that is wrong with it.
    pub fn check(&self) -> Result<(ProcessConfig, Config), ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let process = self.process.check(&mut errors);
        let auth = self.auth.check(&mut errors);
        let gateway =
            self.http.check(&process.admin.host, CorsOrigins::None, auth, &process.bus, &mut errors);
        errors.finish((process, gateway))
    }
}
