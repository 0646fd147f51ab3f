//! The gateway in a process of its own.

use std::process::ExitCode;

use gateway::config::{Arguments, DEFAULTS};

#[global_allocator]
static ALLOCATOR: service_kit::Allocator = service_kit::Allocator;

fn main() -> ExitCode {
    let arguments: Arguments = service_kit::config::parse(DEFAULTS);
    service_kit::run("gateway", arguments.check(), async |context, transport, config| {
        gateway::start(&config, context, transport).await.map(drop)
    })
}
