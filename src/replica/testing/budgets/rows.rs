//! Comparing the rows of a table.

use crate::config::Target;
use crate::ltx::Txid;
use crate::replica::testing::budgets::*;
use crate::replica::testing::key_and_value;
use crate::replica::{Collation, HistoryStep, KeyColumn, RowDiff, RowHistory, StoredValue, TableLayout};

const ROWS: u32 = 1_000_000;

/// Returns a database of 70 MB: a table with a million rows, and a small one.
fn million() -> MutexGuard<'static, ModelDatabase> {
    static MILLION: LazyLock<Mutex<ModelDatabase>> = LazyLock::new(|| {
        let sql = "CREATE TABLE big (id INTEGER PRIMARY KEY, value BLOB);
                   CREATE TABLE small (id INTEGER PRIMARY KEY, value BLOB);";
        let mut database = ModelDatabase::new(4096, sql);
        database.run_for_each(ROWS, 50, "INSERT INTO big VALUES (?1, ?2)");
        database.run_for_each(1000, 50, "INSERT INTO small VALUES (?1, ?2)");
        Mutex::new(database)
    });
    MILLION.lock()
}

/// Replicates a database, then the changes that SQL makes. Compares a table in a new process, and returns the number of
/// rows that differ and the cost.
fn cost_of_diff(database: &mut ModelDatabase, sql: &str, table: &str, layout: TableLayout) -> (usize, Cost) {
    let far = Arc::new(Far::default());
    database.snapshot(&far);
    database.run(sql);
    database.changes(&far);
    cost_of_last(database, &far, table, layout)
}

/// Compares a table before and after the last transaction.
fn cost_of_last(database: &ModelDatabase, far: &Arc<Far>, table: &str, layout: TableLayout) -> (usize, Cost) {
    cost_at(database, far, table, layout, database.txid())
}

/// As [`cost_of_last`], for the states at a transaction and before it.
fn cost_at(database: &ModelDatabase, far: &Arc<Far>, table: &str, layout: TableLayout, txid: Txid) -> (usize, Cost) {
    let mut result = None;
    with_model_clock(async {
        let reader = ModelReader::open_with(far, CacheLimits { memory: LARGE, disk: 0 }, database).await;
        let replica = &reader.replica;
        let view = async |txid| replica.view_of(Target::Txid(txid)).await.expect("a view").expect("a past state");
        let newer = if txid == reader.view.txid() { reader.view.clone() } else { view(txid).await };
        let older = view(Txid(txid.0 - 1)).await;
        let (counts, started) = (replica.files.store.counts(), Instant::now());
        let pair = replica.diff.table(table, older, newer).await.expect("a table");
        let (mut diff, mut rows) = (RowDiff::new(pair, layout), 0);
        loop {
            let batch = replica.diff.next_rows(&mut diff).await.expect("rows");
            if batch.is_empty() {
                break;
            }
            rows += batch.len();
        }
        result = Some((rows, reader.cost_since(counts, started)));
    });
    result.expect("a result")
}

/// As [`cost_of_diff`], for a table of the million rows.
fn cost_of_million(sql: &str, table: &str) -> (usize, Cost) {
    cost_of_diff(&mut million(), sql, table, key_and_value())
}

#[test]
fn one_changed_row_of_a_million_takes_a_few_pages() {
    let (rows, cost) = cost_of_million("UPDATE big SET value = X'01' WHERE id = 500000", "big");
    assert_eq!(rows, 1);
    assert!(cost.requests <= 12 && cost.bytes <= MB && cost.time <= 12 * LATENCY, "{cost:?}");
}

/// Returns a replica with two snapshots of a table with so many rows.
fn two_snapshots(rows: u32) -> (Arc<Far>, ModelDatabase) {
    let far = Arc::new(Far::default());
    let mut database = ModelDatabase::new(4096, "CREATE TABLE big (id INTEGER PRIMARY KEY, value BLOB)");
    database.run_for_each(rows, 50, "INSERT INTO big VALUES (?1, ?2)");
    (0..2).for_each(|_| database.snapshot(&far));
    (far, database)
}

/// Both states are those of snapshots. The older one is within a file of level 1, which shows what was written.
#[test]
fn one_changed_row_takes_a_few_pages_if_no_file_begins_after_the_older_state() {
    let (far, mut database) = two_snapshots(100_000);
    database.run("UPDATE big SET value = X'01' WHERE id = 50000");
    let first = database.txid();
    database.changes_since(&far, first);
    database.snapshot_again(&far);
    let (rows, cost) = cost_of_last(&database, &far, "big", key_and_value());
    assert_eq!(rows, 1);
    // The table has 7 MB in each of the two snapshots.
    assert!(cost.requests <= 20 && cost.bytes <= 3 * MB && cost.time <= 20 * LATENCY, "{cost:?}");
}

/// A file that leads further lacks the pages that the database has lost since.
#[test]
fn changes_are_found_in_pages_that_the_database_has_lost_later() {
    let (far, mut database) = two_snapshots(10_000);
    database.run("UPDATE big SET value = X'01' WHERE id = 9999");
    database.snapshot(&far);
    database.run("DELETE FROM big WHERE id > 100; VACUUM");
    database.changes_since(&far, Txid(2));
    assert_eq!(cost_at(&database, &far, "big", key_and_value(), Txid(3)).0, 1);
}

