//! Hosts that reach a limit of their process: the error names the limit, and everything works after the limit is raised.

use crate::support::hosts::Host;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Copies the sample with permissions for every user.
fn copy_sample(to: &Path) {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/sample/replica");
    copy(Path::new(sample), to);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a directory is made");
    fs::set_permissions(to, PermissionsExt::from_mode(0o755)).expect("permissions can be set");
    for entry in from.read_dir().expect("a directory").flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a file is copied");
        }
    }
}

/// Runs `limits.py`, and checks that stderr contains these words.
fn reaches(limit: &str, words: &[&str]) {
    let dir = tempfile::tempdir().expect("a directory");
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("permissions can be set");
    copy_sample(&dir.path().join("replica"));
    let url = format!("file://{}/replica", dir.path().display());
    let ended = Host::python("limits.py").arg(limit).arg(&url).run();
    assert!(ended.status.success(), "{limit}: {}\n{}", ended.status, ended.stderr);
    assert_eq!(ended.stdout, "ok\n");
    for word in words {
        assert!(ended.stderr.contains(word), "{limit}: {word:?} is not in stderr: {}", ended.stderr);
    }
    for word in ["panicked", "bug", "backtrace"] {
        assert!(!ended.stderr.contains(word), "{limit}: {word:?} is in stderr: {}", ended.stderr);
    }
}

#[test]
fn a_first_open_without_descriptors_reports_the_limit_and_the_next_one_succeeds() {
    reaches("descriptors", &["replica.db", "Too many open files", "ulimit -n"]);
}

#[test]
fn a_read_without_descriptors_reports_the_limit_and_the_next_one_succeeds() {
    reaches("descriptors_later", &["Too many open files"]);
}

#[test]
fn a_first_open_without_threads_reports_the_limit_and_the_next_one_succeeds() {
    reaches("threads", &["replica.db", "threads", "cannot be started", "ulimit -u"]);
}

#[test]
fn reads_continue_if_the_temporary_file_cannot_grow() {
    reaches("file_size", &["ulimit -f", "disk_cache_size=0"]);
}

#[test]
fn a_name_that_is_too_long_is_reported() {
    reaches("name", &["cannot open nnn", "too long"]);
}

#[test]
fn a_deleted_current_directory_is_reported() {
    reaches("directory", &["cannot open replica.db", "no current directory"]);
}
