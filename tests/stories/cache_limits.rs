//! What a cache directory must not be, a full disk, other versions of the extension, and `ATTACH`.

use crate::support::archive::{ARCHIVE, ArchiveBank};
use crate::support::extension::{library, sample_url, uri};
use crate::support::hosts::Host;
use crate::support::litestream::{Destination, Schedule};
use crate::support::session::Session;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};

/// The user `nobody`.
const OTHER_USER: u32 = 65534;

const LAST_ERROR: &str = "SELECT litestream_last_error()";
const COUNT: &str = "SELECT count(*) FROM orders";

/// A process with these variables and a connection to no replica.
fn session(variables: &[(&'static str, &str)]) -> (Session, usize) {
    let environment = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let mut session = Host::session(&Destination { url: String::new(), environment });
    let memory = session.open_memory();
    (session, memory)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the paths of tests are text")
}

/// Returns a directory of another user. Only the superuser can give one away; for others, the system has some.
fn of_another_user(dir: &Path) -> PathBuf {
    let given = dir.join("given");
    fs::DirBuilder::new().mode(0o700).create(&given).expect("a directory");
    if chown(&given, Some(OTHER_USER), None).is_ok() { given } else { PathBuf::from("/usr") }
}

#[test]
fn a_directory_of_another_user_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let other = of_another_user(dir.path());
    let before = fs::read_dir(&other).map_or(0, Iterator::count);
    let (mut session, memory) = session(&[]);
    let opened = session.try_open(&sample_url(), &[("cache_dir", text(&other))]);
    opened.expect_err("the directory belongs to another user");
    let reason = session.query(memory, LAST_ERROR);
    assert!(reason.contains(text(&other)) && reason.contains("it belongs to another user"), "{reason}");
    assert_eq!(fs::read_dir(&other).map_or(0, Iterator::count), before, "nothing was written");
}

#[test]
fn a_full_disk_costs_only_time() {
    let bank = ArchiveBank::start(|dir| Destination::directory(&dir.join("replica")), Schedule::QUIET);
    let cache = bank.cache();
    fs::DirBuilder::new().mode(0o700).create(&cache).expect("a directory");
    let ended = Host::python("full_disk.py").arg(&bank.destination.url).arg(&cache).arg(bank.archive()).run();
    assert_eq!(ended.stdout, "ok\n", "{}", ended.stderr);
    assert_eq!(
        ended.stderr.matches("the cache directory cannot be written, so nothing").count(),
        2,
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

/// Returns a copy of the library that is the next version of the format: its folder in the directory has another name.
fn next_version(dir: &Path) -> PathBuf {
    const NAME: &[u8] = b"litestream-vfs-1";
    let mut bytes = fs::read(library()).expect("the library");
    let places: Vec<usize> = (0..bytes.len() - NAME.len()).filter(|at| bytes[*at..].starts_with(NAME)).collect();
    assert!(!places.is_empty(), "the library contains the name of the folder");
    places.into_iter().for_each(|at| bytes[at + NAME.len() - 1] = b'9');
    let copy = dir.join("next-version.so");
    fs::write(&copy, bytes).expect("a library");
    copy
}

#[test]
fn two_versions_of_the_format_share_a_directory_and_its_limit() {
    let bank = ArchiveBank::start(|dir| Destination::directory(&dir.join("replica")), Schedule::QUIET);
    let (next, cache) = (next_version(bank.dir.path()), bank.cache());
    let mut sessions = [library(), &next].map(|library| Host::session_with(library, &bank.destination));
    // Each evicts what the other has, because not both have room.
    let parameters = [("cache_dir", text(&cache)), ("disk_cache_size", "6MB"), ("cache_size", "64KB")];
    let expected = bank.archive();
    for round in 0..2 {
        for session in &mut sessions {
            let connection = session.open(&bank.destination.url, &parameters);
            assert_eq!(session.query(connection, ARCHIVE), expected, "round {round}");
            assert_eq!(session.query(connection, "PRAGMA integrity_check"), "ok", "round {round}");
        }
    }
    for version in ["litestream-vfs-1", "litestream-vfs-9"] {
        assert!(cache.join(version).is_dir(), "{version}");
    }
}

#[test]
fn attach_uses_a_directory_that_the_application_has_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let [named, known] = ["named", "known"].map(|name| dir.path().join(name));
    let (mut session, memory) = session(&[("LITESTREAM_CACHE_DIR", text(&named))]);
    let attach = |session: &mut Session, parameters: &[(&str, &str)]| {
        session.try_query(memory, &format!("ATTACH '{}' AS other", uri(&sample_url(), parameters)))
    };
    attach(&mut session, &[("cache_dir", text(&known))]).expect_err("only SQL names the directory");
    let reason = session.query(memory, LAST_ERROR);
    assert!(reason.contains("ATTACH may not use the cache_dir") && reason.contains("LITESTREAM_CACHE_DIR"), "{reason}");
    assert!(!known.exists());
    // The directory of the environment is used without a parameter.
    attach(&mut session, &[]).expect("the application names the directory");
    let count = session.query(memory, "SELECT count(*) FROM other.orders");
    assert!(named.join("litestream-vfs-1").is_dir());
    session.query(memory, "DETACH other");
    // A main database names the other one.
    let main = session.open(&sample_url(), &[("cache_dir", text(&known))]);
    assert_eq!(session.query(main, COUNT), count);
    attach(&mut session, &[("cache_dir", text(&known))]).expect("the application has named the directory");
    assert_eq!(session.query(memory, "SELECT count(*) FROM other.orders"), count);
}
