//! `waybill token`: prints tokens to try the API with.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use gateway::auth::{Scope, mint};
use schema::ids::CustomerId;
use service_kit::config::{ConfigErrors, Secret};

use crate::data_dir::{DataDir, DataDirArgs, JWT_SECRET_FILE};
use crate::output;

/// The customer of a token if no other is named.
pub(crate) const DEMO_CUSTOMER: &str = "CUST01";
/// The scopes of a token if no others are named.
pub(crate) const DEMO_SCOPES: [Scope; 3] = [Scope::OrdersRead, Scope::OrdersWrite, Scope::OrdersFulfil];
/// The lifetime of a token if no other is given.
pub(crate) const DEMO_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Print a token that signs a customer in
///
/// The token is the only thing on standard output, so that it can be put to use at once. It is signed (HS256) with JWT_SECRET,
/// or, if that isn't set, with the secret that `waybill up` has made in DATA_DIR, and is good for every gateway that
/// runs with AUTH_MODE=mock and the same secret.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct TokenArgs {
    /// Whom the token signs in
    #[arg(long, value_name = "ID", default_value = DEMO_CUSTOMER)]
    customer: CustomerId,
    /// What the token allows; give it several times for several scopes
    #[arg(long = "scope", value_name = "SCOPE", default_values = ["orders:read", "orders:write", "orders:fulfil"])]
    scopes: Vec<Scope>,
    /// How long the token is good for, such as 15m, 24h or 30d
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = lifetime)]
    expires_in: Duration,
    /// Secret to sign with [default: the one in DATA_DIR]
    #[arg(long, env = "JWT_SECRET", hide_env_values = true, value_name = "SECRET", help_heading = "Sign-in")]
    jwt_secret: Option<Secret>,
    #[command(flatten)]
    data_dir: DataDirArgs,
}

const AFTER_HELP: &str = "\
Example:
  curl -H \"Authorization: Bearer $(waybill token)\" ...

Scopes:
  orders:read    see one's own orders and customer record
  orders:write   create, cancel and delete orders, change their address
  orders:fulfil  change status and tracking
  orders:all     reach beyond one's own orders: for a warehouse or a support team";

pub(crate) fn run(args: &TokenArgs) -> anyhow::Result<()> {
    let mut errors = ConfigErrors::default();
    let data_dir = args.data_dir.check(&mut errors);
    let data_dir = errors.finish(data_dir)?;
    let secret = secret(args.jwt_secret.as_ref(), &data_dir)?;
    let scopes = args.scopes.iter().copied().collect();
    let token = mint(secret.expose(), args.customer.as_str(), scopes, args.expires_in)
        .context("cannot make a token")?;
    output::print(&token)
}

fn secret(given: Option<&Secret>, data_dir: &DataDir) -> anyhow::Result<Secret> {
    if let Some(secret) = given.filter(|secret| !secret.expose().is_empty()) {
        return Ok(secret.clone());
    }
    data_dir.known_jwt_secret()?.with_context(|| {
        let file = data_dir.0.join(JWT_SECRET_FILE).display().to_string();
        format!("no secret to sign with: set JWT_SECRET, or run `waybill up` once, which makes {file}")
    })
}

fn lifetime(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(lifetime) if lifetime >= Duration::from_secs(1) => Ok(lifetime),
        Ok(_) => Err("a token lasts a second or more".to_owned()),
        Err(error) => Err(format!("{error}, such as 15m, 24h or 30d")),
    }
}
