//! `undo`: SQL that puts rows back as they were.

use crate::args::Undo;
use crate::commands::distinct;
use crate::failure::Failure;
use crate::interrupt::{self, Interruptible};
use crate::output::{Format, Output};
use crate::replica;
use std::io::Write;

pub fn run(args: &Undo) -> Result<(), Failure> {
    let since = replica::absolute(&args.since);
    let connection = replica::open_until(&args.replica, args.until.as_deref())?;
    let _interruptible = Interruptible::new(&connection);
    let mut output = Output::new(Format::Table);
    let mut statement = connection.prepare("SELECT sql FROM litestream_undo(?, ?)")?;
    // The first row of each table begins the transaction, and the last ends it. All tables are in one.
    let mut last: Option<String> = None;
    for (number, table) in distinct(&args.tables).iter().enumerate() {
        let mut rows = statement.query((table, &since))?;
        let mut is_first = true;
        while let Some(row) = rows.next()? {
            interrupt::check()?;
            let sql: String = row.get(0)?;
            if is_first {
                last = if number == 0 { Some(sql) } else { None };
                is_first = false;
                continue;
            }
            if let Some(last) = last.replace(sql) {
                writeln!(output.text(), "{last}")?;
            }
        }
    }
    if let Some(last) = last {
        writeln!(output.text(), "{last}")?;
    }
    Ok(output.finish()?)
}
