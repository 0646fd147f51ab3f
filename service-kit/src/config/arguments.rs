use clap::{Command, Parser};

/// Parses the command line and the environment, with the defaults that differ between processes
/// (see [`with_defaults`]). Help, the version and unknown flags end the process, as clap does.
pub fn parse<A: Parser>(defaults: &[(&'static str, &'static str)]) -> A {
    let matches = with_defaults(A::command(), defaults).get_matches();
    A::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Gives arguments of a shared group the defaults of this process, by the field's name: `[("admin_port", "9401")]`.
pub fn with_defaults(command: Command, defaults: &[(&'static str, &'static str)]) -> Command {
    defaults.iter().fold(command, |command, (argument, default)| {
        command.mut_arg(argument, |arg| arg.default_value(*default).required(false))
    })
}
