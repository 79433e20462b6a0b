//! The cost of the schema cookie.

use crate::ltx::LtxError;
use crate::replica::View;
use crate::replica::testing::budgets::database::ModelDatabase;
use crate::replica::testing::budgets::far::{Far, LATENCY};
use crate::replica::testing::budgets::{LARGE, ModelReader, with_model_clock};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

impl ModelReader {
    /// Returns the schema cookie that page 1 shows, and the number of requests and the time that took.
    async fn cookie(&self) -> (u32, u64, Duration) {
        let (before, started) = (self.replica.files.store.counts().reads, Instant::now());
        let page_1 = self.replica.page(&self.view, 1, &self.prefetcher).await.expect("page 1").expect("page 1");
        let cookie = self.replica.schemas.read_cookie(&self.view, &page_1).await.expect("a cookie");
        (cookie, self.replica.files.store.counts().reads - before, started.elapsed())
    }

    /// Polls and moves to the newest view, which must be a newer one.
    async fn follow(&mut self) {
        tokio::time::advance(Duration::from_secs(1)).await;
        self.replica.poll(Duration::ZERO).await.expect("a poll");
        let head = self.replica.head().expect("a view");
        assert!(head.txid() > self.view.txid());
        self.view = head;
    }

    fn is_at_same_file(&self, before: &View, pgno: u32) -> bool {
        let number = |view: &View| view.locate(pgno).map(|extent| extent.file.number);
        number(before) == number(&self.view)
    }
}

/// Returns a database of `tables` small tables and one of 12 MB, so that it is not fetched at once as a small database.
fn database(tables: usize) -> ModelDatabase {
    let columns: String = (0..30).map(|n| format!(", a_rather_long_column_name_{n}")).collect();
    let sql: String =
        (0..tables).map(|table| format!("CREATE TABLE table_{table} (id INTEGER PRIMARY KEY {columns});")).collect();
    let mut database =
        ModelDatabase::new(4096, &format!("BEGIN; {sql} COMMIT; CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)"));
    database.run_for_each(6000, 2000, "INSERT INTO t VALUES (?1, ?2)");
    database
}

#[test]
fn a_schema_in_page_1_costs_nothing() {
    let (far, mut database) = (Arc::new(Far::default()), database(0));
    database.snapshot(&far);
    with_model_clock(async {
        let mut reader = ModelReader::open(&far, LARGE, &database).await;
        let (cookie, requests, time) = reader.cookie().await;
        assert_eq!((requests, time), (0, Duration::ZERO));
        database.run("INSERT INTO t (value) VALUES (zeroblob(20000))");
        database.sync(&far);
        reader.follow().await;
        assert_eq!(reader.cookie().await, (cookie, 0, Duration::ZERO));
    });
}

#[test]
fn a_large_schema_takes_one_round_trip_per_depth_and_is_then_cached() {
    let (far, mut database) = (Arc::new(Far::default()), database(800));
    database.snapshot(&far);
    with_model_clock(async {
        let reader = ModelReader::open(&far, LARGE, &database).await;
        let (_, requests, time) = reader.cookie().await;
        let pages = database.scan("sqlite_schema", false);
        assert!(pages.len() > 100, "{} pages", pages.len());
        assert!(time <= 3 * LATENCY, "{requests} requests in {time:?}");
        assert_eq!(reader.read_all(&database, pages).await.requests, 0);
    });
}

