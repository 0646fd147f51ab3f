use std::process::ExitCode;

fn main() -> ExitCode {
    waybill::run(std::env::args_os())
}
