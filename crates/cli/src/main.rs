//! `litestream-query`: queries a SQLite database in its Litestream replica. SQLite is part of the program.

mod args;
mod commands;
mod failure;
mod interrupt;
mod log;
mod output;
mod progress;
mod replica;
mod sqlite;
mod stderr;
mod terminal;

use args::{Cli, Command};
use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(reason) = failure.reason() {
                stderr::say(format_args!("error: {reason}"));
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Sql(args) => commands::sql::run(&args),
        Command::History(args) => commands::history::run(&args),
        Command::Status(args) => commands::status::run(&args),
        Command::Changes(args) => commands::changes::run(&args),
        Command::Diff(args) => commands::diff::run(&args),
        Command::Undo(args) => commands::undo::run(&args),
        Command::Verify(args) => commands::verify::run(&args),
        Command::Export(args) => commands::export::run(&args),
        Command::Hydrate(args) => commands::hydrate::run(&args),
        Command::Shell(args) => commands::shell::run(&args),
        Command::Man(args) => commands::man::run(&args),
        Command::Completions(args) => commands::completions::run(&args),
    }
}
