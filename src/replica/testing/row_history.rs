//! The versions of a row, while files are deleted, and of a table that was another one before.

use crate::config::Target;
use crate::ltx::{FileName, Level, Txid};
use crate::replica::testing::budgets::database::ModelDatabase;
use crate::replica::testing::budgets::far::Far;
use crate::replica::testing::key_and_value;
use crate::replica::{CacheLimits, HistoryStep, Replica, RowHistory, StoredValue, View};
use std::sync::Arc;
use std::time::Duration;

const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, value TEXT)";

/// A version: its transaction, its value and what was done.
type Found = (u64, Option<String>, Option<&'static str>);

fn found(txid: u64, value: &str, op: Option<&'static str>) -> Found {
    (txid, Some(value.to_owned()), op)
}

/// A replica, and the search for the versions of the row 1 of the table `t`.
struct HistorySearch {
    replica: Arc<Replica>,
    history: RowHistory,
}

impl HistorySearch {
    /// Begins with a state. None for the newest one.
    async fn begin(far: &Arc<Far>, txid: Option<u64>) -> HistorySearch {
        let replica = Replica::new(far.clone(), CacheLimits { memory: 64 << 20, disk: 0 }, Duration::from_secs(1));
        let replica = Arc::new(replica);
        replica.poll(Duration::ZERO).await.expect("a view");
        let view: Arc<View> = match txid {
            None => replica.head().expect("a view"),
            Some(txid) => replica.view_of(Target::Txid(Txid(txid))).await.expect("a view").expect("a past state"),
        };
        let pair = replica.diff.table("t", view.clone(), view).await.expect("a table");
        let history = RowHistory::new(pair, key_and_value(), vec![StoredValue::Integer(1)]).expect("a row");
        HistorySearch { replica, history }
    }

    /// Returns the next version. Each definition of the table is accepted.
    async fn next(&mut self) -> Option<Found> {
        loop {
            match self.replica.diff.older_version(&mut self.history).await.expect("a version") {
                HistoryStep::Definition { sql, .. } => self.history.accept(sql),
                HistoryStep::End => return None,
                HistoryStep::Version(version) => {
                    assert_eq!(version.time_ms, 1000 * version.txid.0 as i64);
                    let value = version.row.map(|row| match &row[..] {
                        [StoredValue::Integer(1), StoredValue::Text(value)] => {
                            String::from_utf8(value.to_vec()).expect("a text")
                        }
                        row => panic!("{row:?}"),
                    });
                    return Some((version.txid.0, value, version.op));
                }
            }
        }
    }

    async fn rest(&mut self) -> Vec<Found> {
        let mut rest = Vec::new();
        while let Some(found) = self.next().await {
            rest.push(found);
        }
        rest
    }
}

/// Writes a snapshot of a row with the value 0, and its values 1 to `count` at the transactions 2, 3, …. Those of the first
/// 30 are compacted as well.
fn updates(far: &Far, count: u32) {
    let mut database = ModelDatabase::new(512, &format!("{TABLE}; INSERT INTO t VALUES (1, '0')"));
    database.snapshot(far);
    for number in 1..=count {
        database.run(&format!("UPDATE t SET value = '{number}'"));
        database.sync(far);
        if number == 30 {
            database.compact(far, Txid(2));
        }
    }
}

fn delete_compacted(far: &Far) {
    (2..=31).for_each(|txid| far.remove(Level::ZERO, FileName::of(Txid(txid))));
}

#[tokio::test(start_paused = true)]
async fn states_that_are_deleted_while_they_are_visited_are_left_out() {
    let far = Arc::new(Far::default());
    updates(&far, 60);
    let mut search = HistorySearch::begin(&far, None).await;
    let update = |txid: u64| found(txid, &(txid - 1).to_string(), Some("update"));
    for txid in (52..=61).rev() {
        assert_eq!(search.next().await, Some(update(txid)));
    }
    delete_compacted(&far);
    let mut expected: Vec<Found> = (31..=51).rev().map(update).collect();
    expected.push(found(1, "0", None));
    assert_eq!(search.rest().await, expected);
    assert_eq!(search.next().await, None);
}

/// The state that a connection reads is one of the versions, although no file ends there any more.
#[tokio::test(start_paused = true)]
async fn the_search_begins_with_the_state_of_the_connection() {
    let far = Arc::new(Far::default());
    updates(&far, 60);
    let mut search = HistorySearch::begin(&far, Some(20)).await;
    delete_compacted(&far);
    assert_eq!(search.rest().await, [found(20, "19", Some("update")), found(1, "0", None)]);
}

/// Runs a statement, and writes what it changed at level 0.
fn sync(database: &mut ModelDatabase, far: &Far, sql: &str) {
    database.run(sql);
    database.sync(far);
}

const SWAP: &str = "ALTER TABLE t RENAME TO t_old; ALTER TABLE t2 RENAME TO t";

/// The page of the row was written before it became one of the table.
#[tokio::test(start_paused = true)]
async fn the_versions_before_a_table_was_exchanged_are_those_of_the_other_table() {
    let far = Arc::new(Far::default());
    let mut database = ModelDatabase::new(512, &format!("{TABLE}; INSERT INTO t VALUES (1, 'old')"));
    database.snapshot(&far);
    let other = TABLE.replace("TABLE t", "TABLE t2");
    sync(&mut database, &far, &format!("{other}; INSERT INTO t2 VALUES (1, 'new')"));
    sync(&mut database, &far, "UPDATE t SET value = 'old2'");
    sync(&mut database, &far, SWAP);
    let expected = [found(4, "new", Some("update")), found(3, "old2", Some("update")), found(1, "old", None)];
    assert_eq!(HistorySearch::begin(&far, None).await.rest().await, expected);
    // The schema stays the same after it.
    for number in 0..8 {
        sync(&mut database, &far, &format!("INSERT INTO t_old VALUES (100 + {number}, 'another')"));
    }
    assert_eq!(HistorySearch::begin(&far, None).await.rest().await, expected);
}

/// As above, if no state is before that in which the page of the row was written. The other table may lack the row.
#[tokio::test(start_paused = true)]
async fn the_oldest_state_is_one_of_another_table() {
    let other = TABLE.replace("TABLE t", "TABLE t2");
    for has_row in [true, false] {
        let far = Arc::new(Far::default());
        let insert = format!("INSERT INTO t2 VALUES ({}, 'new')", if has_row { 1 } else { 2 });
        let sql = format!("{TABLE}; INSERT INTO t VALUES (1, 'old'); {other}; {insert}");
        let mut database = ModelDatabase::new(512, &sql);
        database.snapshot(&far);
        sync(&mut database, &far, "UPDATE t SET value = 'old2'");
        sync(&mut database, &far, SWAP);
        let newest = if has_row { found(3, "new", Some("update")) } else { (3, None, Some("delete")) };
        let expected = [newest, found(2, "old2", Some("update")), found(1, "old", None)];
        assert_eq!(HistorySearch::begin(&far, None).await.rest().await, expected);
    }
}
