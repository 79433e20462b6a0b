//! `completions`: scripts that complete the arguments in a shell.

use crate::args::{Cli, Completions};
use crate::failure::Failure;
use clap::CommandFactory;
use std::io::{self, Write};

pub fn run(args: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), env!("CARGO_PKG_NAME"), &mut script);
    Ok(io::stdout().write_all(&script)?)
}
