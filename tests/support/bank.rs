//! A database in which sums stay: money goes from account to account, and every transfer is written down.

use super::workload;
use litestream_vfs::ltx::{FileName, Txid};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Accounts there are.
const ACCOUNTS: i64 = 1000;

/// One row that shows every page's state: what never changes, what must agree across tables, and a mark of this state.
pub const LOOK: &str = "SELECT (SELECT sum(balance) FROM accounts), (SELECT count(*) FROM accounts),
    (SELECT transfers FROM bank), (SELECT max(number) FROM ledger), (SELECT sum(id * balance) FROM accounts),
    (SELECT count(*) + sum(length(note)) FROM ledger)";

/// Opens a bank, with money for all. Others may use the database at the same time.
pub fn found(path: &Path) -> Connection {
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

/// One commit. Now and then old pages of the ledger go, and the database grows by much or shrinks.
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

/// What [`LOOK`] answers: equal looks are looks at the same state.
pub type Look = [i64; 6];

/// Looks, and says what is wrong with what it sees.
pub fn look(conn: &Connection) -> Result<Look, String> {
    let look: Look = conn
        .query_row(LOOK, [], |row| {
            let mut look = [0; 6];
            look.iter_mut().enumerate().try_for_each(|(column, value)| row.get(column).map(|found| *value = found))?;
            Ok(look)
        })
        .map_err(|error| error.to_string())?;
    let [sum, accounts, transfers, last, ..] = look;
    match (sum, accounts) == (ACCOUNTS * 1000, ACCOUNTS) && transfers == last {
        true => Ok(look),
        false => Err(format!("a torn state: {look:?}")),
    }
}

/// The files of a replica in a directory, as names tell: sorted by level and name.
pub fn names(replica: &Path) -> Vec<(u8, FileName)> {
    let entries = |dir: PathBuf| dir.read_dir().into_iter().flatten().flatten();
    let mut names = Vec::new();
    for level in entries(replica.join("ltx")) {
        let Some(number) = level.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let files = entries(level.path()).filter_map(|file| file.file_name().to_str().and_then(FileName::parse));
        names.extend(files.map(|name| (number, name)));
    }
    names.sort_unstable();
    names
}

/// The newest transaction in a replica in a directory.
pub fn head(replica: &Path) -> Option<Txid> {
    names(replica).into_iter().map(|(_, name)| name.max).max()
}