#[test]
fn one_percent_of_the_rows_takes_little_more_than_their_pages() {
    let (rows, cost) =
        cost_of_million("UPDATE big SET value = X'01' || value WHERE id BETWEEN 500001 AND 510000", "big");
    assert_eq!(rows, 10_000);
    assert!(cost.requests <= 60 && cost.bytes <= 4 * MB && cost.time <= 40 * LATENCY, "{cost:?}");
    // Each leaf has 60 rows, so that half of all leaves are written.
    let (rows, cost) = cost_of_million("UPDATE big SET value = X'02' || value WHERE id % 100 = 7", "big");
    assert_eq!(rows, 10_000);
    assert!(cost.bytes <= 140 * MB && cost.time <= 4 * transfer(cost.bytes), "{cost:?}");
}

#[test]
fn a_table_that_did_not_change_is_not_read() {
    let (rows, cost) = cost_of_million("CREATE INDEX more ON small (value)", "big");
    assert_eq!(rows, 0);
    assert!(cost.requests <= 4 && cost.bytes <= MB / 4, "{cost:?}");
    let (rows, cost) = cost_of_million("UPDATE small SET value = X'03' || value", "big");
    assert_eq!(rows, 0);
    // One page tells how deep the b-tree is.
    assert!(cost.requests <= 8 && cost.bytes <= MB, "{cost:?}");
}

#[test]
fn one_changed_row_of_a_table_without_rowid_takes_a_few_pages() {
    let sql = "CREATE TABLE words (value BLOB, word TEXT COLLATE NOCASE, PRIMARY KEY (word DESC)) WITHOUT ROWID;
               CREATE TABLE other (word TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID";
    let mut database = ModelDatabase::new(4096, sql);
    database.run_for_each(200_000, 50, "INSERT INTO words (word, value) VALUES ('Word ' || (?1 * 7919 % 1000003), ?2)");
    database.run_for_each(1000, 50, "INSERT INTO other VALUES ('Word ' || ?1, ?2)");
    let mut layout = key_and_value();
    layout.columns[0].name = "word".to_owned();
    layout.columns[0].field = Some(0);
    layout.key = Some(vec![KeyColumn { column: 0, is_descending: true, collation: Collation::NoCase }]);
    let sql = "UPDATE words SET value = X'01' WHERE word = 'word 7919'; UPDATE other SET value = X'02'";
    let (rows, cost) = cost_of_diff(&mut database, sql, "words", layout);
    assert_eq!(rows, 1);
    assert!(cost.requests <= 20 && cost.bytes <= MB && cost.time <= 16 * LATENCY, "{cost:?}");
}

/// The page with the row was not written.
#[test]
fn a_value_that_was_overwritten_in_place_takes_the_pages_near_it() {
    let mut database = ModelDatabase::new(4096, "CREATE TABLE files (id INTEGER PRIMARY KEY, value BLOB)");
    database.run_for_each(2000, 20_000, "INSERT INTO files VALUES (?1, ?2)");
    let sql = "UPDATE files SET value = CAST(substr(value, 1, 12000) || X'AB' || substr(value, 12002) AS BLOB) WHERE id = 1000";
    let (rows, cost) = cost_of_diff(&mut database, sql, "files", key_and_value());
    assert_eq!(rows, 1);
    // The database has 41 MB. The pages between the leaves that are read come with them.
    assert!(cost.bytes <= 24 * MB && cost.time <= 12 * LATENCY, "{cost:?}");
}

/// The row is in one of 1,700 pages, and changed in five of 200 transactions.
#[test]
fn the_history_of_a_row_visits_only_the_states_in_which_its_page_was_written() {
    let far = Arc::new(Far::default());
    let mut database = ModelDatabase::new(4096, "CREATE TABLE big (id INTEGER PRIMARY KEY, value BLOB)");
    database.run_for_each(100_000, 50, "INSERT INTO big VALUES (?1, ?2)");
    database.snapshot(&far);
    let first = database.txid();
    for number in 1..=200 {
        let id = if number % 40 == 0 { 50_000 } else { 1 + number * 1213 % 40_000 };
        database.run(&format!("UPDATE big SET value = X'{:04}' || value WHERE id = {id}", number));
        database.sync(&far);
    }
    with_model_clock(async {
        let reader = ModelReader::open_with(&far, CacheLimits { memory: LARGE, disk: 0 }, &database).await;
        let (replica, newest) = (&reader.replica, reader.view.clone());
        let (counts, started) = (replica.files.store.counts(), Instant::now());
        let pair = replica.diff.table("big", newest.clone(), newest).await.expect("a table");
        let history = RowHistory::new(pair, key_and_value(), vec![StoredValue::Integer(50_000)]);
        let (mut history, mut found) = (history.expect("a row"), Vec::new());
        while let HistoryStep::Version(version) = replica.diff.older_version(&mut history).await.expect("a version") {
            found.push(version.txid.0 - first.0);
        }
        assert_eq!(found, [200, 160, 120, 80, 40, 0]);
        let cost = reader.cost_since(counts, started);
        // The view of each of the six states needs the indexes of up to 200 files. To visit every state would take 200
        // round trips.
        assert!(cost.requests <= 650 && cost.bytes <= 5 * MB && cost.time <= 45 * LATENCY, "{cost:?}");
    });
}
