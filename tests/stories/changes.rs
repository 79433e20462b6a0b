//! `litestream_changes` reports the pages that differ between two restores. The expected table or index of each page comes
//! from SQLite's dbstat.

use crate::support::extension::{connect, uri};
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::workload;
use litestream_vfs::ltx::Txid;
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Names of tables and indexes with their numbers of pages. Free pages have no name.
type Changes = BTreeMap<Option<String>, i64>;

/// A restored database: its pages and their owners.
struct Restored {
    pages: Vec<Vec<u8>>,
    owners: BTreeMap<u32, String>,
}

impl Restored {
    fn new(path: &Path) -> Restored {
        let conn = Connection::open(path).expect("a database");
        let page_size: u32 = conn.query_row("PRAGMA page_size", [], |row| row.get(0)).expect("a size");
        let mut stat = conn.prepare("SELECT pageno, name FROM dbstat").expect("SQLite has dbstat");
        let owners = stat.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).and_then(Iterator::collect);
        let pages = fs::read(path).expect("a database").chunks(page_size as usize).map(<[u8]>::to_vec).collect();
        Restored { pages, owners: owners.expect("pages have owners") }
    }

    /// Counts each changed page for its owner in both databases.
    fn changes(&self, other: &Restored) -> Changes {
        let mut changes = Changes::new();
        for at in 0..self.pages.len().max(other.pages.len()) {
            if self.pages.get(at) == other.pages.get(at) {
                continue;
            }
            let owner = |restored: &Restored| restored.owners.get(&(at as u32 + 1)).cloned();
            let owners: BTreeSet<String> = owner(self).into_iter().chain(owner(other)).collect();
            if owners.is_empty() {
                *changes.entry(None).or_default() += 1;
            }
            owners.into_iter().for_each(|owner| *changes.entry(Some(owner)).or_default() += 1);
        }
        changes
    }
}

fn changes(conn: &Connection, arguments: &str) -> Changes {
    let sql = format!("SELECT name, sum(pages) FROM litestream_changes({arguments}) GROUP BY name");
    let mut statement = conn.prepare(&sql).expect("it compiles");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).and_then(Iterator::collect);
    rows.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn assert_changes(before: &str, schedule: Schedule, pairs: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let destination = Destination::directory(&dir.path().join("replica"));
    let database = dir.path().join("app.db");
    let conn = workload::create(&database, before);
    let primary = Primary::start(&database, &destination, schedule);
    for step in workload::STEPS {
        workload::run(&conn, step);
        primary.sync();
        std::thread::sleep(Duration::from_millis(200));
    }
    primary.wait_for_levels(&[0, 1, 9]);
    primary.stop();

    let replica = connect(&destination.url, &[]);
    let mut history = replica.prepare("SELECT txid FROM litestream_history").expect("it compiles");
    let texts: Vec<String> = history.query_map([], |row| row.get(0)).and_then(Iterator::collect).expect("moments");
    let txids: Vec<Txid> = texts.iter().map(|text| text.parse().expect("a TXID")).collect();
    let restored: Vec<Restored> = txids
        .iter()
        .map(|txid| {
            let path = dir.path().join(format!("{txid}.db"));
            assert!(destination.restore(*txid, &path), "{txid}");
            Restored::new(&path)
        })
        .collect();
    let (mut compared, mut named) = (0, BTreeSet::new());
    // Adjacent states, the first and the last, and others.
    let far = (0..txids.len()).map(|at| (at, (at * 7 + 3) % txids.len()));
    for (one, other) in (1..txids.len()).map(|at| (at, at - 1)).chain([(txids.len() - 1, 0)]).chain(far).take(pairs) {
        let expected = restored[one].changes(&restored[other]);
        let found = changes(&replica, &format!("'{}', '{}'", txids[one], txids[other]));
        assert_eq!(found, expected, "from {} to {}", txids[one], txids[other]);
        named.extend(found.into_keys());
        compared += 1;
    }
    assert!(compared > 20, "{compared} pairs");
    for name in ["people", "people_by_age", "files", "notes_data", "words", "sqlite_schema"] {
        assert!(named.contains(&Some(name.to_owned())), "{name} never changed: {named:?}");
    }
    assert!(named.contains(&None), "no changed page was free in both states");
}

