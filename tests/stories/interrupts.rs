//! Waits that the application interrupts, and waits that end because nothing arrives.

use crate::support::extension::uri;
use crate::support::hosts::Host;
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::s3::S3Server;
use crate::support::sample::{earlier, upload_sample};
use crate::support::workload;
use std::fs;

/// Creates a replica that is larger than the caches of the connections.
fn large(server: &S3Server) -> Destination {
    let dir = tempfile::tempdir().expect("a directory");
    let (database, destination) = (dir.path().join("notes.db"), Destination::s3(server, "notes"));
    let conn = workload::create(&database, "");
    workload::run(
        &conn,
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, note BLOB);
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
         INSERT INTO notes SELECT i, randomblob(4000) FROM n",
    );
    Primary::start(&database, &destination, Schedule::QUIET).sync();
    destination
}

#[test]
fn python_interrupts_every_wait_for_a_server() {
    let server = S3Server::start();
    upload_sample(&server, "sample");
    let destination = Destination::s3(&server, "sample");
    let large = large(&server);
    let host =
        Host::python("interrupts.py").arg(&destination.url).arg(&large.url).arg(earlier()).arg(server.stall_file());
    let version = host.credentials(&destination).succeed();
    assert!(version.starts_with("3."), "{version}");
}

#[test]
fn checking_for_interrupts_does_not_change_what_is_read() {
    let server = S3Server::start();
    upload_sample(&server, "sample");
    let destination = Destination::s3(&server, "sample");
    let dir = tempfile::tempdir().expect("a directory");
    let host = Host::python("slow.py").arg(&destination.url).arg(server.stall_file()).arg(dir.path());
    assert_eq!(host.credentials(&destination).succeed(), "ok\n");
}

#[test]
fn a_read_fails_when_nothing_arrives_for_the_read_timeout() {
    let server = S3Server::start();
    upload_sample(&server, "sample");
    let destination = Destination::s3(&server, "sample");
    let dir = tempfile::tempdir().expect("a directory");
    let outcome = dir.path().join("outcome");
    let parameters = [("read_timeout", "1s"), ("poll_interval", "1h"), ("cache_size", "0"), ("disk_cache_size", "0")];
    let host =
        Host::python("stalling.py").arg(uri(&destination.url, &parameters)).arg(server.stall_file()).arg(&outcome);
    let ended = host.credentials(&destination).run();
    assert!(ended.status.success(), "{}", ended.stderr);
    let result = fs::read_to_string(outcome).expect("the host wrote how it ended");
    assert_eq!(result, "disk I/O error, then 632 rows");
    for words in ["s3://bucket/sample", "has sent nothing for 1s", "read_timeout", "LITESTREAM_READ_TIMEOUT"] {
        assert!(ended.stderr.contains(words), "{words:?} is not in {}", ended.stderr);
    }
}
