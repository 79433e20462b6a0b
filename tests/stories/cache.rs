//! A cache directory that several processes share.

use crate::support::archive::{ARCHIVE, ArchiveBank};
use crate::support::bank;
use crate::support::extension::connect;
use crate::support::hosts::Host;
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::pages::{assert_same_bytes, assert_whole};
use crate::support::programs::wait_until;
use crate::support::s3::{Request, S3Server};
use crate::support::session::Session;
use litestream_vfs::ltx::{Level, Txid};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

fn in_directory(dir: &Path) -> Destination {
    Destination::directory(&dir.join("replica"))
}

#[test]
fn a_new_process_reads_only_listings_if_another_has_read_everything() {
    let server = S3Server::start();
    let bank = ArchiveBank::start(|_| Destination::s3(&server, "app"), Schedule::QUIET);
    for _ in 0..3 {
        bank::transfer(&bank.conn);
        bank.primary.sync();
    }
    let read = |session: &mut Session, connection| [ARCHIVE, bank::STATE_SQL].map(|sql| session.query(connection, sql));
    let (mut first, connection) = bank.open(&[]);
    let expected = read(&mut first, connection);
    // The primary sends requests too.
    let of_reader = |request: &Request| {
        request.headers.get("user-agent").is_some_and(|agent| agent.as_bytes().starts_with(b"litestream-vfs"))
    };
    // It fetches what completes its files in the background.
    while server.take_requests().iter().any(of_reader) {
        thread::sleep(Duration::from_secs(1));
    }
    let (mut second, connection) = bank.open(&[]);
    assert_eq!(read(&mut second, connection), expected);
    let mut requests = server.take_requests();
    requests.retain(of_reader);
    assert_eq!(requests.len(), 10, "each level is listed once: {requests:?}");
    assert!(requests.iter().all(|request| request.operation.starts_with("ListObjects")), "{requests:?}");
}

#[test]
fn a_stable_working_set_stays_in_the_directory_when_snapshots_replace_files() {
    let bank = ArchiveBank::start(in_directory, Schedule::BUSY);
    let replica = bank.dir.path().join("replica");
    let cold = bank.fetched_bytes();
    assert!(cold > 4_000_000, "{cold} bytes were fetched at first");
    for _ in 0..3 {
        bank::transfer(&bank.conn);
        let committed = bank.primary.sync();
        wait_until("there is a newer snapshot", || snapshots(&replica).last() >= Some(&committed));
        let snapshots = snapshots(&replica);
        // Retention deletes the older ones.
        for end in &snapshots[..snapshots.len() - 1] {
            let name = format!("{}-{end}.ltx", Txid(1));
            std::fs::remove_file(replica.join("ltx/9").join(name)).expect("a snapshot is removed");
        }
        let warm = bank.fetched_bytes();
        assert!(warm < cold / 10, "{warm} bytes were fetched after a snapshot, {cold} at first");
    }
}

/// Returns the last transactions of the snapshots.
fn snapshots(replica: &Path) -> Vec<Txid> {
    let names = bank::names(replica);
    let mut ends: Vec<Txid> =
        names.iter().filter(|(level, _)| *level == Level::SNAPSHOT.number()).map(|(_, name)| name.max).collect();
    ends.sort_unstable();
    ends
}

#[test]
fn the_state_in_the_directory_is_read_while_the_store_cannot_be_reached() {
    let server = S3Server::start();
    let bank = ArchiveBank::start(|_| Destination::s3(&server, "app"), Schedule::QUIET);
    let (mut first, connection) = bank.open(&[]);
    let expected = first.query(connection, ARCHIVE);
    drop(server);
    let (mut second, connection) = bank.open(&[("open_timeout", "2s")]);
    assert_eq!(second.query(connection, ARCHIVE), expected);
    let state = second.query(connection, "SELECT state FROM litestream_status");
    assert!(state.contains("cannot be reached") && state.contains("cache directory"), "{state}");
    let error = second
        .try_open(&bank.destination.url, &[("open_timeout", "2s")])
        .expect_err("another replica has no cache directory");
    assert!(error.contains("unable to open"), "{error}");
    let cache = bank.cache();
    let fresh = [("open_timeout", "2s"), ("max_staleness", "1ms"), ("cache_dir", cache.to_str().expect("text"))];
    let connection = second.open(&bank.destination.url, &fresh);
    let error = second.try_query(connection, ARCHIVE).expect_err("the state is too old");
    assert!(error.contains("disk I/O error"), "{error}");
}

#[test]
fn hydration_survives_a_kill_and_then_the_store_is_not_needed() {
    let server = S3Server::start();
    let bank = ArchiveBank::start(|_| Destination::s3(&server, "app"), Schedule::QUIET);
    let hydration = [("hydration_enabled", "on")];
    let progress = |session: &mut Session, connection| -> f64 {
        let text = session.query(connection, "PRAGMA litestream_hydration_progress");
        text.parse().expect("a percentage")
    };
    // The end of a session kills its process.
    let (mut first, connection) = bank.open(&hydration);
    wait_until("hydration begins", || progress(&mut first, connection) > 0.0);
    drop(first);
    let (mut second, connection) = bank.open(&hydration);
    wait_until("hydration is complete", || progress(&mut second, connection) == 100.0);
    let directory = second.query(connection, "PRAGMA litestream_hydration_file");
    assert_eq!(Path::new(&directory), bank.cache());
    drop(second);
    drop(server);
    let (mut third, connection) = bank.open(&[hydration[0], ("open_timeout", "2s")]);
    assert_eq!(third.query(connection, ARCHIVE), bank.archive());
    assert_eq!(third.query(connection, "PRAGMA integrity_check"), "ok");
    wait_until("the progress is known", || progress(&mut third, connection) == 100.0);
}

#[test]
fn killed_processes_and_damaged_files_never_lead_to_a_wrong_page() {
    let dir = tempfile::tempdir().expect("a directory");
    let (database, destination) = (dir.path().join("app.db"), in_directory(dir.path()));
    let conn = bank::create(&database);
    let primary = Primary::start(&database, &destination, Schedule::CONTINUOUS);
    primary.sync();
    let (cache, stop) = (dir.path().join("cache"), &AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                bank::transfer(&conn);
                thread::sleep(Duration::from_millis(100));
            }
        });
        let storm = Host::python("storm.py").arg(&destination.url).arg(&cache).arg("12");
        let ended = storm.longer(Duration::from_secs(180)).run();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(ended.stdout, "ok\n", "{}", ended.stderr);
    });
    let newest = primary.sync();
    drop(primary);
    let parameters = [("cache_dir", cache.to_str().expect("text")), ("txid", &newest.to_string())];
    let reader = connect(&destination.url, &parameters);
    let restored = dir.path().join("restored.db");
    assert!(destination.restore(newest, &restored), "the newest state can be restored");
    assert_same_bytes(&reader, &restored);
    assert_whole(&reader);
}