#[test]
fn changes_of_a_plain_database_match_the_restores() {
    assert_changes("PRAGMA auto_vacuum = NONE; PRAGMA page_size = 1024", Schedule::BUSY, 60);
}

#[test]
fn changes_with_pointer_maps_match_the_restores_after_level_0_is_deleted() {
    let before = "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA page_size = 512; PRAGMA encoding = 'UTF-16le'";
    let schedule = Schedule { l0_retention: Duration::from_secs(5), ..Schedule::BUSY };
    assert_changes(before, schedule, 60);
}

/// The main use of the table, and every form of its arguments.
#[test]
fn changes_since_a_deploy_with_every_form_of_arguments() {
    let dir = tempfile::tempdir().expect("a directory");
    let destination = Destination::directory(&dir.path().join("replica"));
    let database = dir.path().join("app.db");
    let conn = workload::create(&database, "");
    workload::run(
        &conn,
        "CREATE TABLE a (x); CREATE TABLE \"b's\" (x); CREATE VIEW v AS SELECT 1; CREATE INDEX i ON a (x)",
    );
    let primary = Primary::start(&database, &destination, Schedule::QUIET);
    workload::run(&conn, "INSERT INTO a VALUES (1)");
    let deploy = primary.sync();
    std::thread::sleep(Duration::from_millis(20));
    let time = litestream_vfs::time::format(litestream_vfs::time::now_ms());
    std::thread::sleep(Duration::from_millis(20));
    workload::run(&conn, "INSERT INTO \"b's\" VALUES (zeroblob(100000))");
    let after = primary.sync();
    primary.stop();

    let replica = connect(&destination.url, &[]);
    let expected = changes(&replica, &format!("'{deploy}'"));
    assert!(expected[&Some("b's".to_owned())] >= 25, "{expected:?}");
    assert!(!expected.contains_key(&Some("a".to_owned())), "{expected:?}");
    let end = after;
    for arguments in [
        format!("'{deploy}', '{end}'"),
        format!("{}, {}", deploy.0, end.0),
        format!("{}, NULL, 'main'", deploy.0),
        format!("'{time}'"),
        format!("'{time}', 'LATEST'"),
        format!("'{end}', '{deploy}'"),
    ] {
        assert_eq!(changes(&replica, &arguments), expected, "{arguments}");
    }
    assert_eq!(changes(&replica, &format!("'{deploy}', '{deploy}'")), Changes::new());
    assert_eq!(changes(&replica, "'LATEST'"), Changes::new());

    // The default end is the state of the given schema.
    replica.execute("ATTACH ? AS past", [uri(&destination.url, &[("txid", &deploy.to_string())])]).expect("attached");
    assert_eq!(changes(&replica, &format!("'{deploy}', NULL, 'past'")), Changes::new());
    assert_eq!(changes(&replica, "'LATEST', NULL, 'past'"), expected);
    let first: (String, String) = replica
        .query_row("SELECT name, type FROM litestream_changes(?, NULL, 'main') LIMIT 1", [&time], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .expect("a row");
    assert_eq!(first, ("b's".to_owned(), "table".to_owned()), "most pages first");
    for (arguments, why) in [
        ("", "needs a moment"),
        ("NULL", "needs a moment"),
        ("-1", "-1 is not a TXID"),
        ("'whenever'", "1 hour ago"),
        ("'2000-01-01', NULL, 'main'", "the earliest"),
        ("99, NULL, 'past'", "the newest state is at TXID"),
        ("99", "several schemas"),
        ("'LATEST', NULL, 'nowhere'", "no schema 'nowhere'"),
    ] {
        let sql = format!("SELECT * FROM litestream_changes({arguments})");
        let error = replica.query_row(&sql, [], |_| Ok(())).expect_err(&sql).to_string();
        assert!(error.contains(why), "{sql}: {error}");
    }
}
