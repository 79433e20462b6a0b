//! `diff`: the rows that differ between two states.

use crate::args::Diff;
use crate::failure::Failure;
use crate::interrupt::{self, Interruptible};
use crate::output::{Format, Output, shown};
use crate::replica;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row};
use std::env;
use std::io::{self, Write};

/// The tables of Litestream itself, which differ between all states.
const LITESTREAMS: &str = "_litestream_";

const COLUMNS: [&str; 6] = ["table", "op", "rowid", "column", "old", "new"];
const SQL: &str = "SELECT ?1, op, rowid, \"column\", old, new FROM litestream_diff(?1, ?2, ?3)";

pub fn run(args: &Diff) -> Result<(), Failure> {
    let connection = replica::open(&args.replica)?;
    let _interruptible = Interruptible::new(&connection);
    let tables = if args.tables.is_empty() { changed_tables(&connection, args)? } else { args.tables.clone() };
    let format = match (args.json, args.csv) {
        (true, _) => Format::Json,
        (_, true) => Format::Csv,
        _ => Format::Table,
    };
    let mut output = Output::new(format);
    match format {
        Format::Table => print_text(&connection, args, &tables, &mut output)?,
        _ => print_rows(&connection, args, &tables, &mut output)?,
    }
    Ok(output.finish()?)
}

/// Returns the tables whose pages differ.
fn changed_tables(connection: &Connection, args: &Diff) -> Result<Vec<String>, Failure> {
    let sql = "SELECT name FROM litestream_changes(?, ?) WHERE type = 'table' ORDER BY name";
    let mut statement = connection.prepare(sql)?;
    let names: Vec<String> =
        statement.query_map((&args.since, &args.until), |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(names.into_iter().filter(|name| !name.starts_with(LITESTREAMS)).collect())
}

fn each_value(
    connection: &Connection,
    args: &Diff,
    table: &str,
    mut print: impl FnMut(&Row<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut statement = connection.prepare(SQL)?;
    let mut rows = statement.query((table, &args.since, &args.until))?;
    while let Some(row) = rows.next()? {
        interrupt::check()?;
        print(row)?;
    }
    Ok(())
}

/// Reports a table that cannot be compared, if it was not named: it was created, dropped or changed in between.
fn report(args: &Diff, table: &str, result: Result<(), Failure>) -> Result<(), Failure> {
    match result {
        Err(Failure::Reason(reason)) if args.tables.is_empty() => {
            eprintln!("{}: {reason}", shown(ValueRef::Text(table.as_bytes())));
            Ok(())
        }
        result => result,
    }
}

fn print_rows(connection: &Connection, args: &Diff, tables: &[String], output: &mut Output) -> Result<(), Failure> {
    let mut printed = output.rows(&COLUMNS)?;
    for table in tables {
        let result = each_value(connection, args, table, |row| {
            let values = (0..COLUMNS.len()).map(|at| row.get_ref(at)).collect::<Result<Vec<_>, _>>()?;
            Ok(printed.row(&values)?)
        });
        report(args, table, result)?;
    }
    Ok(printed.end()?)
}

fn print_text(connection: &Connection, args: &Diff, tables: &[String], output: &mut Output) -> Result<(), Failure> {
    let colours = output.is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    for table in tables {
        let mut text = DiffText { table, colours, row: None };
        let result = each_value(connection, args, table, |row| text.add(row, output.text()));
        text.end(output.text())?;
        report(args, table, result)?;
    }
    Ok(())
}

/// Writes the differing rows of a table, one a line.
struct DiffText<'t> {
    table: &'t str,
    colours: bool,
    /// The operation and the key of the last row. None before the first.
    row: Option<(String, Value)>,
}

/// Longer values are cut off.
const LONGEST: usize = 60;

impl DiffText<'_> {
    /// Adds a value to its row.
    fn add(&mut self, row: &Row<'_>, out: &mut impl Write) -> Result<(), Failure> {
        let this: (String, Value) = (row.get(1)?, row.get(2)?);
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
            write!(out, "{}", self.coloured(colour, &format!("  {sign} {}", cut(ValueRef::from(&this.1)))))?;
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
