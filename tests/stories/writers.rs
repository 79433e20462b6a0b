//! Several processes write to one replica over a faulty network, and are killed and suspended: no transaction is lost, and none is there that
//! was reported as failed.

use crate::support::hosts::Host;
use crate::support::litestream::Destination;
use crate::support::programs::program;
use crate::support::s3::{Manner, S3Server};
use std::time::Duration;

/// How long the writers run, in seconds.
fn seconds() -> u64 {
    std::env::var("WRITERS_SECONDS").map_or(30, |seconds| seconds.parse().expect("a number of seconds"))
}

fn check(destination: &Destination, seed: u64) {
    let host = Host::python("writers.py").arg(&destination.url).arg(seconds().to_string()).arg(seed.to_string());
    let host = host.arg(program("litestream")).credentials(destination).longer(Duration::from_secs(seconds() + 120));
    let ended = host.run();
    eprintln!("{}", ended.stderr);
    assert_eq!(ended.stdout, "ok\n", "seed {seed}: {}", ended.stderr);
}

#[test]
fn writers_of_a_directory_lose_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    check(&Destination::directory(&dir.path().join("replica")), 1);
}

#[test]
fn writers_of_a_faulty_server_lose_nothing() {
    let server = S3Server::start_with(Manner { is_faulty: true, ..Manner::default() });
    check(&Destination::s3(&server, "app"), 2);
}
