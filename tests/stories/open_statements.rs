//! Transactions that are committed while another statement of the connection is open, and states whose numbers SQLite reaches by counting.

use crate::support::extension;
use crate::support::hosts::Host;
use crate::support::litestream::Destination;
use crate::support::pages::{assert_same_bytes, assert_whole};

fn run(part: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let destination = Destination::directory(&dir.path().join("replica"));
    let host = Host::python("open_statements.py").arg(part).arg(&destination.url).arg(dir.path().join("buffer"));
    let ended = host.run();
    assert_eq!(ended.stdout, "ok\n", "{part}: {}", ended.stderr);
    let (newest, restored) = (*destination.txids().last().expect("a state"), dir.path().join("restored.db"));
    assert!(destination.restore(newest, &restored), "it can be restored");
    let conn = extension::connect(&destination.url, &[]);
    assert_same_bytes(&conn, &restored);
    assert_whole(&conn);
}

#[test]
fn transactions_that_are_committed_during_a_query_are_all_there() {
    ["direct", "journal", "shared"].into_iter().for_each(run);
}

#[test]
fn a_past_state_whose_number_sqlite_has_counted_to_is_read_correctly() {
    ["past", "exclusive"].into_iter().for_each(run);
}

#[test]
fn a_schema_whose_cookie_sqlite_has_counted_to_is_read_again() {
    ["frozen", "inherited"].into_iter().for_each(run);
}
