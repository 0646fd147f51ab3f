//! The gateway in a process of its own.

use std::process::ExitCode;

use gateway::config::{Arguments, DEFAULTS};
use gateway::process;

fn main() -> ExitCode {
    let arguments: Arguments = service_kit::config::parse(DEFAULTS);
    service_kit::run("gateway", |shutdown| process::main(arguments, shutdown))
}
