//! The command `waybill`: the whole system in one process, and the commands of its operator.

mod cli;
mod output;

mod data_dir;
mod infrastructure;
mod services;
mod up;

mod admin;
mod dead_letters;
mod doctor;
mod operator;
mod tools;

mod health;
mod token;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}
