//! Replicas that Litestream wrote, wherever they lie, and the same databases as it restores them.

use super::hosts::Host;
use super::litestream::{Destination, Primary, Schedule};
use super::pages::assert_same_file;
use super::programs::Ended;
use super::workload;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Has Litestream replicate a database through a whole life to that place.
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

/// Reads a whole database in a process of its own, since credentials come from the environment, into a file.
pub fn serialize(destination: &Destination, txid: &str, output: &Path) -> Ended {
    let host = Host::python("serialize.py").arg(&destination.url).arg(txid).arg(output);
    let ended = host.credentials(destination).run();
    assert_eq!(ended.stdout, "ok\n", "{}: {}", ended.status, ended.stderr);
    ended
}

/// Compares every byte of many states, as read from one place, with what Litestream restores from another. Answers what
/// was said on the way.
pub fn assert_served_as_restored(reading: &Destination, restoring: &Destination) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let (restored, served) = (dir.path().join("restored.db"), dir.path().join("served.db"));
    let mut said = Vec::new();
    // A process for each state: every third and the newest are enough here.
    for txid in restoring.txids().into_iter().rev().step_by(3) {
        if restoring.restore(txid, &restored) {
            said.push(serialize(reading, &txid.to_string(), &served).stderr);
            assert_same_file(&served, &restored);
        }
    }
    assert!(said.len() >= 5, "{} states compared", said.len());
    said.concat()
}
