//! A PgBouncer of the test's own, before a PostgreSQL.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::free_port;
use crate::guard::{EndSignals, Environment, Guard, has_ended};
use crate::user::{unprivileged, write_private};

const PROGRAM: &str = "pgbouncer";
const PROGRAMS: [&str; 4] =
    ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/opt/homebrew/bin/pgbouncer", "/usr/local/bin/pgbouncer"];
const START_LIMIT: Duration = Duration::from_secs(30);

/// One PgBouncer on a loopback port. It leaves nothing behind when dropped or when the owning process dies.
pub struct PgBouncer {
    #[expect(dead_code, reason = "ends the server when dropped")]
    guard: Guard,
    port: u16,
}

impl PgBouncer {
    /// Starts a PgBouncer before the server of this URL, for the URL's user. `pool_mode` is PgBouncer's: `session` or
    /// `transaction`.
    pub async fn start(database_url: &str, pool_mode: &str) -> Result<Self> {
        let program = PROGRAMS.iter().find(|program| Path::new(program).exists());
        let program = program.context("PgBouncer is not installed (Debian: pgbouncer)")?;
        let (user, address) = user_and_address(database_url)?;
        let (host, server_port) = address.rsplit_once(':').context("the URL has no port")?;
        let guard = Guard::new("waybill-pgbouncer", EndSignals::Kill)?;
        let become_user = unprivileged(guard.folder())?;
        let port = free_port();
        let users = write_private(guard.folder(), "users.txt", &format!("\"{user}\" \"\"\n"))?;
        // Fewer sessions than clients, so that each session serves several.
        let configuration = format!(
            "[databases]\n* = host={host} port={server_port}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = {users}\npool_mode = {pool_mode}\n\
             default_pool_size = {size}\nmax_client_conn = 500\nserver_round_robin = 1\n",
            size = if pool_mode == "transaction" { 5 } else { 60 },
        );
        let file = write_private(guard.folder(), "pgbouncer.ini", &configuration)?;
        let words: Vec<String> = become_user.into_iter().chain([(*program).to_owned(), file]).collect();
        let environment = Environment::from([("LANG", "C.UTF-8".to_owned())]);
        let pid = guard.start(PROGRAM, &environment, &words).await?;
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if has_ended(pid) || Instant::now() > deadline {
                bail!("PgBouncer didn't start:\n{}", guard.log(PROGRAM));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { guard, port })
    }

    /// The same URL with this PgBouncer in between.
    ///
    /// # Panics
    /// When it isn't a URL with a host and a port.
    #[must_use]
    pub fn url(&self, database_url: &str) -> String {
        let (_, address) = user_and_address(database_url).expect("the URL has an address");
        database_url.replacen(address, &format!("127.0.0.1:{}", self.port), 1)
    }
}

fn user_and_address(url: &str) -> Result<(&str, &str)> {
    let (_, rest) = url.split_once("://").context("it is no URL")?;
    let (authority, _) = rest.split_once('/').context("the URL names no database")?;
    let (user, address) = authority.rsplit_once('@').context("the URL names no user")?;
    Ok((user.split(':').next().unwrap_or(user), address))
}
