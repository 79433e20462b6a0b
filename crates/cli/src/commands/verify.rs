//! `verify`: reads every file of a state completely.

use crate::args::Verify;
use crate::failure::Failure;
use crate::interrupt::{self, Interruptible};
use crate::output::Output;
use crate::stderr::say;
use crate::{progress, replica};
use indicatif::ProgressBar;
use rusqlite::Connection;
use rusqlite::types::Value;

const COLUMNS: [&str; 6] = ["level", "min_txid", "max_txid", "bytes", "ok", "error"];
const BYTES: usize = 3;
const OK: usize = 4;

pub fn run(args: &Verify) -> Result<(), Failure> {
    let connection = replica::open_at(&args.replica, &args.moment)?;
    let _interruptible = Interruptible::new(&connection);
    // This reads no file, because it uses no column that depends on its content.
    let total: i64 = connection.query_row("SELECT sum(bytes) FROM litestream_verify", [], |row| row.get(0))?;
    let bar = progress::bytes(total.unsigned_abs(), "verifying");
    let mut files = Vec::new();
    let outcome = read_files(&connection, &bar, &mut files);
    bar.finish_and_clear();
    let count = |ok: &Value| files.iter().filter(|file| file[OK] == *ok).count();
    let (damaged, missing) = (count(&Value::Integer(0)), count(&Value::Null));
    let printed: Vec<&Vec<Value>> = files.iter().filter(|file| args.all || file[OK] != Value::Integer(1)).collect();
    let printed = Output::new(args.printed.format).print_values(&COLUMNS, &printed);
    if missing > 0 {
        say(format_args!("files that no longer existed when they were to be read: {missing}"));
    }
    outcome?;
    // Also if nobody reads the output.
    if damaged > 0 {
        return Err(Failure::Damaged { damaged, files: files.len() });
    }
    printed?;
    say(format_args!("files: {} ({}), none damaged", files.len(), progress::size(total.unsigned_abs())));
    Ok(())
}

/// Adds a row for each file to `files`.
fn read_files(connection: &Connection, bar: &ProgressBar, files: &mut Vec<Vec<Value>>) -> Result<(), Failure> {
    let mut statement =
        connection.prepare("SELECT level, min_txid, max_txid, bytes, ok, error FROM litestream_verify")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        interrupt::check()?;
        bar.inc(row.get::<_, i64>(BYTES)?.unsigned_abs());
        files.push((0..COLUMNS.len()).map(|at| row.get(at)).collect::<Result<_, _>>()?);
    }
    Ok(())
}
