use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context;
use gateway::auth::{AuthConfig, mint};

use super::config::UpConfig;
use crate::token::{DEMO_CUSTOMER, DEMO_LIFETIME, DEMO_SCOPES};

/// What somebody who has just started a shop wants to know.
pub(super) struct Welcome {
    gateway: SocketAddr,
    admin: SocketAddr,
    kept_in: String,
    token: Option<String>,
}

impl Welcome {
    pub(super) fn to(config: &UpConfig, gateway: SocketAddr, admin: SocketAddr) -> anyhow::Result<Self> {
        let token = match &config.gateway.auth {
            AuthConfig::Jwks { .. } => None,
            AuthConfig::Mock { secret } => {
                let scopes = DEMO_SCOPES.into_iter().collect();
                Some(mint(secret, DEMO_CUSTOMER, scopes, DEMO_LIFETIME).context("cannot make a token")?)
            }
        };
        let backing = &config.backing;
        let data_dir = backing.data_dir.path().display();
        let broker = backing.rabbitmq_url.as_ref().map_or("the embedded broker", |_| "RabbitMQ");
        let database = backing.database_url.as_ref().map_or("SQLite", |_| "DATABASE_URL");
        let files = if backing.is_kept_in_data_dir() { format!(", in {data_dir}") } else { String::new() };
        let kept_in = format!("{broker} and {database}{files}");
        Ok(Self { gateway: dialled(gateway), admin: dialled(admin), kept_in, token })
    }
}

/// What to dial to get to what listens on `bound`.
fn dialled(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

impl fmt::Display for Welcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gateway, admin, kept_in, token } = self;
        write!(
            formatter,
            "\
Waybill is up.

  Playground  http://{gateway}/
  GraphQL     http://{gateway}/graphql
  Admin       http://{admin}/readyz
  Kept by     {kept_in}
"
        )?;
        let bearer = match token {
            None => "$TOKEN",
            Some(token) => {
                writeln!(
                    formatter,
                    "\nA token for {DEMO_CUSTOMER}, good for a day (`waybill token` makes more):\n\n{token}"
                )?;
                token
            }
        };
        write!(
            formatter,
            r#"
Place an order:

curl http://{gateway}/graphql -H 'Content-Type: application/json' \
  -H 'Authorization: Bearer {bearer}' \
  -d '{{"query": "mutation {{ createOrder(input: {{ items: [{{ productId: \"PROD01\", quantity: 2 }}] }}) {{ order {{ id status totalAmount {{ amount currencyCode }} cursor }} userErrors {{ code message }} }} }}"}}'

Watch orders, in the playground or with any client of the graphql-transport-ws protocol:

subscription {{ orderUpdated {{ cursor kind previousStatus status order {{ id version totalAmount {{ amount }} }} }} }}

Ctrl-C ends it; the next start goes on from here.
"#
        )
    }
}
