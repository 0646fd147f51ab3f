use clap::Args;
use service_kit::config::ConfigErrors;

/// How much clients may keep open.
#[derive(Debug, Clone, Copy)]
pub struct LiveConfig {
    /// WebSockets and streamed responses open at once.
    pub max_sockets: usize,
    /// Those of one customer.
    pub max_sockets_per_customer: usize,
    /// Operations under way on one socket.
    pub max_socket_operations: usize,
    /// Subscriptions under way for one customer.
    pub max_subscriptions_per_customer: usize,
}

#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Live updates")]
pub struct LiveArgs {
    /// WebSockets and streamed responses open at once, within three quarters of the connections that the process may have
    #[arg(long, env = "MAX_SOCKETS", default_value = "10000")]
    pub max_sockets: String,
    /// WebSockets and streamed responses that one customer may have open
    #[arg(long, env = "MAX_SOCKETS_PER_CUSTOMER", default_value = "1000")]
    pub max_sockets_per_customer: String,
    /// Operations under way on one WebSocket
    #[arg(long, env = "MAX_SOCKET_OPERATIONS", default_value = "100")]
    pub max_socket_operations: String,
    /// Subscriptions that one customer may have under way
    #[arg(long, env = "MAX_SUBSCRIPTIONS_PER_CUSTOMER", default_value = "10000")]
    pub max_subscriptions_per_customer: String,
}

/// What a gateway keeps open without a setting.
impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            max_sockets: 10_000,
            max_sockets_per_customer: 1_000,
            max_socket_operations: 100,
            max_subscriptions_per_customer: 10_000,
        }
    }
}

impl LiveArgs {
    pub(super) fn check(&self, errors: &mut ConfigErrors) -> LiveConfig {
        let mut number = |variable, text: &str| errors.number(variable, text, 1..=1_000_000_usize);
        LiveConfig {
            max_sockets: number("MAX_SOCKETS", &self.max_sockets),
            max_sockets_per_customer: number("MAX_SOCKETS_PER_CUSTOMER", &self.max_sockets_per_customer),
            max_socket_operations: number("MAX_SOCKET_OPERATIONS", &self.max_socket_operations),
            max_subscriptions_per_customer: number(
                "MAX_SUBSCRIPTIONS_PER_CUSTOMER",
                &self.max_subscriptions_per_customer,
            ),
        }
    }
}
