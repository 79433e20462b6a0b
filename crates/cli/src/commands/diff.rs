//! `diff`: the rows that differ between two states.

use crate::args::Diff;
use crate::commands::distinct;
use crate::failure::Failure;
use crate::interrupt::{self, Interruptible};
use crate::output::{Format, Output, bytes, shown};
use crate::replica;
use crate::stderr::say;
use rusqlite::ffi::SQLITE_ERROR;
use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, Row};
use std::collections::HashSet;
use std::env;
use std::io::{self, Write};

/// The tables of Litestream itself, which differ between all states.
const LITESTREAMS: &str = "_litestream_";

const COLUMNS: [&str; 6] = ["table", "op", "rowid", "column", "old", "new"];
const SQL: &str = "SELECT ?1, op, rowid, \"column\", old, new FROM litestream_diff(?1, ?2)";

/// The tables whose pages differ.
const CHANGED: &str = "SELECT name FROM litestream_changes(?1) WHERE type = 'table' ORDER BY name";

/// The tables that were created, dropped, renamed or defined anew.
const REDEFINED: &str = "
    WITH differing AS MATERIALIZED (SELECT rowid AS at, \"column\" AS part, old, new FROM litestream_diff('sqlite_schema', ?1))
    SELECT old FROM differing WHERE part = 'name' AND old IS NOT NULL
    UNION SELECT new FROM differing WHERE part = 'name' AND new IS NOT NULL
    UNION SELECT name FROM differing JOIN sqlite_schema ON sqlite_schema.rowid = at WHERE part = 'sql'";

pub fn run(args: &Diff) -> Result<(), Failure> {
    let since = replica::absolute(&args.since);
    let connection = replica::open_until(&args.replica, args.until.as_deref())?;
    let _interruptible = Interruptible::new(&connection);
    let compared = Compared::new(&connection, &since, &args.tables)?;
    let format = match (args.json, args.csv) {
        (true, _) => Format::Json,
        (_, true) => Format::Csv,
        _ => Format::Table,
    };
    let mut output = Output::new(format);
    match format {
        Format::Table => compared.print_text(&mut output)?,
        _ => compared.print_rows(&mut output)?,
    }
    Ok(output.finish()?)
}

/// The tables of an earlier state that are compared with the state of the connection.
struct Compared<'a> {
    connection: &'a Connection,
    since: &'a str,
    tables: Vec<String>,
    /// Those of which some cannot be compared, and that nobody has named.
    redefined: HashSet<String>,
}

impl<'a> Compared<'a> {
    fn new(connection: &'a Connection, since: &'a str, named: &[String]) -> Result<Compared<'a>, Failure> {
        let names = |sql: &str| -> rusqlite::Result<Vec<String>> {
            connection.prepare(sql)?.query_map([since], |row| row.get(0))?.collect()
        };
        if !named.is_empty() {
            return Ok(Compared { connection, since, tables: distinct(named), redefined: HashSet::new() });
        }
        let mut tables = names(CHANGED)?;
        tables.retain(|name| !name.starts_with(LITESTREAMS));
        Ok(Compared { connection, since, tables, redefined: names(REDEFINED)?.into_iter().collect() })
    }

    /// Reports a table that cannot be compared because it was redefined. Other failures end the comparison, also those of the store while such
    /// a table is read.
    fn each_value(&self, table: &str, mut print: impl FnMut(&Row<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut statement = self.connection.prepare(SQL)?;
        let mut rows = statement.query((table, self.since))?;
        let mut next = match rows.next() {
            Err(error) if self.redefined.contains(table) && is_refusal(&error) => {
                let reason = Failure::from(error).reason().unwrap_or_default();
                say(format_args!("{}: {reason}", shown(ValueRef::Text(table.as_bytes()))));
                return Ok(());
            }
            first => first?,
        };
        while let Some(row) = next {
            interrupt::check()?;
            print(row)?;
            next = rows.next()?;
        }
        Ok(())
    }

    fn print_rows(&self, output: &mut Output) -> Result<(), Failure> {
        let mut printed = output.rows(&COLUMNS)?;
        for table in &self.tables {
            self.each_value(table, |row| {
                let values = (0..COLUMNS.len()).map(|at| row.get_ref(at)).collect::<Result<Vec<_>, _>>()?;
                Ok(printed.row(&values)?)
            })?;
        }
        Ok(printed.end()?)
    }

    fn print_text(&self, output: &mut Output) -> Result<(), Failure> {
        let colours = output.is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        for table in &self.tables {
            let mut text = DiffText { table, colours, row: None };
            let result = self.each_value(table, |row| text.add(row, output.text()));
            text.end(output.text())?;
            result?;
        }
        Ok(())
    }
}

/// Whether a statement failed because of what it asks for, and not because of a file.
fn is_refusal(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == SQLITE_ERROR)
}

/// Writes the differing rows of a table, one a line.
struct DiffText<'t> {
    table: &'t str,
    colours: bool,
    /// The operation and the key of the last row. None before the first.
    row: Option<(String, RowKey)>,
}

/// The key of a row, as it is: text need not be UTF-8.
type RowKey = (Type, Vec<u8>);

fn key(value: ValueRef<'_>) -> RowKey {
    (value.data_type(), bytes(value).into_owned())
}

/// Longer values are cut off.
const LONGEST: usize = 60;

impl DiffText<'_> {
    /// Adds a value to its row.
    fn add(&mut self, row: &Row<'_>, out: &mut impl Write) -> Result<(), Failure> {
        let this: (String, RowKey) = (row.get(1)?, key(row.get_ref(2)?));
        let is_first = self.row.is_none();
        let (sign, colour) = match this.0.as_str() {
            "insert" => ('+', "\x1b[32m"),
            "delete" => ('-', "\x1b[31m"),
            _ => ('~', "\x1b[33m"),
        };
        let mut separator = ",";
        if self.row.as_ref() != Some(&this) {
            self.end(out)?;
            if is_first {
                writeln!(out, "{}", self.coloured("\x1b[1m", &shown(ValueRef::Text(self.table.as_bytes()))))?;
            }
            write!(out, "{}", self.coloured(colour, &format!("  {sign} {}", cut(row.get_ref(2)?))))?;
            separator = "";
            self.row = Some(this);
        }
        let (column, old, new) = (shown(row.get_ref(3)?), cut(row.get_ref(4)?), cut(row.get_ref(5)?));
        let value = match sign {
            '+' => self.coloured(colour, &new),
            '-' => self.coloured(colour, &old),
            _ => format!("{} -> {}", self.coloured("\x1b[31m", &old), self.coloured("\x1b[32m", &new)),
        };
        Ok(write!(out, "{separator} {column}: {value}")?)
    }

    /// Ends the line of the last row.
    fn end(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.row.is_some() {
            writeln!(out)?;
            out.flush()?;
        }
        Ok(())
    }

    fn coloured(&self, colour: &str, text: &str) -> String {
        if self.colours { format!("{colour}{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn cut(value: ValueRef<'_>) -> String {
    let text = shown(value);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}\u{2026}", &text[..end]),
        None => text,
    }
}
