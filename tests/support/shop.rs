//! A primary that replicates each step of a story, and the rows of statements as text.

use super::litestream::{Destination, Primary, Schedule};
use super::workload;
use litestream_vfs::ltx::Txid;
use rusqlite::types::Value;
use rusqlite::{Connection, Params};
use std::path::PathBuf;
use tempfile::TempDir;

/// A shop whose primary replicates each step.
pub struct Shop {
    dir: TempDir,
    pub conn: Connection,
    pub primary: Primary,
    pub destination: Destination,
}

impl Shop {
    pub fn start(schedule: Schedule, sql: &str) -> Shop {
        let dir = tempfile::tempdir().expect("a directory");
        let destination = Destination::directory(&dir.path().join("replica"));
        let database = dir.path().join("app.db");
        let conn = workload::create(&database, "");
        workload::run(&conn, sql);
        let primary = Primary::start(&database, &destination, schedule);
        Shop { dir, conn, primary, destination }
    }

    /// Commits and replicates.
    pub fn step(&self, sql: &str) -> Txid {
        workload::run(&self.conn, sql);
        self.primary.sync()
    }

    /// Returns the path of a file next to the database.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Returns each row as text, its values separated by `|`.
pub fn rows(conn: &Connection, sql: &str, parameters: impl Params) -> Vec<String> {
    try_rows(conn, sql, parameters).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// As [`rows`]. Fails if the statement does.
pub fn try_rows(conn: &Connection, sql: &str, parameters: impl Params) -> rusqlite::Result<Vec<String>> {
    let mut statement = conn.prepare(sql)?;
    let columns = statement.column_count();
    let text = |value: Value| match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => format!("{number:?}"),
        Value::Text(text) => text,
        Value::Blob(blob) => format!("{blob:?}"),
    };
    let line = |row: &rusqlite::Row<'_>| {
        let values: Vec<String> = (0..columns).map(|at| row.get(at).map(text)).collect::<Result<_, _>>()?;
        Ok(values.join("|"))
    };
    statement.query_map(parameters, line)?.collect()
}
