//! `litestream_diff` returns the differences that a full comparison of two restores finds, and the SQL of
//! `litestream_undo` turns one of them into the other.

use crate::support::extension::connect;
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::programs::{program, run};
use crate::support::random_changes::RandomDatabase;
use crate::support::random_schema::RandomTable;
use crate::support::row_model::{Difference, differences, is_equal_number, rows_of};
use crate::support::workload;
use litestream_vfs::ltx::Txid;
use rusqlite::types::Value;
use rusqlite::{Connection, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// A random database, its replica, and restores of its states.
struct RandomHistory {
    seed: u64,
    random: RandomDatabase,
    replica: Connection,
    states: Vec<RestoredState>,
    _dir: TempDir,
}

/// A restored state.
struct RestoredState {
    txid: Txid,
    conn: Connection,
    path: PathBuf,
    /// The stored columns of each table. It also has those that were added later, but they are not here.
    columns: BTreeMap<String, Vec<String>>,
}

impl RandomHistory {
    /// Makes random changes.
    fn new(seed: u64, steps: usize) -> RandomHistory {
        let dir = tempfile::tempdir().expect("a directory");
        let destination = Destination::directory(&dir.path().join("replica"));
        let database = dir.path().join("app.db");
        let mut random = RandomDatabase::new(seed);
        let conn = workload::create(&database, &random.settings());
        random.create(&conn);
        let primary = Primary::start(&database, &destination, Schedule::BUSY);
        let mut txids = vec![primary.sync()];
        for _ in 0..steps {
            random.step(&conn);
            txids.push(primary.sync());
        }
        primary.stop();
        txids.dedup();
        let replica = connect(&destination.url, &[]);
        let states =
            txids.iter().map(|txid| restore(&destination, *txid, &random, dir.path().join(format!("{txid}.db"))));
        RandomHistory { seed, states: states.collect(), random, replica, _dir: dir }
    }

    /// Returns the stored columns that a table has in the newer one of two states, with those that were added. None if
    /// its definition changed otherwise.
    fn columns(&self, table: &str, pair: (usize, usize)) -> Option<&[String]> {
        let (older, newer) = (pair.0.min(pair.1), pair.0.max(pair.1));
        let [older, newer] = [older, newer].map(|at| &self.states[at].columns[table][..]);
        newer.starts_with(older).then_some(newer)
    }

    /// Returns the differences that the extension finds in a table.
    fn found(&self, table: &str, pair: (usize, usize)) -> Result<Vec<Difference>, String> {
        let mut statement = self.replica.prepare("SELECT * FROM litestream_diff(?, ?, ?)").expect("it compiles");
        let difference = |row: &Row<'_>| {
            let shown = |at| row.get(at).map(|value: Value| format!("{value:?}"));
            Ok([row.get(0)?, shown(1)?, row.get(2)?, shown(3)?, shown(4)?])
        };
        let arguments = [table, &self.txid(pair.0), &self.txid(pair.1)];
        let rows: Result<Vec<Difference>, _> =
            statement.query_map(arguments, difference).and_then(Iterator::collect).map_err(|error| error.to_string());
        rows.map(|mut rows| {
            rows.sort_unstable();
            rows
        })
    }

    fn txid(&self, at: usize) -> String {
        self.states[at].txid.to_string()
    }

    fn place(&self, table: &str, pair: (usize, usize)) -> String {
        format!(
            "seed {}, {table} from {} to {}: {}",
            self.seed,
            self.txid(pair.0),
            self.txid(pair.1),
            self.random.log()
        )
    }

    /// Compares the differences of a table with those of the restores, and returns their number.
    fn assert_diff(&self, table: &RandomTable, pair: (usize, usize)) -> usize {
        let found = self.found(&table.name, pair);
        let Some(columns) = self.columns(&table.name, pair) else {
            let error = found.expect_err("the definition changed");
            assert!(error.contains("changed between"), "{error}: {}", self.place(&table.name, pair));
            return 0;
        };
        let found = found.unwrap_or_else(|error| panic!("{error}: {}", self.place(&table.name, pair)));
        let rows = [pair.0, pair.1].map(|at| rows_of(&self.states[at].conn, table, columns));
        let expected = differences(&rows[0], &rows[1], columns);
        if let Some(at) = found.iter().zip(&expected).position(|(found, expected)| found != expected) {
            let place = self.place(&table.name, pair);
            panic!("{place}\nfound    {:.300?}\nexpected {:.300?}", found[at], expected[at]);
        }
        assert_eq!(found.len(), expected.len(), "{}", self.place(&table.name, pair));
        found.len()
    }

    /// Undoes the changes between two states on a copy of the later one, and compares it with the earlier one.
    fn assert_undone(&self, pair: (usize, usize)) {
        let (older, newer) = (&self.states[pair.0], &self.states[pair.1]);
        let path = newer.path.with_extension("undone");
        std::fs::copy(&newer.path, &path).expect("a copy");
        let undone = Connection::open(&path).expect("a database");
        for table in &self.random.tables {
            let Some(columns) = self.columns(&table.name, pair) else { continue };
            let place = || self.place(&table.name, pair);
            let mut statement = self.replica.prepare("SELECT sql FROM litestream_undo(?, ?, ?)").expect("it compiles");
            let sql = statement
                .query_map([&table.name, &self.txid(pair.0), &self.txid(pair.1)], |row| row.get(0))
                .and_then(Iterator::collect);
            let sql: Vec<String> = sql.unwrap_or_else(|error| panic!("{error}: {}", place()));
            undone.execute_batch(&sql.join("\n")).unwrap_or_else(|error| panic!("{error}: {}", place()));
            let count = "SELECT count(*) FROM temp.litestream_not_undone";
            let left: i64 = undone.query_row(count, [], |row| row.get(0)).expect("a count");
            let rows = [&undone, &older.conn].map(|conn| rows_of(conn, table, columns));
            let differing = rows[0].iter().find(|(key, row)| rows[1].get(*key) != Some(row));
            assert!(left == 0 && differing.is_none(), "{left} left, {differing:.300?}, {}", place());
            assert_eq!(rows[0].len(), rows[1].len(), "{}", place());
        }
    }

    /// Compares how many rows `sqldiff` inserts, updates and deletes. It compares values as SQL does, and rows of tables
    /// WITHOUT ROWID by their keys.
    fn assert_sqldiff(&self, table: &RandomTable, pair: (usize, usize)) -> usize {
        let Some(columns) = self.columns(&table.name, pair) else { return 0 };
        let is_same = columns.len() == self.states[pair.0].columns[&table.name].len();
        if !is_same || table.columns.iter().any(|column| column.is_generated || !column.collation.is_empty()) {
            return 0;
        }
        let mut command = Command::new(program("sqldiff"));
        command
            .args(["--summary", "--table", &table.name])
            .args([&self.states[pair.0].path, &self.states[pair.1].path]);
        let ended = run(&mut command, Duration::from_secs(60));
        let numbers: Vec<usize> = ended
            .stdout
            .rsplit(": ")
            .next()
            .into_iter()
            .flat_map(|counts| counts.split(' '))
            .filter_map(|word| word.parse().ok())
            .collect();
        let found =
            self.found(&table.name, pair).unwrap_or_else(|error| panic!("{error}: {}", self.place(&table.name, pair)));
        let rows = |op: &str| {
            let of_op = found
                .iter()
                .filter(|[this, _, _, old, new]| this == op && (op != "update" || !is_equal_number(old, new)));
            of_op.map(|[_, key, ..]| key).collect::<BTreeSet<_>>().len()
        };
        let counts = [rows("update"), rows("insert"), rows("delete")];
        assert_eq!(numbers.get(..3), Some(&counts[..]), "{ended:?}, {}", self.place(&table.name, pair));
        counts.iter().sum()
    }
}

