//! Processes that fork: prefork servers, multiprocessing.

use crate::support::bank;
use crate::support::hosts::Host;
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::s3::S3Server;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Runs `fork.py` while a primary writes continuously.
pub(super) fn forks(destination: impl FnOnce(&std::path::Path) -> Destination) {
    let dir = tempfile::tempdir().expect("a directory");
    let destination = destination(dir.path());
    let database = dir.path().join("app.db");
    let conn = bank::create(&database);
    let primary = Primary::start(
        &database,
        &destination,
        Schedule { monitor_interval: Some(Duration::from_millis(50)), ..Schedule::BUSY },
    );
    primary.sync();
    let ended = &AtomicBool::new(false);
    let printed = thread::scope(|scope| {
        scope.spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                bank::transfer(&conn);
                thread::sleep(Duration::from_millis(50));
            }
        });
        let run = || Host::python("fork.py").arg(&destination.url).credentials(&destination).succeed();
        let printed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        ended.store(true, Ordering::Relaxed);
        printed
    });
    assert_eq!(printed.unwrap_or_else(|panic| std::panic::resume_unwind(panic)), "ok\n");
}

#[test]
fn forked_readers_of_a_directory_follow_the_primary() {
    forks(|dir| Destination::directory(&dir.join("replica")));
}

#[test]
fn forked_readers_of_a_bucket_follow_the_primary() {
    let server = S3Server::start();
    forks(|_| Destination::s3(&server, "app"));
}
