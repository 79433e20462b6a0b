//! Rows as comma-separated values, with a header (RFC 4180, with lines that end in LF).

use super::Rows;
use super::sink::Sink;
use super::value::bytes;
use rusqlite::types::ValueRef;
use std::io;

pub struct Csv<'s>(csv::Writer<&'s mut Sink>);

impl<'s> Csv<'s> {
    /// Writes the header.
    pub fn start(out: &'s mut Sink, columns: &[&str]) -> io::Result<Csv<'s>> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(columns).map_err(cause)?;
        Ok(Csv(writer))
    }
}

impl Rows for Csv<'_> {
    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        self.0.write_record(values.iter().map(|value| bytes(*value))).map_err(cause)?;
        self.0.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        // Nothing is kept: the first row was written when it was added.
        self.0.flush()
    }

    fn end(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Returns the error of the output, which has its own kind.
fn cause(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}