/// Restores a state, and adds the columns that were added later, as SQLite does.
fn restore(destination: &Destination, txid: Txid, random: &RandomDatabase, path: PathBuf) -> RestoredState {
    assert!(destination.restore(txid, &path), "{txid}");
    let conn = Connection::open(&path).expect("a database");
    let stored = |table: &RandomTable| {
        let mut statement =
            conn.prepare("SELECT name FROM pragma_table_xinfo(?) WHERE hidden <> 2").expect("a statement");
        let names = statement.query_map([&table.name], |row| row.get(0)).and_then(Iterator::collect).expect("columns");
        (table.name.clone(), names)
    };
    let columns = random.tables.iter().map(stored).collect();
    // All of its content is in the file, which is copied.
    conn.pragma_update(None, "journal_mode", "DELETE").expect("a journal mode");
    for sql in &random.added {
        // It fails if the state has the column.
        let _ = conn.execute_batch(sql);
    }
    RestoredState { txid, conn, path, columns }
}

/// How many random histories are compared.
fn seeds(default: std::ops::Range<u64>) -> std::ops::Range<u64> {
    let given = std::env::var("LITESTREAM_VFS_SEEDS").ok();
    match given.map(|text| text.split_once('-').map(|(from, to)| (from.parse(), to.parse()))) {
        Some(Some((Ok(from), Ok(to)))) => from..to,
        Some(_) => panic!("LITESTREAM_VFS_SEEDS is a range such as 10-50"),
        None => default,
    }
}

#[test]
fn the_diff_and_the_undo_of_random_states_are_those_of_their_restores() {
    let mut count = 0;
    for seed in seeds(1..7) {
        let history = RandomHistory::new(seed, 10);
        let last = history.states.len() - 1;
        let mut pairs: Vec<(usize, usize)> = (0..last).map(|at| (at, at + 1)).collect();
        pairs.extend([(0, last), (last, 0), (last / 2, last), (last, last / 2), (1, last / 2)]);
        for pair in pairs {
            count += history.random.tables.iter().map(|table| history.assert_diff(table, pair)).sum::<usize>();
        }
        for pair in [(0, last), (last / 2, last), (last, 0), (last - 1, last)] {
            history.assert_undone(pair);
        }
    }
    assert!(count > 1000, "{count} differences");
}

#[test]
fn sqldiff_counts_the_rows_that_the_diff_has() {
    let mut count = 0;
    for seed in seeds(1..4) {
        let history = RandomHistory::new(seed, 4);
        let last = history.states.len() - 1;
        for pair in [(0, last), (last, 0), (last - 1, last)] {
            count += history.random.tables.iter().map(|table| history.assert_sqldiff(table, pair)).sum::<usize>();
        }
    }
    assert!(count > 100, "{count} rows");
}
