//! A database, and its replica, which the real Litestream writes on request.

use super::LIMIT;
use super::programs::{Ended, program, run};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

pub struct Replica {
    pub dir: TempDir,
    pub url: String,
}

impl Replica {
    /// Creates the database with these statements, and its replica.
    pub fn new(sql: &str) -> Replica {
        let dir = tempfile::tempdir().expect("a directory");
        let url = format!("file://{}/replica", dir.path().display());
        let replica = Replica { dir, url };
        replica.commit(&format!("PRAGMA journal_mode = WAL; {sql}"));
        replica
    }

    /// A replica of a table `big` with 10,000 rows that cannot be compressed well, in one file of 6 MB.
    pub fn big() -> Replica {
        Replica::new(
            "CREATE TABLE big (id INTEGER PRIMARY KEY, text TEXT);
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
             INSERT INTO big SELECT i, hex(randomblob(300)) FROM n;",
        )
    }

    /// Runs statements on the database, and replicates it.
    pub fn commit(&self, sql: &str) {
        let database = self.path("app.db");
        Connection::open(&database).expect("a database").execute_batch(sql).expect("SQL");
        let mut litestream = Command::new(program("litestream"));
        succeed(litestream.args(["replicate", "-once"]).arg(&database).arg(&self.url));
    }

    /// Restores the database with these arguments.
    pub fn restore(&self, arguments: &[&str], name: &str) -> PathBuf {
        let path = self.path(name);
        let mut litestream = Command::new(program("litestream"));
        succeed(litestream.arg("restore").args(arguments).arg("-o").arg(&path).arg(&self.url));
        path
    }

    /// Returns a path in the directory of the database.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns a path as an argument.
    pub fn argument(&self, name: &str) -> String {
        self.path(name).to_str().expect("the paths of tests are text").to_owned()
    }
}

/// Returns everything in a database as SQL, and the properties of its file that a copy has. The lines are sorted, because a copy can have its
/// tables in another order.
pub fn dump(database: &Path) -> Vec<String> {
    let properties = ["page_size", "encoding", "auto_vacuum", "user_version", "application_id", "integrity_check"];
    let properties = properties.map(|name| format!("PRAGMA {name}"));
    let mut shell = Command::new(program("sqlite3"));
    let dump = succeed(shell.arg(database).args(properties).arg(".dump")).stdout;
    let mut lines: Vec<String> = dump.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

fn succeed(command: &mut Command) -> Ended {
    // Litestream's S3 client fails on a bundle that it cannot merge with its own settings.
    let ended = run(command.env_remove("AWS_CA_BUNDLE"), LIMIT);
    assert!(ended.status.success(), "{command:?}: {ended:?}");
    ended
}