#[test]
fn a_large_schema_that_did_not_change_is_not_fetched_again() {
    let (far, mut database) = (Arc::new(Far::default()), database(800));
    database.snapshot(&far);
    with_model_clock(async {
        // Without a cache, so that each page would have to be fetched.
        let mut reader = ModelReader::open(&far, 0, &database).await;
        let (cookie, ..) = reader.cookie().await;
        let check_cookie = async |reader: &ModelReader| {
            let (shown, requests, _) = reader.cookie().await;
            assert_eq!(shown, cookie);
            // Reading page 1 may take one.
            assert!(requests <= 1, "{requests} requests");
        };
        // Page 1 changes, the schema does not.
        database.run("INSERT INTO t (value) VALUES (zeroblob(20000))");
        database.sync(&far);
        reader.follow().await;
        check_cookie(&reader).await;

        // The view uses other files, so that all pages are at new positions.
        let (before, schema) = (reader.view.clone(), database.scan("sqlite_schema", false));
        database.snapshot_again(&far);
        database.run("INSERT INTO t (value) VALUES (zeroblob(20000))");
        database.sync(&far);
        reader.replica.follower.set_outdated();
        reader.follow().await;
        assert!(schema.iter().all(|pgno| !reader.is_at_same_file(&before, *pgno)), "a page is still in the same file");
        check_cookie(&reader).await;
    });
}

#[test]
fn a_large_schema_of_which_wrong_bytes_were_read_is_fetched_again() {
    let (far, mut database) = (Arc::new(Far::default()), database(800));
    database.snapshot(&far);
    with_model_clock(async {
        let mut reader = ModelReader::open(&far, 0, &database).await;
        let (cookie, ..) = reader.cookie().await;
        let schema = database.scan("sqlite_schema", false);
        let file = reader.view.file_of(*schema.last().expect("a page")).expect("a file");
        file.integrity.spoil(LtxError::PageDiffers(1));
        assert_eq!(reader.view.schema_cookie(), None, "it may be that of wrong bytes");
        database.run("INSERT INTO t (value) VALUES (zeroblob(20000))");
        database.sync(&far);
        reader.replica.follower.set_outdated();
        reader.follow().await;
        assert!(!reader.view.is_spoiled());
        let (after, requests, _) = reader.cookie().await;
        assert!(requests > 1 && after == cookie, "{requests} requests, {after}, {cookie}");
    });
}

/// The schema changes back and forth under one cookie, as if one database file replaced another.
#[test]
fn another_schema_under_the_same_cookie_is_detected_and_the_first_one_keeps_its_cookie() {
    for tables in [0, 800] {
        let (far, mut database) = (Arc::new(Far::default()), database(tables));
        database.snapshot(&far);
        with_model_clock(async {
            let mut reader = ModelReader::open(&far, LARGE, &database).await;
            let mut shown = vec![reader.cookie().await.0];
            for name in ["u", "t", "u"] {
                let old = if name == "u" { "t" } else { "u" };
                // Replacing the name keeps the length of the definition, so that all cells stay at their positions.
                database.run(&format!(
                    "PRAGMA writable_schema = ON;
                     UPDATE sqlite_schema SET sql = replace(sql, 'TABLE {old} ', 'TABLE {name} '), name = '{name}', tbl_name = '{name}'
                     WHERE name = '{old}';
                     PRAGMA writable_schema = RESET;"
                ));
                database.sync(&far);
                reader.follow().await;
                shown.push(reader.cookie().await.0);
            }
            let [first, second, third, fourth] = shown[..] else { panic!("{shown:?}") };
            assert_ne!(first, second, "{tables} tables");
            assert_eq!((first, second), (third, fourth), "{tables} tables");
        });
    }
}

/// A damaged schema cannot be compared, so that statements must be compiled again for each view.
#[test]
fn a_damaged_schema_has_another_cookie_in_each_view() {
    for tables in [0, 800] {
        let (far, mut database) = (Arc::new(Far::default()), database(tables));
        let damaged = if tables == 0 { 1 } else { *database.scan("sqlite_schema", false).last().expect("a leaf") };
        database.snapshot(&far);
        with_model_clock(async {
            let mut reader = ModelReader::open(&far, LARGE, &database).await;
            let mut shown = vec![reader.cookie().await.0];
            for byte in [0xee, 0xff, 0xdd] {
                database.overwrite(damaged, byte);
                database.sync(&far);
                reader.follow().await;
                let (cookie, ..) = reader.cookie().await;
                assert!(!shown.contains(&cookie), "{tables} tables");
                assert_eq!(reader.cookie().await, (cookie, 0, Duration::ZERO), "a view keeps its cookie");
                shown.push(cookie);
            }
        });
    }
}
