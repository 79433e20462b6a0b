//! `changes`: the tables and indexes that differ between two states.

use crate::args::Changes;
use crate::failure::Failure;
use crate::interrupt::Interruptible;
use crate::output::Output;
use crate::replica;

pub fn run(args: &Changes) -> Result<(), Failure> {
    let connection = replica::open(&args.replica)?;
    let _interruptible = Interruptible::new(&connection);
    let mut statement = connection.prepare("SELECT * FROM litestream_changes(?, ?)")?;
    Output::new(args.printed.format).print(&mut statement, (&args.since, &args.until))
}
