//! Replicas that Litestream wrote to any backend, compared with its restores.

use super::hosts::Host;
use super::litestream::{Destination, Primary, Schedule};
use super::pages::assert_same_file;
use super::programs::Ended;
use super::workload;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Runs the whole workload, and replicates it with Litestream.
pub fn replicate_workload(destination: &Destination) {
    let dir = tempfile::tempdir().expect("a directory");
    let database = dir.path().join("app.db");
    let conn = workload::create(&database, "PRAGMA auto_vacuum = FULL");
    let primary = Primary::start(&database, destination, Schedule::BUSY);
    for step in workload::STEPS {
        workload::run(&conn, step);
        primary.sync();
        thread::sleep(Duration::from_millis(200));
    }
    primary.wait_for_levels(&[0, 1, 2, 9]);
    primary.stop();
}

/// Copies a whole database to a file, in a separate process because the credentials come from its environment.
pub fn serialize(destination: &Destination, txid: &str, output: &Path) -> Ended {
    let host = Host::python("serialize.py").arg(&destination.url).arg(txid).arg(output);
    let ended = host.credentials(destination).run();
    assert_eq!(ended.stdout, "ok\n", "{}: {}", ended.status, ended.stderr);
    ended
}

/// Compares every byte of many states that `reading` serves with those that Litestream restores from `restoring`. Returns
/// what the extension wrote to stderr.
pub fn assert_served_as_restored(reading: &Destination, restoring: &Destination) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let (restored, served) = (dir.path().join("restored.db"), dir.path().join("served.db"));
    let mut stderr = Vec::new();
    // Each state takes a process, so only every third one and the newest are compared.
    for txid in restoring.txids().into_iter().rev().step_by(3) {
        if restoring.restore(txid, &restored) {
            stderr.push(serialize(reading, &txid.to_string(), &served).stderr);
            assert_same_file(&served, &restored);
        }
    }
    assert!(stderr.len() >= 5, "{} states compared", stderr.len());
    stderr.concat()
}
