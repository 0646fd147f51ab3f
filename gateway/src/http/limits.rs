use std::time::Duration;

/// The edge's bounds. The defaults suit one gateway of two cores and 1 GiB.
#[derive(Clone, Debug)]
pub struct Limits {
    /// HTTP requests and socket operations (not subscriptions) under way at once.
    pub max_concurrent_requests: usize,
    /// Bytes of an HTTP request's body.
    pub max_body_bytes: usize,
    /// How long a client may take to send a body.
    pub body_timeout: Duration,
    /// How long a query or mutation may take.
    pub request_timeout: Duration,
    /// What a document may ask for.
    pub documents: DocumentLimits,
    /// What a socket may do.
    pub sockets: SocketLimits,
}

/// Bounds on a document, checked before it is executed.
///
/// Complexity is the schema's to weigh: give its builder `limit_complexity`.
#[derive(Clone, Debug)]
pub struct DocumentLimits {
    /// Lexical tokens, counted before parsing.
    pub max_tokens: usize,
    /// How deep brackets may nest, counted before parsing: the parser recurses.
    pub max_nesting: usize,
    /// How deep fields may nest, fragments resolved. The standard introspection query needs 15.
    pub max_depth: usize,
    /// Fields of the operation's root type, fragments resolved.
    pub max_root_fields: usize,
    /// Aliases, fragments resolved.
    pub max_aliases: usize,
    /// Selections, fragments resolved. Fragments that spread fragments double with each level.
    pub max_selections: usize,
    /// Directives, fragments resolved.
    pub max_directives: usize,
    /// Bytes of document text whose parsed form is kept.
    pub cache_bytes: u64,
}

/// Bounds on WebSockets.
#[derive(Clone, Debug)]
pub struct SocketLimits {
    /// Sockets open at once.
    pub max_sockets: usize,
    /// Operations under way on one socket.
    pub max_operations: usize,
    /// Bytes of one incoming message.
    pub max_message_bytes: usize,
    /// Bytes of one outgoing message.
    pub max_outgoing_bytes: usize,
    /// Results waiting for a slow peer; beyond that its operations wait.
    pub outgoing_messages: usize,
    /// How long a client may take to send `connection_init`.
    pub init_timeout: Duration,
    /// How often a quiet peer is pinged.
    pub ping_interval: Duration,
    /// How long a peer may stay silent, pings unanswered, before it counts as gone.
    pub dead_after: Duration,
    /// How long a close may take before the connection is dropped.
    pub close_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_concurrent_requests: 1024,
            max_body_bytes: 1024 * 1024,
            body_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            documents: DocumentLimits::default(),
            sockets: SocketLimits::default(),
        }
    }
}

impl Default for DocumentLimits {
    fn default() -> Self {
        Self {
            max_tokens: 5000,
            max_nesting: 64,
            max_depth: 20,
            max_root_fields: 20,
            max_aliases: 50,
            max_selections: 2000,
            max_directives: 50,
            cache_bytes: 4 * 1024 * 1024,
        }
    }
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self {
            max_sockets: 10_000,
            max_operations: 100,
            max_message_bytes: 256 * 1024,
            max_outgoing_bytes: 4 * 1024 * 1024,
            outgoing_messages: 8,
            init_timeout: Duration::from_secs(3),
            ping_interval: Duration::from_secs(12),
            dead_after: Duration::from_secs(36),
            close_timeout: Duration::from_secs(2),
        }
    }
}
