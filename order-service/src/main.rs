//! order-service in a process of its own.

use std::process::ExitCode;

use order_service::config::{Arguments, DEFAULTS};
use order_service::process;

fn main() -> ExitCode {
    let arguments: Arguments = service_kit::config::parse(DEFAULTS);
    service_kit::run("order-service", |shutdown| process::main(arguments, shutdown))
}
