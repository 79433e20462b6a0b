//! `status`: the state of the replica and of the connection to it.

use crate::args::Status;
use crate::failure::Failure;
use crate::output::{Format, Output, shown};
use crate::replica;
use rusqlite::Connection;
use rusqlite::types::{Value, ValueRef};
use std::io::Write;
use std::thread;
use std::time::Duration;

const REFRESH: Duration = Duration::from_secs(1);
/// Moves the cursor to the first line of a terminal, and clears the terminal from there.
const CLEAR: &str = "\x1b[H\x1b[J";

pub fn run(args: &Status) -> Result<(), Failure> {
    let connection = replica::open(&args.replica)?;
    let mut output = Output::new(args.printed.format);
    match (args.watch, output.format) {
        (false, _) => print(&connection, &mut output),
        (true, Format::Table) if output.is_terminal() => loop {
            output.text().write_all(CLEAR.as_bytes())?;
            print(&connection, &mut output)?;
            thread::sleep(REFRESH);
        },
        (true, _) => print_changes(&connection, &mut output),
    }
}

/// Prints all fields. A table would be too wide, so they are lines. This waits for nothing.
pub fn print(connection: &Connection, output: &mut Output) -> Result<(), Failure> {
    let mut statement = connection.prepare("SELECT * FROM litestream_status")?;
    if output.format != Format::Table {
        return output.print(&mut statement, ());
    }
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        for (at, name) in names.iter().enumerate() {
            let value = shown(row.get_ref(at)?);
            writeln!(output.text(), "{name:<21}  {value}")?;
        }
    }
    Ok(output.finish()?)
}

/// Prints a line now and for each change, until the program is interrupted.
fn print_changes(connection: &Connection, output: &mut Output) -> Result<(), Failure> {
    let sql = "SELECT strftime('%Y-%m-%dT%H:%M:%fZ') AS seen, txid, time, state, last_error FROM litestream_status";
    let mut statement = connection.prepare(sql)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = output.rows(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut last: Option<Vec<Value>> = None;
    loop {
        let values = statement.query_row((), |row| (0..names.len()).map(|at| row.get(at)).collect())?;
        let values: Vec<Value> = values;
        // The first is the time at which it was seen.
        if last.as_ref().is_none_or(|last| last[1..] != values[1..]) {
            rows.row(&values.iter().map(ValueRef::from).collect::<Vec<_>>())?;
            rows.flush()?;
            last = Some(values);
        }
        thread::sleep(REFRESH);
    }
}
