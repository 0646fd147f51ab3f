//! inventory-service in a process of its own.

use std::process::ExitCode;

use inventory_service::config::{Arguments, DEFAULTS};
use inventory_service::process;

fn main() -> ExitCode {
    let arguments: Arguments = service_kit::config::parse(DEFAULTS);
    service_kit::run("inventory-service", |shutdown| process::main(arguments, shutdown))
}
