//! Damaged databases in which pages are their own descendants. Without a limit, reading them would never end.

use crate::config::Target;
use crate::error::{Error, ErrorKind};
use crate::ltx::Txid;
use crate::replica::testing::budgets::database::ModelDatabase;
use crate::replica::testing::budgets::far::Far;
use crate::replica::testing::key_and_value;
use crate::replica::{CacheLimits, Replica, RowDiff};
use std::sync::Arc;
use std::time::Duration;

/// Returns a database with many tables, of which `t` has an interior root page with some children.
fn database() -> ModelDatabase {
    let mut database = ModelDatabase::new(512, "CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)");
    (0..50).for_each(|table| database.run(&format!("CREATE TABLE another_table_with_a_long_name_{table} (a, b, c)")));
    database.run_for_each(1000, 20, "INSERT INTO t VALUES (?1, ?2)");
    database
}

/// Compares `t` in two states, of which the later one is damaged. Returns the error.
async fn diff(database: &mut ModelDatabase, damage: impl Fn(&ModelDatabase)) -> ErrorKind {
    let far = Arc::new(Far::default());
    database.snapshot(&far);
    damage(database);
    database.changes(&far);
    let replica = Replica::new(far, CacheLimits { memory: 64 << 20, disk: 0 }, Duration::from_secs(1));
    let replica = Arc::new(replica);
    replica.poll(Duration::ZERO).await.expect("a view");
    let newer = replica.head().expect("a view");
    let older = replica.view_of(Target::Txid(Txid(1))).await.expect("a view").expect("a past state");
    let rows = async {
        let mut diff = RowDiff::new(replica.diff.table("t", older, newer).await?, key_and_value());
        while !replica.diff.next_rows(&mut diff).await?.is_empty() {}
        Ok::<(), Error>(())
    };
    rows.await.expect_err("the database is damaged").kind()
}

#[tokio::test(start_paused = true)]
async fn a_table_whose_pages_form_a_cycle_is_damaged() {
    let mut database = database();
    let root = database.number("SELECT rootpage FROM sqlite_schema WHERE name = 't'");
    assert_eq!(diff(&mut database, |database| database.redirect(root, root)).await, ErrorKind::Damaged);
}

#[tokio::test(start_paused = true)]
async fn a_schema_whose_pages_form_a_cycle_is_damaged() {
    let mut database = database();
    let root = database.number("SELECT rootpage FROM sqlite_schema WHERE name = 't'");
    let damage = |database: &ModelDatabase| {
        database.redirect(root, root);
        database.redirect(1, root);
    };
    assert_eq!(diff(&mut database, damage).await, ErrorKind::Damaged);
}

/// Each row claims to be longer than the database, and all of them continue on one overflow page, which continues on itself.
/// The row of an overflow page that was overwritten is searched for in all of them.
#[tokio::test(start_paused = true)]
async fn rows_whose_overflow_pages_are_one_cycle_are_damaged() {
    // The lengths of these rows, 20,447 bytes, and of those that they claim, 2^21 - 1 bytes, have three bytes. With both, the
    // first 127 bytes of a row are in the leaf.
    const CLAIM: [u8; 3] = [0xff, 0xff, 0x7f];
    const LOCAL: usize = 3 + 1 + 127;
    let mut database = ModelDatabase::new(512, "CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)");
    database.run_for_each(20, 20_442, "INSERT INTO t VALUES (?1, ?2)");
    let (nodes, all) = (database.scan("t", false), database.scan_with_values("t"));
    let overflow: Vec<u32> = all.into_iter().filter(|pgno| !nodes.contains(pgno)).collect();
    assert_eq!(overflow.len(), 20 * 40);
    let (cycle, overwritten) = (overflow[0], overflow[overflow.len() - 1]);
    let paths = database.paths("t");
    assert!(paths.iter().all(|path| path.len() == 2), "the root is no leaf");
    paths.iter().for_each(|path| database.redirect_rows(path[1], &CLAIM, LOCAL, cycle));
    database.patch(cycle, |page| page[..4].copy_from_slice(&cycle.to_be_bytes()));
    assert_eq!(diff(&mut database, |database| database.overwrite(overwritten, 0xab)).await, ErrorKind::Damaged);
}
