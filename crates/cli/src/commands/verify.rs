//! `verify`: reads every file of a state completely.

use crate::args::Verify;
use crate::failure::Failure;
use crate::interrupt::Interruptible;
use crate::output::Output;
use crate::{progress, replica};
use rusqlite::types::ValueRef;

/// The columns of `litestream_verify` that decide about a file.
const BYTES: usize = 3;
const OK: usize = 4;

pub fn run(args: &Verify) -> Result<(), Failure> {
    let connection = replica::open_at(&args.replica, &args.moment)?;
    let _interruptible = Interruptible::new(&connection);
    // This reads no file, because it uses no column that depends on its content.
    let total = connection.query_row("SELECT sum(bytes) FROM litestream_verify", [], |row| row.get::<_, i64>(0))?;
    let bar = progress::bytes(total.unsigned_abs(), "verifying");
    let (mut files, mut damaged, mut missing) = (0_u64, 0_u64, 0_u64);
    let mut statement = connection.prepare("SELECT * FROM litestream_verify")?;
    let mut output = Output::new(args.printed.format);
    output.print_each(&mut statement, (), |values| {
        files += 1;
        bar.inc(values[BYTES].as_i64().unwrap_or(0).unsigned_abs());
        match values[OK] {
            ValueRef::Integer(1) => return args.all,
            ValueRef::Null => missing += 1,
            _ => damaged += 1,
        }
        true
    })?;
    bar.finish_and_clear();
    if missing > 0 {
        eprintln!("files that no longer existed when they were to be read: {missing}");
    }
    if damaged > 0 {
        return Err(Failure::Damaged { damaged, files });
    }
    eprintln!("files: {files} ({}), none damaged", progress::size(total.unsigned_abs()));
    Ok(())
}
