//! `man`: the manual pages.

use crate::args::{Cli, Man};
use crate::failure::Failure;
use clap::CommandFactory;
use std::io;

pub fn run(args: &Man) -> Result<(), Failure> {
    match &args.directory {
        Some(directory) => clap_mangen::generate_to(Cli::command(), directory)
            .map_err(|error| Failure::Reason(format!("cannot write to {}: {error}", directory.display()))),
        None => Ok(clap_mangen::Man::new(Cli::command()).render(&mut io::stdout())?),
    }
}
