//! The pool of connections to PostgreSQL: which of the URL's servers it uses, and what each connection is prepared with.
//!
//! The driver knows one server. A list of servers is kept here: one is chosen by trying them in order, and the pool's later
//! connections go to it; when it is lost, or can't be written to any more, another one is chosen.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::Duration;

use sea_orm::SqlxPostgresConnector;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection, Row as _};
use tokio::time::{Instant, timeout};

use crate::error::StoreError;
use crate::health::Health;
use crate::pool::{Pool, SESSION_SETTINGS};
use crate::url::{Pooling, PostgresUrl, Server, TargetSession};

/// Connections of one service in one process.
const CONNECTIONS: u32 = 16;
/// A connection that has been idle for so long is tested before it is used. Of a server that is lost sooner, one statement
/// fails, and with it all its sessions are replaced.
const TESTED_AFTER: Duration = Duration::from_secs(1);
/// How long a task waits for a pooled connection, free or newly made.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one server may take to accept a connection and to say whether it can be written to.
const SERVER_TIMEOUT: Duration = Duration::from_secs(3);

/// SQLSTATE `invalid_authorization_specification`: also what a server answers when its `pg_hba.conf` demands or refuses TLS.
const NOT_ALLOWED: &str = "28000";

/// The servers of a URL and the pool of connections to one of them.
#[derive(Debug)]
pub(crate) struct Postgres {
    url: PostgresUrl,
    pool: OnceLock<PgPool>,
    chosen: Mutex<Chosen>,
    /// Held while another server is looked for, so that one task looks.
    choosing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Chosen {
    /// The server's name and whether it is spoken to over TLS.
    server: (String, bool),
    /// Connections that are older lead to another server.
    since: Instant,
}

/// A new connection outside of the pool, and how it was made.
struct Opened {
    server: String,
    options: PgConnectOptions,
    connection: PgConnection,
    /// Whether the URL leaves the choice between TLS and plain text.
    had_choice: bool,
}

impl Opened {
    fn identity(&self) -> (String, bool) {
        (self.server.clone(), !self.is_plain_text())
    }

    fn is_plain_text(&self) -> bool {
        matches!(self.options.get_ssl_mode(), PgSslMode::Disable)
    }

    fn warn_of_plain_text(&self) {
        if self.had_choice && self.is_plain_text() {
            tracing::warn!(
                server = self.server,
                "the connection to the database is not encrypted: set sslmode=verify-full, or sslmode=disable if that is \
                 meant"
            );
        }
    }
}

impl Postgres {
    /// Connects to the first server that accepts the connection and, if the URL asks for it, can be written to.
    pub(crate) async fn connect(url: &str, health: &Arc<Health>) -> Result<Arc<Self>, StoreError> {
        let url = PostgresUrl::parse(url).map_err(|error| StoreError::Misconfigured(error.to_string()))?;
        for parameter in &url.without_effect {
            tracing::info!(parameter, "a parameter of the database's URL has no effect");
        }
        let mut opened = open(&url, None).await?;
        opened.warn_of_plain_text();
        if url.pooling == Pooling::Session {
            refuse_transaction_pooling(&mut opened).await?;
        }
        let chosen = Mutex::new(Chosen { server: opened.identity(), since: Instant::now() });
        let postgres =
            Arc::new(Self { url, pool: OnceLock::new(), chosen, choosing: tokio::sync::Mutex::default() });
        let pool = pool_options(&postgres, health).connect_lazy_with(opened.options);
        postgres.pool.set(pool).expect("it is set once");
        close(opened.connection).await;
        Ok(postgres)
    }

    /// The pool, for statements and transactions.
    pub(crate) fn pool(&self) -> Pool {
        let inner = SqlxPostgresConnector::from_sqlx_postgres_pool(self.connections().clone());
        Pool { inner, is_transaction_pooled: self.is_transaction_pooled() }
    }

    fn is_transaction_pooled(&self) -> bool {
        self.url.pooling == Pooling::Transaction
    }

    /// Connects to a server outside of the pool, the one in use before the others, and leads the pool to it.
    pub(crate) async fn choose(&self) -> Result<(), StoreError> {
        let _choosing = self.choosing.lock().await;
        let current = self.chosen().server.0.clone();
        let opened = open(&self.url, Some(&current)).await?;
        let identity = opened.identity();
        {
            let mut chosen = self.chosen();
            if chosen.server != identity {
                tracing::warn!(
                    from = chosen.server.0,
                    to = identity.0,
                    "another database server is used from now on"
                );
                opened.warn_of_plain_text();
                *chosen = Chosen { server: identity, since: Instant::now() };
                self.connections().set_connect_options(opened.options);
            }
        }
        close(opened.connection).await;
        Ok(())
    }

    /// Whether a connection of this age leads to the server in use.
    fn is_current(&self, age: Duration) -> bool {
        age <= self.chosen().since.elapsed()
    }

    fn connections(&self) -> &PgPool {
        self.pool.get().expect("connecting sets it")
    }

    fn chosen(&self) -> MutexGuard<'_, Chosen> {
        self.chosen.lock().expect("nothing panics while it holds this lock")
    }
}

