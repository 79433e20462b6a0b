//! A database with a constant sum: money moves between accounts, and a ledger has every transfer.

use super::litestream::{Destination, Primary, Schedule, Stopped};
use super::programs::wait_until;
use super::workload;
use litestream_vfs::ltx::{FileName, Txid};
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// The number of accounts.
const ACCOUNTS: i64 = 1000;

/// The sum of all balances.
pub const TOTAL: i64 = 1000 * ACCOUNTS;

/// Returns one row that depends on every page: the constant sums, values that must agree between tables, and values that
/// identify the state.
pub const STATE_SQL: &str = "SELECT (SELECT sum(balance) FROM accounts), (SELECT count(*) FROM accounts),
    (SELECT transfers FROM bank), (SELECT max(number) FROM ledger), (SELECT sum(id * balance) FROM accounts),
    (SELECT count(*) + sum(length(note)) FROM ledger)";

/// Creates the database with all accounts. Other connections may use it at the same time.
pub fn create(path: &Path) -> Connection {
    let conn = workload::create(path, "");
    conn.busy_timeout(Duration::from_secs(60)).expect("there is a timeout");
    workload::run(
        &conn,
        &format!(
            "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER, note BLOB);
             CREATE TABLE ledger (number INTEGER PRIMARY KEY, source INTEGER, target INTEGER, note BLOB);
             CREATE TABLE bank (transfers INTEGER);
             INSERT INTO bank VALUES (0);
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ACCOUNTS})
             INSERT INTO accounts SELECT i, 1000, randomblob(300) FROM n;"
        ),
    );
    transfer(&conn);
    conn
}

/// Commits one transfer. Sometimes this frees pages of the ledger, or grows or shrinks the database by much.
pub fn transfer(conn: &Connection) {
    workload::run(
        conn,
        "BEGIN IMMEDIATE;
         UPDATE bank SET transfers = transfers + 1;
         INSERT INTO ledger SELECT transfers, abs(random() % 1000) + 1, abs(random() % 1000) + 1,
             randomblob(CASE transfers % 50 WHEN 0 THEN 300000 ELSE 500 END) FROM bank;
         UPDATE accounts SET balance = balance - 7 WHERE id = (SELECT source FROM ledger ORDER BY number DESC LIMIT 1);
         UPDATE accounts SET balance = balance + 7 WHERE id = (SELECT target FROM ledger ORDER BY number DESC LIMIT 1);
         DELETE FROM ledger WHERE number <= (SELECT max(number) - 70 FROM ledger);
         COMMIT",
    );
    let number: i64 = conn.query_row("SELECT transfers FROM bank", [], |row| row.get(0)).expect("a number");
    if number % 90 == 0 {
        workload::run(conn, "VACUUM");
    }
}

/// Reads the whole state as text, which is equal for equal states only. Fails if it cannot be read or is inconsistent.
pub fn read_state(conn: &Connection) -> Result<String, String> {
    let read_state: [i64; 6] = conn
        .query_row(STATE_SQL, [], |row| {
            let mut read_state = [0; 6];
            read_state
                .iter_mut()
                .enumerate()
                .try_for_each(|(column, value)| row.get(column).map(|found| *value = found))?;
            Ok(read_state)
        })
        .map_err(|error| error.to_string())?;
    let [sum, accounts, transfers, last, ..] = read_state;
    match (sum, accounts) == (TOTAL, ACCOUNTS) && transfers == last {
        true => Ok(read_state.map(|value| value.to_string()).join("|")),
        false => Err(format!("an inconsistent state: {read_state:?}")),
    }
}

/// Returns the files of a replica in a directory, with the layout of a directory or of a bucket, sorted by level and name.
pub fn names(replica: &Path) -> Vec<(u8, FileName)> {
    let entries = |dir: PathBuf| dir.read_dir().into_iter().flatten().flatten();
    let mut names = Vec::new();
    for level in entries(replica.join("ltx")).chain(entries(replica.to_owned())) {
        let Some(number) = level.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let files = entries(level.path()).filter_map(|file| file.file_name().to_str().and_then(FileName::parse));
        names.extend(files.map(|name| (number, name)));
    }
    names.sort_unstable();
    names
}

/// Returns the newest transaction of a replica in a directory.
pub fn head(replica: &Path) -> Option<Txid> {
    names(replica).into_iter().map(|(_, name)| name.max).max()
}

/// The database with its primary.
pub struct Bank {
    pub dir: TempDir,
    pub conn: Connection,
    pub destination: Destination,
    pub primary: Option<Primary>,
    /// Every state that the database had, as [`read_state`] returns it.
    pub states: BTreeSet<String>,
}

impl Bank {
    /// One that has replicated a few transfers to a directory.
    pub fn start(schedule: Schedule) -> Bank {
        let dir = tempfile::tempdir().expect("a directory");
        let conn = create(&dir.path().join("app.db"));
        let destination = Destination::directory(&dir.path().join("replica"));
        let primary = Some(Primary::start(&dir.path().join("app.db"), &destination, schedule));
        let mut bank = Bank { dir, conn, destination, primary, states: BTreeSet::new() };
        bank.states.insert(bank.state());
        bank.transfer(5);
        bank
    }

    /// The directory of its replica.
    pub fn replica(&self) -> PathBuf {
        self.dir.path().join("replica")
    }

    /// Returns the newest transaction of its replica.
    pub fn head(&self) -> Txid {
        head(&self.replica()).unwrap_or_default()
    }

    /// Returns the current state of the primary's database.
    pub fn state(&self) -> String {
        read_state(&self.conn).expect("the primary's database is consistent")
    }

    /// Commits this many transfers, and replicates each if the primary is running.
    pub fn transfer(&mut self, times: usize) {
        for _ in 0..times {
            transfer(&self.conn);
            self.states.insert(self.state());
            if let Some(primary) = &self.primary {
                primary.sync();
            }
        }
    }

    /// Stops the primary.
    pub fn stop(&mut self) -> Stopped {
        self.primary.take().expect("the primary runs").stop()
    }

    /// Deletes all files of the replica while the primary runs. It writes no snapshot before it is told to.
    pub fn wipe(&self) {
        // Litestream writes one soon after it starts.
        wait_until("the last snapshot for a day is written", || {
            names(&self.replica()).iter().any(|(level, _)| *level == 9)
        });
        fs::remove_dir_all(self.replica().join("ltx")).expect("the replica is wiped");
    }
}
