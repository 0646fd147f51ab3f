//! customer-service in a process of its own.

use std::process::ExitCode;

use customer_service::config::{Arguments, DEFAULTS};
use customer_service::process;

fn main() -> ExitCode {
    let arguments: Arguments = service_kit::config::parse(DEFAULTS);
    service_kit::run("customer-service", |shutdown| process::main(arguments, shutdown))
}
