//! What the process of a host does besides using SQLite: forks with open writers, ends, suspensions, limits.

use crate::support::extension;
use crate::support::hosts::Host;
use crate::support::litestream::Destination;
use crate::support::programs::{Ended, wait_until};
use crate::support::s3::S3Server;
use crate::support::sample::upload_sample;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(180);

fn assert_quiet(ended: &Ended) {
    assert!(ended.status.success() && ended.stdout.ends_with("ok\n"), "{ended:?}");
    for word in ["panicked", "bug", "backtrace"] {
        assert!(!ended.stderr.contains(word), "{word:?} is in stderr: {}", ended.stderr);
    }
}

#[test]
fn a_child_never_commits_and_never_changes_what_its_parent_has_begun() {
    let (server, dir) = (S3Server::start(), tempfile::tempdir().expect("a directory"));
    let destination = Destination::s3(&server, "app");
    let host = Host::python("fork_writers.py").arg(dir.path()).arg(&destination.url).credentials(&destination);
    assert_quiet(&host.run());
}

#[test]
fn a_program_that_is_executed_in_place_of_a_writer_continues_with_its_journal() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_quiet(&Host::python("executed.py").arg(dir.path()).run());
}

#[test]
fn a_process_ends_in_every_state_and_loses_nothing() {
    let (server, dir) = (S3Server::start(), tempfile::tempdir().expect("a directory"));
    let destination = Destination::s3(&server, "REPLICA");
    let host = Host::python("ending.py").arg(&destination.url).arg(dir.path()).credentials(&destination);
    assert_quiet(&host.longer(LIMIT).run());
}

/// Runs `scarce.py` without something.
fn lacks(what: &str) {
    let (server, dir) = (S3Server::start(), tempfile::tempdir().expect("a directory"));
    upload_sample(&server, "sample");
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("permissions can be set");
    let private = dir.path().join("private");
    std::fs::create_dir(&private).expect("a directory");
    let (own, sample) = (Destination::s3(&server, "REPLICA"), Destination::s3(&server, "sample"));
    let host = Host::python("scarce.py").arg(what).arg(&own.url).arg(&sample.url).arg(&private);
    assert_quiet(&host.credentials(&own).run());
}

#[test]
fn sixty_four_descriptors_suffice_for_six_replicas() {
    lacks("descriptors");
}

#[test]
fn everything_works_without_another_thread_after_the_first_open() {
    lacks("threads");
}

#[test]
fn everything_works_without_an_environment() {
    lacks("environment");
}

#[test]
fn everything_works_without_a_home_and_directories_for_temporary_files() {
    lacks("unusable");
}

#[test]
fn reads_and_small_transactions_work_on_read_only_file_systems() {
    lacks("read_only");
}

#[test]
fn a_commit_to_a_journal_on_a_full_disk_fails_as_a_whole_and_the_next_one_succeeds() {
    lacks("space");
}

#[test]
fn thousands_of_connections_and_hundreds_of_replicas_leave_nothing_behind() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_quiet(&Host::python("many.py").arg(extension::sample_url()).arg(dir.path()).run());
}

/// Readers and writers are suspended for some seconds, or for `SUSPENDED_SECONDS`, and the replica goes on meanwhile.
#[test]
fn suspended_processes_go_on_where_they_were() {
    let seconds = std::env::var("SUSPENDED_SECONDS").map_or(6, |seconds| seconds.parse().expect("a number"));
    let (server, dir) = (S3Server::start(), tempfile::tempdir().expect("a directory"));
    let (shared, own) = (Destination::s3(&server, "shared"), Destination::s3(&server, "own"));
    let path = |name: &str| dir.path().join(name).to_str().expect("the paths of tests are text").to_owned();
    let [mut first, mut writer, mut reader, mut journalled] = [&shared, &shared, &shared, &own].map(Host::session);
    let polls = ("poll_interval", "100ms");
    let writes = [polls, ("write_enabled", "1"), ("compaction", "1s")];
    first.open(&shared.url, &writes);
    first.query(0, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    first.query(0, "INSERT INTO t(b) VALUES ('before')");
    writer.open(&shared.url, &writes);
    reader.open(&shared.url, &[polls, ("cache_dir", &path("cache")), ("hydration_enabled", "on")]);
    let journal = path("journal");
    journalled.open(&own.url, &[&writes[..], &[("sync_interval", "20ms"), ("buffer_path", &journal)]].concat());
    journalled.query(0, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    writer.query(0, "BEGIN IMMEDIATE");
    writer.query(0, "INSERT INTO t(b) VALUES ('suspended')");
    reader.query(0, "BEGIN");
    assert_eq!(reader.query(0, "SELECT count(*) FROM t"), "1");
    journalled.query(0, "INSERT INTO t(b) VALUES ('journal')");
    let suspended = [&writer, &reader, &journalled];
    suspended.iter().for_each(|session| session.freeze());
    first.query(0, "INSERT INTO t(b) VALUES ('meanwhile')");
    thread::sleep(Duration::from_secs(seconds));
    first.query(0, "DELETE FROM t WHERE b = 'before'");
    suspended.iter().for_each(|session| session.thaw());
    let lost = writer.try_query(0, "COMMIT").expect_err("another writer was first");
    assert!(lost.contains("database is locked"), "{lost}");
    assert_eq!(reader.query(0, "SELECT group_concat(b) FROM t"), "before");
    reader.query(0, "COMMIT");
    wait_until("the reader follows", || reader.query(0, "SELECT group_concat(b) FROM t") == "meanwhile");
    wait_until("the writer follows", || writer.try_query(0, "INSERT INTO t(b) VALUES ('after')").is_ok());
    assert_eq!(writer.query(0, "SELECT group_concat(b) FROM t"), "meanwhile,after");
    journalled.query(0, "INSERT INTO t(b) VALUES ('after')");
    journalled.query(0, "SELECT litestream_flush()");
    let mut fresh = Host::session(&own);
    fresh.open(&own.url, &[]);
    assert_eq!(fresh.query(0, "SELECT group_concat(b) FROM t"), "journal,after");
    assert_eq!(fresh.query(0, "PRAGMA integrity_check"), "ok");
    for session in [first, writer, reader, journalled, fresh] {
        assert!(session.end().status.success());
    }
}
