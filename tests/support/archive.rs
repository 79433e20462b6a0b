//! A primary with data that does not change next to data that does, and readers that share a cache directory.

use super::bank;
use super::hosts::Host;
use super::litestream::{Destination, Primary, Schedule};
use super::session::Session;
use super::workload;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Reads every row of a table that does not change.
pub const ARCHIVE: &str = "SELECT count(*), sum(length(content)), max(hex(content)) FROM archive";

/// A primary with a bank and an archive of several megabytes.
pub struct ArchiveBank {
    pub dir: TempDir,
    pub conn: Connection,
    pub primary: Primary,
    pub destination: Destination,
}

impl ArchiveBank {
    pub fn start(destination: impl FnOnce(&Path) -> Destination, schedule: Schedule) -> ArchiveBank {
        let dir = tempfile::tempdir().expect("a directory");
        let destination = destination(dir.path());
        let database = dir.path().join("app.db");
        let conn = bank::create(&database);
        workload::run(
            &conn,
            "CREATE TABLE archive (id INTEGER PRIMARY KEY, content BLOB);
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
             INSERT INTO archive SELECT i, randomblob(1500) FROM n",
        );
        let primary = Primary::start(&database, &destination, schedule);
        primary.sync();
        ArchiveBank { dir, conn, primary, destination }
    }

    pub fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// Opens the replica in a new process, which does not poll.
    pub fn open(&self, parameters: &[(&str, &str)]) -> (Session, usize) {
        self.open_polling("1h", parameters)
    }

    /// Opens the replica in a new process, which polls at this interval.
    pub fn open_polling(&self, interval: &str, parameters: &[(&str, &str)]) -> (Session, usize) {
        let mut session = Host::session(&self.destination);
        let cache = self.cache();
        let own = [("cache_dir", cache.to_str().expect("the paths of tests are text")), ("poll_interval", interval)];
        let connection = session.open(&self.destination.url, &[&own[..], parameters].concat());
        (session, connection)
    }

    /// Returns what the primary's archive contains, as a session does.
    pub fn archive(&self) -> String {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let (count, length, content): (i64, i64, String) = self.conn.query_row(ARCHIVE, [], row).expect("a row");
        format!("{count}|{length}|{content}")
    }

    /// Reads the archive in a new process. Returns how many bytes it has fetched.
    pub fn fetched_bytes(&self) -> u64 {
        let (mut session, connection) = self.open(&[]);
        assert_eq!(session.query(connection, ARCHIVE), self.archive());
        let bytes = session.query(connection, "SELECT bytes FROM litestream_status");
        bytes.parse().expect("a number")
    }
}
