//! Comparing the rows of a table.

use crate::config::Target;
use crate::ltx::Txid;
use crate::replica::testing::budgets::*;
use crate::replica::{RowDiff, StoredValue, TableColumn, TableLayout};

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

/// How the rows of both tables are read.
fn layout() -> TableLayout {
    let column = |name: &str, field| TableColumn {
        name: name.to_owned(),
        field,
        is_real: false,
        is_generated: false,
        default: StoredValue::Null,
    };
    TableLayout { columns: vec![column("id", None), column("value", Some(1))], key: None, fields: 2 }
}

/// Replicates the database, then the changes that SQL makes. Compares a table in a new process, and returns the number
/// of rows that differ and the cost.
fn cost_of_diff(sql: &str, table: &str) -> (usize, Cost) {
    let far = Arc::new(Far::default());
    let mut database = million();
    database.snapshot(&far);
    database.run(sql);
    database.changes(&far);
    let mut result = None;
    with_model_clock(async {
        let reader = ModelReader::open_with(&far, CacheLimits { memory: LARGE, disk: 0 }, &database).await;
        let (replica, newer) = (&reader.replica, reader.view.clone());
        let before = Txid(newer.txid().0 - 1);
        let older = replica.view_of(Target::Txid(before)).await.expect("a view").expect("a past state");
        let (counts, started) = (replica.files.store.counts(), Instant::now());
        let pair = replica.diff.table(table, older, newer).await.expect("a table");
        let (mut diff, mut rows) = (RowDiff::new(pair, layout()), 0);
        loop {
            let batch = replica.diff.next_rows(&mut diff).await.expect("rows");
            if batch.is_empty() {
                break;
            }
            rows += batch.len();
        }
        let (time, after) = (started.elapsed(), replica.files.store.counts());
        let cost = Cost { requests: after.reads - counts.reads, bytes: after.bytes - counts.bytes, time };
        result = Some((rows, cost));
    });
    result.expect("a result")
}

#[test]
fn one_changed_row_of_a_million_takes_a_few_pages() {
    let (rows, cost) = cost_of_diff("UPDATE big SET value = X'01' WHERE id = 500000", "big");
    assert_eq!(rows, 1);
    assert!(cost.requests <= 12 && cost.bytes <= MB && cost.time <= 12 * LATENCY, "{cost:?}");
}

#[test]
fn one_percent_of_the_rows_takes_little_more_than_their_pages() {
    let (rows, cost) = cost_of_diff("UPDATE big SET value = X'01' || value WHERE id BETWEEN 500001 AND 510000", "big");
    assert_eq!(rows, 10_000);
    assert!(cost.requests <= 60 && cost.bytes <= 4 * MB && cost.time <= 40 * LATENCY, "{cost:?}");
    // Each leaf has 60 rows, so that half of all leaves are written.
    let (rows, cost) = cost_of_diff("UPDATE big SET value = X'02' || value WHERE id % 100 = 7", "big");
    assert_eq!(rows, 10_000);
    assert!(cost.bytes <= 140 * MB && cost.time <= 4 * transfer(cost.bytes), "{cost:?}");
}

#[test]
fn a_table_that_did_not_change_is_not_read() {
    let (rows, cost) = cost_of_diff("CREATE INDEX more ON small (value)", "big");
    assert_eq!(rows, 0);
    assert!(cost.requests <= 4 && cost.bytes <= MB / 4, "{cost:?}");
    let (rows, cost) = cost_of_diff("UPDATE small SET value = X'03' || value", "big");
    assert_eq!(rows, 0);
    // One page tells how deep the b-tree is.
    assert!(cost.requests <= 8 && cost.bytes <= MB, "{cost:?}");
}
