//! `history`: the available states.

use crate::args::History;
use crate::failure::Failure;
use crate::interrupt::Interruptible;
use crate::output::Output;
use crate::replica;

pub fn run(args: &History) -> Result<(), Failure> {
    let connection = replica::open(&args.replica)?;
    let _interruptible = Interruptible::new(&connection);
    let mut statement = connection.prepare("SELECT * FROM litestream_history LIMIT ?")?;
    // A negative limit is none.
    Output::new(args.printed.format).print(&mut statement, [args.limit.map_or(-1, i64::from)])
}
