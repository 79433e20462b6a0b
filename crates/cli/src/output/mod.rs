//! Rows on stdout.

mod csv;
mod json;
mod sink;
mod table;
mod value;

use crate::failure::Failure;
use crate::interrupt;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Params, Statement};
use sink::Sink;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
pub use table::{printable, shown};
pub use value::bytes;

/// Returns the names of the columns of a statement. A name that is not UTF-8 makes rusqlite panic, and is an error here.
fn names(statement: &Statement<'_>) -> Result<Vec<String>, Failure> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let names = panic::catch_unwind(AssertUnwindSafe(|| statement.column_names().map(str::to_owned).collect()));
    panic::set_hook(hook);
    names.map_err(|_| Failure::Reason("the name of a column is not UTF-8; name it with AS".to_owned()))
}

/// How rows are printed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, clap::ValueEnum)]
pub enum Format {
    /// Columns for people
    #[default]
    Table,
    /// Comma-separated values
    Csv,
    /// An array with an object for each row
    Json,
    /// An object for each row, one a line
    Jsonl,
}

/// Writes the rows of one result.
pub trait Rows {
    /// Writes a row, or keeps it until the widths of the columns are known.
    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()>;

    /// Writes the rows that were kept.
    fn flush(&mut self) -> io::Result<()>;

    /// Writes what follows the last row.
    fn end(&mut self) -> io::Result<()>;
}

/// Stdout, and how rows are written to it.
pub struct Output {
    pub format: Format,
    sink: Sink,
}

impl Output {
    pub fn new(format: Format) -> Output {
        Output { format, sink: Sink::stdout() }
    }

    /// Whether the output is shown on a terminal.
    pub fn is_terminal(&self) -> bool {
        self.sink.is_terminal()
    }

    /// Returns stdout for text that is not a row.
    pub fn text(&mut self) -> &mut impl Write {
        &mut self.sink
    }

    /// Starts a result with these columns.
    pub fn rows(&mut self, columns: &[&str]) -> io::Result<Box<dyn Rows + '_>> {
        Ok(match self.format {
            Format::Table => Box::new(table::Table::new(&mut self.sink, columns)),
            Format::Csv => Box::new(csv::Csv::start(&mut self.sink, columns)?),
            Format::Json => Box::new(json::Json::new(&mut self.sink, columns, json::ARRAY)),
            Format::Jsonl => Box::new(json::Json::new(&mut self.sink, columns, json::LINES)),
        })
    }

    /// Runs a statement and prints its rows. Prints nothing for a statement that has no columns.
    pub fn print(&mut self, statement: &mut Statement<'_>, parameters: impl Params) -> Result<(), Failure> {
        let names = names(statement)?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut found = statement.query(parameters)?;
        if names.is_empty() {
            while found.next()?.is_some() {}
            return Ok(());
        }
        let mut rows = self.rows(&names)?;
        let mut has_rows = false;
        let mut print_all = || -> Result<(), Failure> {
            while let Some(row) = found.next()? {
                interrupt::check()?;
                let values = (0..names.len()).map(|at| row.get_ref(at)).collect::<Result<Vec<_>, _>>()?;
                rows.row(&values)?;
                has_rows = true;
            }
            Ok(())
        };
        let outcome = print_all();
        // The rows before a failure are printed as well. A table without rows is not.
        let written = match outcome {
            Ok(()) => rows.end(),
            Err(_) if has_rows => rows.flush(),
            Err(_) => Ok(()),
        };
        drop(rows);
        let written = written.and_then(|()| self.sink.finish());
        outcome?;
        Ok(written?)
    }

    /// Prints rows that were read before.
    pub fn print_values(&mut self, columns: &[&str], values: &[&Vec<Value>]) -> io::Result<()> {
        let mut rows = self.rows(columns)?;
        for row in values {
            rows.row(&row.iter().map(ValueRef::from).collect::<Vec<_>>())?;
        }
        rows.end()?;
        drop(rows);
        self.sink.finish()
    }

    /// Writes everything that was printed.
    pub fn finish(&mut self) -> io::Result<()> {
        self.sink.finish()
    }
}
