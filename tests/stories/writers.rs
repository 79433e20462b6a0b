//! Several processes write to one replica over a faulty network, and are killed and suspended: no transaction is lost, and none is there that
//! was reported as failed.

use crate::support::hosts::Host;
use crate::support::litestream::Destination;
use crate::support::programs::program;
use crate::support::s3::{Manner, S3Server};
use std::path::Path;
use std::time::Duration;

/// How long the writers run, in seconds.
fn seconds() -> u64 {
    std::env::var("WRITERS_SECONDS").map_or(60, |seconds| seconds.parse().expect("a number of seconds"))
}

fn run(step: &str, destination: &Destination, directory: &Path, arguments: [&str; 2]) {
    let host = Host::python("writers.py").arg(step).arg(&destination.url).arg(directory);
    let host = arguments.iter().fold(host, Host::arg);
    let ended = host.credentials(destination).longer(Duration::from_secs(seconds() + 120)).run();
    eprintln!("{}", ended.stderr);
    assert_eq!(ended.stdout, "ok\n", "{step} {arguments:?}: {}", ended.stderr);
}

/// Has processes write to the replica at `written`. `restorable` then returns where Litestream finds it.
pub fn check(written: &Destination, seed: u64, restorable: impl FnOnce() -> Destination) {
    let records = tempfile::tempdir().expect("a directory");
    run("run", written, records.path(), [&seconds().to_string(), &seed.to_string()]);
    let restorable = restorable();
    let litestream = program("litestream");
    let mut reading = Destination { url: written.url.clone(), environment: written.environment.clone() };
    reading.environment.extend(restorable.environment);
    run("check", &reading, records.path(), [litestream.to_str().expect("a path"), &restorable.url]);
}

#[test]
fn writers_of_a_directory_lose_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let replica = || Destination::directory(&dir.path().join("replica"));
    check(&replica(), 1, replica);
}

#[test]
fn writers_of_a_faulty_server_lose_nothing() {
    let server = S3Server::start_with(Manner { is_faulty: true, ..Manner::default() });
    let replica = || Destination::s3(&server, "app");
    check(&replica(), 2, replica);
}

/// SQLite keeps an empty page 1 of the database whose creation failed, and must not take it for that of the other writer.
#[test]
fn processes_that_create_one_database_go_on_after_the_conflict() {
    for _ in 0..8 {
        let dir = tempfile::tempdir().expect("a directory");
        let replica = Destination::directory(&dir.path().join("replica"));
        let ended = Host::python("create_together.py").arg(&replica.url).run();
        assert_eq!(ended.stdout, "ok\n", "{}", ended.stderr);
    }
}
