//! The command `waybill`: the whole system in one process, and the tools of whoever runs it.

mod backing;
mod cli;
mod data_dir;
mod desk;
mod health;
mod http;
mod operator;
mod output;
mod secret_file;
mod shop;
mod token;
mod tools;
mod up;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}
