//! Rows as a table. The first rows are kept until the widths of the columns are known; all later rows use these widths.

use super::Rows;
use super::sink::Sink;
use super::value::plain;
use rusqlite::types::ValueRef;
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr;

/// How many rows decide about the widths.
const MEASURED: usize = 100;
/// No column is wider. A longer value moves the rest of its line.
const WIDEST: usize = 60;
const GAP: &str = "  ";

pub struct Table<'s> {
    out: &'s mut Sink,
    columns: Vec<String>,
    /// The rows that are kept. None if the widths are known.
    kept: Option<Vec<Vec<Cell>>>,
    widths: Vec<usize>,
}

struct Cell {
    text: String,
    is_number: bool,
    is_null: bool,
}

impl Cell {
    fn new(value: ValueRef<'_>) -> Cell {
        let is_number = matches!(value, ValueRef::Integer(_) | ValueRef::Real(_));
        Cell { text: shown(value), is_number, is_null: value == ValueRef::Null }
    }
}

/// Returns a value as a table shows it.
pub fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        _ => printable(&plain(value)),
    }
}

/// Replaces control characters by escapes: they would break the table, or control the terminal.
pub fn printable(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    if text.contains(char::is_control) { text.chars().map(escaped).collect() } else { text.to_owned() }
}

impl<'s> Table<'s> {
    pub fn new(out: &'s mut Sink, columns: &[&str]) -> Table<'s> {
        let columns = columns.iter().map(|name| printable(name)).collect();
        Table { out, columns, kept: Some(Vec::new()), widths: Vec::new() }
    }

    /// Determines the widths from the rows that were kept, and writes the header and these rows.
    fn release(&mut self) -> io::Result<()> {
        let Some(kept) = self.kept.take() else { return Ok(()) };
        let mut header = Vec::new();
        for (at, name) in self.columns.iter().enumerate() {
            let cells = || kept.iter().map(|row| &row[at]);
            let widest = cells().map(|cell| cell.text.width()).fold(name.width(), usize::max);
            self.widths.push(widest.min(WIDEST));
            // The name of a column of numbers stands above them.
            let is_number = cells().any(|cell| cell.is_number) && cells().all(|cell| cell.is_number || cell.is_null);
            header.push(Cell { text: name.clone(), is_number, is_null: false });
        }
        let line = |width: &usize| Cell { text: "-".repeat(*width), is_number: false, is_null: false };
        let lines: Vec<Cell> = self.widths.iter().map(line).collect();
        for row in [header, lines].iter().chain(&kept) {
            self.write(row)?;
        }
        self.out.flush()
    }

    fn write(&mut self, row: &[Cell]) -> io::Result<()> {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&self.widths).enumerate() {
            let padding = " ".repeat(width.saturating_sub(cell.text.width()));
            if at > 0 {
                line += GAP;
            }
            if cell.is_number {
                line += &padding;
            }
            line += &cell.text;
            // No line ends with padding.
            if !cell.is_number && at + 1 < row.len() {
                line += &padding;
            }
        }
        line.push('\n');
        self.out.write_all(line.as_bytes())
    }
}

impl Rows for Table<'_> {
    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        let row: Vec<Cell> = values.iter().map(|value| Cell::new(*value)).collect();
        match &mut self.kept {
            Some(kept) => {
                kept.push(row);
                if kept.len() < MEASURED { Ok(()) } else { self.release() }
            }
            None => {
                self.write(&row)?;
                self.out.flush()
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.release()
    }

    fn end(&mut self) -> io::Result<()> {
        self.release()
    }
}
