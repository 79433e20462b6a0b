//! The VFS `litestream-default`: names of replicas open replicas, and every other name behaves as without it.

use crate::support::extension::{library, sample_url};
use crate::support::hosts::Host;
use crate::support::sample::{cities, earlier};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use tempfile::TempDir;

/// Whether a host loads the extension.
const BOTH: [&str; 2] = ["plain", "load"];

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn names_of_replicas_open_replicas_without_uris() {
    let (dir, replicas) = (directory(), directory());
    let host = Host::python("default_vfs.py").arg(sample_url()).arg(cities(&replicas)).arg(earlier()).arg(dir.path());
    assert_eq!(host.env("LITESTREAM_LOG_FILE", "/dev/null").succeed(), "ok\n");
}

/// Runs random statements in a directory. `kill` says after which event the host kills itself. Returns what it printed.
fn run(dir: &Path, load: &str, seed: u64, steps: u32, (kill, number): (&str, u64)) -> String {
    let host = Host::python("ordinary.py").within(dir).arg(load).arg(seed.to_string()).arg("app.db");
    let ended = host.arg(steps.to_string()).arg(kill).arg(number.to_string()).run();
    assert_eq!(ended.stderr, "", "{load}, seed {seed}");
    assert_eq!(ended.status.success(), !ended.stdout.is_empty(), "{load}, seed {seed}: {}", ended.status);
    ended.stdout
}

/// Returns the databases in a directory, by name.
fn databases(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = ["app.db", "app.db-other"].iter().filter(|name| dir.join(name).exists());
    names.map(|name| (name.to_string(), fs::read(dir.join(name)).expect("a file"))).collect()
}

/// Each seed runs twice, with and without the VFS. The second run continues after the first was killed, so it begins
/// with the recovery of a journal or a WAL.
#[test]
fn ordinary_databases_are_byte_for_byte_the_same_also_after_crashes() {
    const SEEDS: u64 = 32;
    let mut killed = 0;
    for seed in 0..SEEDS {
        let kill =
            [("none", 0), ("statement", 3 + seed * 5), ("commit", 1 + seed), ("wal", 1 + seed / 8)][seed as usize % 4];
        let results = BOTH.map(|load| {
            let dir = directory();
            let first = run(dir.path(), load, seed, 120, kill);
            let recovered = run(dir.path(), load, seed, 0, ("none", 0));
            let after_recovery = databases(dir.path());
            let second = run(dir.path(), load, seed + 1000, 40, ("none", 0));
            (first, recovered, after_recovery, second, databases(dir.path()))
        });
        killed += u64::from(results[0].0.is_empty());
        assert!(results[0] == results[1], "seed {seed}, {kill:?}: the databases or the results differ");
    }
    assert!(killed >= SEEDS / 2, "only {killed} of {SEEDS} runs were killed");
}

#[test]
fn processes_with_and_without_the_vfs_share_a_wal_database() {
    const EACH: u32 = 400;
    let dir = directory();
    let path = dir.path().join("shared.db");
    let db = Connection::open(&path).expect("a database");
    let setup = "PRAGMA journal_mode = WAL; CREATE TABLE counter (value); INSERT INTO counter VALUES (0);
                 CREATE TABLE log (load, number, UNIQUE (load, number))";
    db.execute_batch(setup).expect("a schema");
    thread::scope(|scope| {
        for load in BOTH {
            let host = Host::python("counter.py").arg(load).arg(&path).arg(EACH.to_string());
            scope.spawn(move || assert_eq!(host.succeed(), "ok\n"));
        }
    });
    let read = |sql: &str| db.query_row(sql, [], |row| row.get::<_, String>(0)).expect(sql);
    assert_eq!(read("SELECT value || '' FROM counter"), (2 * EACH).to_string());
    assert_eq!(read("SELECT count(*) || '' FROM log"), (2 * EACH).to_string());
    assert_eq!(read("PRAGMA integrity_check"), "ok");
}

#[test]
fn the_environment_makes_it_the_default_with_any_entry_point() {
    let printed = |default: &str| {
        let host = Host::shell().env("LITESTREAM_DEFAULT_VFS", default).env("LITESTREAM_LOG_FILE", "/dev/null");
        let host = host.arg(format!(".load {}", library().display()));
        host.arg(format!(".open 'litestream:{}'", sample_url())).arg("SELECT count(*) FROM orders").run()
    };
    assert_eq!(printed("1").stdout, "632\n");
    assert!(!printed("off").status.success());
    assert!(printed("perhaps").stderr.contains("LITESTREAM_DEFAULT_VFS has the value 'perhaps'; write on or off"));
}
