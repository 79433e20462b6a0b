//! `litestream_diff` returns the differences that a full comparison of two restores finds, and the SQL of
//! `litestream_undo` turns one of them into the other.

use crate::support::extension::connect;
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::random_changes::RandomDatabase;
use crate::support::workload;
use litestream_vfs::ltx::Txid;
use rusqlite::types::Value;
use rusqlite::{Connection, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A difference: operation, key, column, old and new value, each with its type.
type Difference = [String; 5];

/// Returns the differences that the extension finds.
fn found(replica: &Connection, table: &str, since: Txid, until: Txid) -> Vec<Difference> {
    let sql = "SELECT * FROM litestream_diff(?, ?, ?)";
    let mut statement = replica.prepare(sql).expect("it compiles");
    let difference = |row: &Row<'_>| {
        let shown = |at| row.get(at).map(|value: Value| format!("{value:?}"));
        // The case of this table's key does not matter.
        let key = if table == "words" { shown(1)?.to_lowercase().replace("text", "Text") } else { shown(1)? };
        Ok([row.get(0)?, key, row.get(2)?, shown(3)?, shown(4)?])
    };
    let arguments = [table, &since.to_string(), &until.to_string()];
    let rows = statement.query_map(arguments, difference).and_then(Iterator::collect);
    let mut rows: Vec<Difference> = rows.unwrap_or_else(|error| panic!("{table}, {since}, {until}: {error}"));
    rows.sort_unstable();
    rows
}

/// The rows of a table by their keys.
type Rows = BTreeMap<String, Vec<Value>>;

fn rows_of(conn: &Connection, table: &str, key: &str, columns: &[String]) -> Rows {
    let list: Vec<String> = columns.iter().map(|name| format!("\"{name}\"")).collect();
    let sql = format!("SELECT {key}, {} FROM {table}", list.join(", "));
    let mut statement = conn.prepare(&sql).expect("it compiles");
    let row = |row: &Row<'_>| {
        let key: Value = row.get(0)?;
        let values = (1..=columns.len()).map(|at| row.get(at)).collect::<Result<_, _>>()?;
        Ok((format!("{key:?}"), values))
    };
    statement.query_map([], row).and_then(Iterator::collect).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Returns the differences between the rows of two databases.
fn expected(older: &Rows, newer: &Rows, columns: &[String]) -> Vec<Difference> {
    let mut differences = Vec::new();
    let keys: BTreeSet<&String> = older.keys().chain(newer.keys()).collect();
    for key in keys {
        let (old, new) = (older.get(key), newer.get(key));
        let op = match (old, new) {
            (None, _) => "insert",
            (_, None) => "delete",
            _ => "update",
        };
        for (at, column) in columns.iter().enumerate() {
            let value = |row: Option<&Vec<Value>>| format!("{:?}", row.map_or(&Value::Null, |row| &row[at]));
            if op != "update" || value(old) != value(new) {
                differences.push([op.to_owned(), key.clone(), column.clone(), value(old), value(new)]);
            }
        }
    }
    differences.sort_unstable();
    differences
}

/// A restored state.
struct RestoredState {
    txid: Txid,
    conn: Connection,
    path: PathBuf,
    /// The columns of each table. It also has those that were added later, but they are not here.
    columns: BTreeMap<String, Vec<String>>,
}

/// Restores a state, and adds the columns that were added later, as SQLite does.
fn restore(destination: &Destination, txid: Txid, random: &RandomDatabase, dir: &Path) -> RestoredState {
    let path = dir.join(format!("{txid}.db"));
    assert!(destination.restore(txid, &path), "{txid}");
    let conn = Connection::open(&path).expect("a database");
    let tables = random.tables().iter().map(|(table, _)| ((*table).to_owned(), random.columns(&conn, table)));
    let columns = tables.collect();
    // All of its content is in the file, which is copied.
    conn.pragma_update(None, "journal_mode", "DELETE").expect("a journal mode");
    for (_, sql) in &random.added {
        // It fails if the state has the column.
        let _ = conn.execute_batch(sql);
    }
    RestoredState { txid, conn, path, columns }
}

/// Returns the stored columns that a table has in one of two states.
fn columns_of<'s>(states: [&'s RestoredState; 2], table: &str) -> &'s [String] {
    let [one, other] = states.map(|state| &state.columns[table]);
    if one.len() < other.len() { other } else { one }
}

