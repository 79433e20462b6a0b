//! Readers and writers of one replica in separate processes, which are killed and suspended, with a faulty network, clocks that jump and full
//! disks. `scripts/chaos 3600` runs it for an hour.

use crate::support::hosts::Host;
use crate::support::litestream::Destination;
use crate::support::programs::program;
use crate::support::s3::{Manner, S3Server};
use std::time::Duration;

/// How long it lasts, in seconds.
fn seconds() -> u64 {
    std::env::var("CHAOS_SECONDS").map_or(30, |seconds| seconds.parse().expect("a number of seconds"))
}

#[test]
fn every_state_that_a_reader_sees_is_right_and_no_transaction_is_lost() {
    let seed = std::env::var("CHAOS_SEED").unwrap_or_else(|_| "1".to_owned());
    let server = S3Server::start_with(Manner { is_faulty: true, ..Manner::default() });
    let destination = Destination::s3(&server, "app");
    let host = Host::python("chaos.py").arg(&destination.url).arg(seconds().to_string()).arg(seed);
    let host = host.arg(program("litestream")).credentials(&destination).longer(Duration::from_secs(seconds() + 240));
    let ended = host.run();
    eprintln!("{}", ended.stderr);
    assert_eq!(ended.stdout, "ok\n", "{}", ended.stderr);
}