fn pool_options(postgres: &Arc<Postgres>, health: &Arc<Health>) -> PgPoolOptions {
    let health = Arc::clone(health);
    let (for_new, for_idle) = (Arc::downgrade(postgres), Arc::downgrade(postgres));
    let target = postgres.url.target;
    let settings = (!postgres.is_transaction_pooled()).then_some(SESSION_SETTINGS);
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // It would cost a round trip before each statement.
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let postgres = Weak::clone(&for_new);
            Box::pin(async move {
                if !is_accepted(target, connection).await? {
                    if let Some(postgres) = postgres.upgrade() {
                        // The pool tries again, with the server that is then in use.
                        let chosen = postgres.choose().await;
                        tracing::debug!(?chosen, "another database server was looked for");
                    }
                    return Err(not_writable());
                }
                if let Some(settings) = settings {
                    connection.execute(sqlx::raw_sql(settings)).await?;
                }
                Ok(())
            })
        })
        // A session that is older than an error that speaks of sessions is replaced: after a failover it stays read-only, and
        // after a change of a table it holds plans of the old one.
        .before_acquire(move |connection, session| {
            let is_current = for_idle.upgrade().is_none_or(|postgres| postgres.is_current(session.age));
            let usable = is_current && health.is_usable(session.age) && !connection.is_in_transaction();
            Box::pin(async move {
                if usable && session.idle_for >= TESTED_AFTER {
                    connection.ping().await?;
                }
                Ok(usable)
            })
        })
}

/// Opens a connection to the first server that is suitable, the one in use before the others. The error has each server's
/// reason.
async fn open(url: &PostgresUrl, in_use: Option<&str>) -> Result<Opened, StoreError> {
    let mut reasons = Vec::with_capacity(url.servers.len());
    let mut servers: Vec<&Server> = url.servers.iter().collect();
    servers.sort_by_key(|server| in_use != Some(&*server.name));
    for server in servers {
        let opening = open_server(&server.name, &server.attempts, url.target);
        let error = match timeout(SERVER_TIMEOUT, opening).await {
            Ok(Ok(opened)) => return Ok(opened),
            Ok(Err(error)) => {
                StoreError::from(sea_orm::DbErr::Conn(sea_orm::RuntimeErr::SqlxError(error.into())))
            }
            Err(_) => StoreError::Unavailable(format!("no answer within {SERVER_TIMEOUT:?}")),
        };
        if url.servers.len() == 1 {
            return Err(error);
        }
        let (StoreError::Unavailable(reason) | StoreError::Contention(reason) | StoreError::Data(reason)) =
            error
        else {
            return Err(error);
        };
        reasons.push(format!("{}: {reason}", server.name));
    }
    Err(StoreError::Unavailable(reasons.join("; ")))
}

async fn open_server(
    name: &str,
    attempts: &[PgConnectOptions],
    target: TargetSession,
) -> Result<Opened, sqlx::Error> {
    let mut remaining = attempts.iter();
    let (mut connection, options) = loop {
        let options = remaining.next().ok_or(sqlx::Error::Configuration("no way to connect".into()))?;
        match options.connect().await {
            Ok(connection) => break (connection, options.clone()),
            Err(error) if !remaining.as_slice().is_empty() && depends_on_tls(&error) => {
                tracing::debug!(server = name, %error, "connecting another way");
            }
            Err(error) => return Err(error),
        }
    };
    if !is_accepted(target, &mut connection).await? {
        close(connection).await;
        return Err(not_writable());
    }
    Ok(Opened { server: name.to_owned(), options, connection, had_choice: attempts.len() > 1 })
}

/// Whether the same server may accept a connection with TLS instead of without, or without instead of with.
fn depends_on_tls(error: &sqlx::Error) -> bool {
    match error {
        // The server answered that it doesn't speak TLS. A certificate that isn't accepted is an error of input and output.
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code == NOT_ALLOWED),
        _ => false,
    }
}

/// Whether the server is one that the URL asks for.
async fn is_accepted(target: TargetSession, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let accepted = match target {
        TargetSession::Any => return connection.ping().await.map(|()| true),
        TargetSession::ReadWrite => {
            "SELECT NOT (pg_is_in_recovery() OR current_setting('transaction_read_only')::bool)"
        }
        TargetSession::Primary => "SELECT NOT pg_is_in_recovery()",
    };
    connection.fetch_one(sqlx::raw_sql(accepted)).await?.try_get(0)
}

fn not_writable() -> sqlx::Error {
    sqlx::Error::Configuration("the server is not the primary, or is read-only".into())
}

/// Refuses a pooler that gives out sessions for the length of a transaction: prepared statements and settings would get lost,
/// now and then. Two connections at a time have the same session only there.
async fn refuse_transaction_pooling(opened: &mut Opened) -> Result<(), StoreError> {
    let comparing = async {
        let first = backend(&mut opened.connection).await?;
        // A server that has no connection left for this answers the question soon enough.
        let Ok(mut other) = opened.options.connect().await else { return Ok(false) };
        other.execute(sqlx::raw_sql("BEGIN")).await?;
        let is_shared =
            backend(&mut other).await? == first || backend(&mut opened.connection).await? != first;
        close(other).await;
        Ok::<bool, sqlx::Error>(is_shared)
    };
    match timeout(SERVER_TIMEOUT, comparing).await {
        Ok(Ok(true)) => Err(StoreError::Misconfigured(
            "the database is reached through a pooler in transaction mode: add pool_mode=transaction to the URL".to_owned(),
        )),
        Ok(Err(sqlx::Error::Database(error))) => {
            Err(StoreError::Misconfigured(format!("the database can't begin a transaction: {}", error.message())))
        }
        answer => {
            tracing::debug!(?answer, "looked for a pooler in transaction mode");
            Ok(())
        }
    }
}

async fn backend(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    connection.fetch_one(sqlx::raw_sql("SELECT pg_backend_pid()")).await?.try_get(0)
}

async fn close(connection: PgConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "cannot close a connection to the database");
    }
}
