//! Test support: private servers that leave nothing behind, programs under test, GraphQL clients, and waiting for
//! conditions. Depends on no other crate of the workspace.

mod certificates;
mod eventually;
mod graphql;
mod guard;
mod mutations;
mod npm;
mod pgbouncer;
mod port;
mod postgres;
mod process;
mod program;
mod rabbitmq;
mod shared;
mod small_disk;
mod user;

pub use certificates::{Authority, KeyedCertificate};
pub use eventually::{Probe, WAIT_LIMIT, eventually, eventually_within};
pub use graphql::{GraphQlClient, GraphQlSocket, Received, Reply, http_client, refused_connection, reply};
pub use mutations::{fuzz_cases, mutations};
pub use npm::install_locked;
pub use pgbouncer::PgBouncer;
pub use port::free_port;
pub use postgres::Postgres;
pub use process::Process;
pub use program::{Finished, Program, workspace_program};
pub use rabbitmq::RabbitMq;
pub use rustix::process::Signal;
pub use shared::{POSTGRES_VARIABLE, RABBITMQ_VARIABLE, postgres_database, rabbitmq_url, unique};
pub use small_disk::can_mount;