/// Undoes the changes between two states on a copy of the later one, and compares it with the earlier one.
fn assert_undone(replica: &Connection, random: &RandomDatabase, states: [&RestoredState; 2]) {
    let [older, newer] = states;
    let (since, until) = (older.txid, newer.txid);
    let path = newer.path.with_extension("undone");
    std::fs::copy(&newer.path, &path).expect("a copy");
    let undone = Connection::open(&path).expect("a database");
    // The table of a virtual table is written by that table only.
    for (table, key) in random.tables().iter().filter(|(table, _)| *table != "notes_content") {
        let script = undo_script(replica, table, &since.to_string(), &until.to_string());
        undone.execute_batch(&script).unwrap_or_else(|error| panic!("{error}: {table}, {}", random.log()));
        let left: i64 =
            undone.query_row("SELECT count(*) FROM temp.litestream_not_undone", [], |row| row.get(0)).expect("a count");
        let columns = columns_of(states, table);
        let rows = [&undone, &older.conn].map(|conn| rows_of(conn, table, key, columns));
        let differing = rows[0].iter().find(|(key, row)| rows[1].get(*key) != Some(row));
        let place = || format!("{table} from {since} to {until}: {}", random.log());
        assert!(left == 0 && differing.is_none(), "{left} left, {differing:.300?}, {}", place());
        assert_eq!(rows[0].len(), rows[1].len(), "{}", place());
    }
}

fn undo_script(replica: &Connection, table: &str, since: &str, until: &str) -> String {
    let mut statement = replica.prepare("SELECT sql FROM litestream_undo(?, ?, ?)").expect("it compiles");
    let rows = statement.query_map([table, since, until], |row| row.get(0)).and_then(Iterator::collect);
    rows.map(|rows: Vec<String>| rows.join("\n")).unwrap_or_else(|error| panic!("{table}: {error}"))
}

/// Makes random changes, and compares random pairs of states.
fn assert_diffs(seed: u64) {
    let dir = tempfile::tempdir().expect("a directory");
    let destination = Destination::directory(&dir.path().join("replica"));
    let database = dir.path().join("app.db");
    let mut random = RandomDatabase::new(seed);
    let conn = workload::create(&database, &random.settings());
    workload::run(&conn, random.schema());
    let primary = Primary::start(&database, &destination, Schedule::BUSY);
    let mut txids = vec![primary.sync()];
    for _ in 0..14 {
        let step = random.step();
        workload::run(&conn, &step);
        txids.push(primary.sync());
    }
    primary.stop();
    txids.dedup();

    let replica = connect(&destination.url, &[]);
    let states: Vec<RestoredState> =
        txids.iter().map(|txid| restore(&destination, *txid, &random, dir.path())).collect();
    let last = txids.len() - 1;
    let mut pairs: Vec<(usize, usize)> = (0..last).map(|at| (at, at + 1)).collect();
    pairs.extend([(0, last), (last, 0), (last / 2, last), (last, last / 2), (1, last / 2)]);
    for (one, other) in [(0, last), (last / 2, last), (last, 0), (last - 1, last)] {
        assert_undone(&replica, &random, [one, other].map(|at| &states[at]));
    }
    let mut count = 0;
    for (one, other) in pairs {
        for (table, key) in random.tables() {
            let columns = columns_of([&states[one], &states[other]], table);
            let rows = [one, other].map(|at| rows_of(&states[at].conn, table, key, columns));
            let expected = expected(&rows[0], &rows[1], columns);
            let found = found(&replica, table, txids[one], txids[other]);
            let place = format!("seed {seed}, {table} from {} to {}: {}", txids[one], txids[other], random.log());
            let position = found.iter().zip(&expected).position(|(found, expected)| found != expected);
            if let Some(at) = position {
                panic!("{place}\nfound    {:.300?}\nexpected {:.300?}", found[at], expected[at]);
            }
            assert_eq!(found.len(), expected.len(), "{place}");
            count += found.len();
        }
    }
    assert!(count > 1000, "{count} differences");
}

/// How many random histories are compared.
fn seeds() -> std::ops::Range<u64> {
    let given = std::env::var("LITESTREAM_VFS_SEEDS").ok();
    match given.map(|text| text.split_once('-').map(|(from, to)| (from.parse(), to.parse()))) {
        Some(Some((Ok(from), Ok(to)))) => from..to,
        Some(_) => panic!("LITESTREAM_VFS_SEEDS is a range such as 10-50"),
        None => 0..4,
    }
}

#[test]
fn the_diff_of_random_states_is_that_of_their_restores() {
    seeds().for_each(assert_diffs);
}
