//! Rows as JSON: an object for each row, with its columns in order.

use super::Rows;
use super::sink::Sink;
use super::value::{hex, real};
use rusqlite::types::ValueRef;
use serde_json::to_string;
use std::io::{self, Write};

/// What is written around the objects.
#[derive(Clone, Copy)]
pub struct Frame {
    start: &'static str,
    between: &'static str,
    /// After each object.
    after: &'static str,
    end: &'static str,
    /// What is written if there is no row.
    empty: &'static str,
}

/// One array.
pub const ARRAY: Frame = Frame { start: "[", between: ",\n", after: "", end: "]\n", empty: "[]\n" };
/// One object a line.
pub const LINES: Frame = Frame { start: "", between: "", after: "\n", end: "", empty: "" };

pub struct Json<'s> {
    out: &'s mut Sink,
    /// The columns as JSON.
    names: Vec<String>,
    frame: Frame,
    has_rows: bool,
}

impl<'s> Json<'s> {
    pub fn new(out: &'s mut Sink, columns: &[&str], frame: Frame) -> Json<'s> {
        let names = columns.iter().map(|name| text(name)).collect();
        Json { out, names, frame, has_rows: false }
    }
}

impl Rows for Json<'_> {
    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        let before = if self.has_rows { self.frame.between } else { self.frame.start };
        self.has_rows = true;
        let members = self.names.iter().zip(values).map(|(name, value)| format!("{name}:{}", json(*value)));
        write!(self.out, "{before}{{{}}}{}", members.collect::<Vec<_>>().join(","), self.frame.after)?;
        self.out.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.finish()
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.write_all(if self.has_rows { self.frame.end } else { self.frame.empty }.as_bytes())
    }
}

/// Returns a value as JSON. A blob is a text of hexadecimal digits. An infinite number is one that is too large for most readers.
fn json(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "null".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => real(number),
        ValueRef::Text(bytes) => text(&String::from_utf8_lossy(bytes)),
        ValueRef::Blob(bytes) => text(&hex(bytes)),
    }
}

fn text(text: &str) -> String {
    to_string(text).expect("a text is JSON")
}
