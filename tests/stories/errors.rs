//! Errors on stderr name the replica, the cause and the remedy, and nothing hangs.

#[cfg(all(feature = "azure", feature = "gcs", feature = "http", feature = "webdav"))]
use crate::stories::conformance::{at, name};
use crate::support::extension::uri;
use crate::support::hosts::Host;
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::programs::wait_until;
#[cfg(all(feature = "azure", feature = "gcs", feature = "http", feature = "webdav"))]
use crate::support::recorder::Recorder;
use crate::support::s3::S3Server;
use crate::support::workload;
#[cfg(all(feature = "azure", feature = "gcs", feature = "http", feature = "webdav"))]
use litestream_vfs::ltx::{Level, Txid};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The result of reading a whole replica: what SQLite returned, and what the extension wrote to stderr.
struct Outcome {
    result: String,
    stderr: String,
}

impl Outcome {
    fn assert_stderr(&self, words: &[&str]) {
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in stderr: {}", self.stderr);
        }
    }
}

fn read_all(uri: &str, environment: &[(&str, &str)]) -> Outcome {
    let dir = tempfile::tempdir().expect("a directory");
    let outcome = dir.path().join("outcome");
    let host = Host::python("failing.py").arg(uri).arg(&outcome);
    let host = environment.iter().fold(host, |host, (name, value)| host.env(name, value));
    let ended = host.run();
    assert!(ended.status.success(), "the host itself failed: {}", ended.stderr);
    assert_eq!(ended.stdout, "", "stdout is empty");
    let result = fs::read_to_string(&outcome).expect("the host wrote how it ended");
    let reason = fs::read_to_string(outcome.with_extension("reason")).expect("the host wrote the last error");
    assert_eq!(reason.is_empty(), result == "read", "{result}: {reason:?}");
    let logged = ended.stderr.lines().rfind(|line| line.contains("ERROR "));
    assert!(logged.is_none_or(|line| line.ends_with(&reason)), "{reason:?} is not {logged:?}");
    Outcome { result, stderr: ended.stderr }
}

const CANNOT_OPEN: &str = "unable to open database file";

#[test]
fn no_url() {
    let outcome = read_all("file:app.db?vfs=litestream", &[]);
    assert_eq!(outcome.result, CANNOT_OPEN);
    outcome.assert_stderr(&["replica_url", "LITESTREAM_REPLICA_URL"]);
}

#[test]
fn an_unknown_scheme() {
    let outcome = read_all(&uri("ftp://host.example/backups", &[]), &[]);
    assert_eq!(outcome.result, CANNOT_OPEN);
    outcome.assert_stderr(&["ftp://host.example/backups", "s3://", "file://"]);
}

#[test]
fn an_invalid_setting() {
    for (name, value) in [("poll_interval", "often"), ("cache_size", "much"), ("txid", "12"), ("time", "some day")] {
        let outcome = read_all(&uri("file:///nowhere", &[(name, value)]), &[]);
        assert_eq!(outcome.result, CANNOT_OPEN);
        outcome.assert_stderr(&[name, value]);
    }
}

#[test]
fn an_empty_replica() {
    let dir = tempfile::tempdir().expect("a directory");
    let url = format!("file://{}", dir.path().display());
    for timeout in ["0", "1s"] {
        let outcome = read_all(&uri(&url, &[("open_timeout", timeout)]), &[]);
        assert_eq!(outcome.result, CANNOT_OPEN);
        outcome.assert_stderr(&[&url, "no backup", "litestream replicate"]);
    }
}

#[test]
fn a_replica_of_litestream_0_3() {
    let server = S3Server::start();
    let destination = Destination::s3(&server, "app");
    let dir = tempfile::tempdir().expect("a directory");
    let below = "generations/0123456789abcdef/snapshots";
    fs::create_dir_all(dir.path().join(below)).expect("a directory is made");
    fs::create_dir_all(server.path("app").join(below)).expect("a directory is made");
    fs::write(server.path("app").join(below).join("00000000.snapshot.lz4"), b"old").expect("an object");
    let environment: Vec<_> = destination.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for url in [format!("file://{}", dir.path().display()), destination.url.clone()] {
        let outcome = read_all(&uri(&url, &[("open_timeout", "0")]), &environment);
        assert!(outcome.result == CANNOT_OPEN || outcome.result.contains("Litestream 0.3"), "{}", outcome.result);
        outcome.assert_stderr(&["Litestream 0.3", "generations", "0.5 or newer"]);
    }
}

#[test]
fn a_time_before_the_first_backup() {
    let url = crate::support::extension::sample_url();
    let outcome = read_all(&uri(&url, &[("time", "2001-01-01T00:00:00Z"), ("open_timeout", "0")]), &[]);
    assert_eq!(outcome.result, CANNOT_OPEN);
    outcome.assert_stderr(&[&url, "2001-01-01T00:00:00"]);
}

#[test]
fn wrong_credentials() {
    let server = S3Server::start();
    let destination = Destination::s3(&server, "app");
    let environment = [("AWS_ACCESS_KEY_ID", server.access_key.as_str()), ("AWS_SECRET_ACCESS_KEY", "a-wrong-secret")];
    let outcome = read_all(&uri(&destination.url, &[("open_timeout", "0")]), &environment);
    assert!(
        outcome.result.contains("cannot open") && outcome.result.contains("SignatureDoesNotMatch"),
        "{}",
        outcome.result
    );
    outcome.assert_stderr(&["s3://bucket/app", "SignatureDoesNotMatch", "credentials"]);
    assert!(!outcome.stderr.contains("a-wrong-secret"), "secrets are never printed: {}", outcome.stderr);
}

#[test]
fn a_failed_poll_is_the_last_error_of_threads_without_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let destination = Destination::directory(&dir.path().join("replica"));
    let database = dir.path().join("app.db");
    let conn = workload::create(&database, "");
    workload::run(&conn, workload::STEPS[0]);
    Primary::start(&database, &destination, Schedule::QUIET).sync();
    let mut session = Host::session(&destination);
    let replica = session.open(&destination.url, &[("poll_interval", "50ms")]);
    assert_eq!(session.query(replica, "SELECT litestream_last_error()"), "None");
    fs::rename(dir.path().join("replica"), dir.path().join("away")).expect("it is moved");
    fs::write(dir.path().join("replica"), "a file").expect("a file");
    wait_until("the last error is that of a poll", || {
        let text = session.query(replica, "SELECT litestream_last_error()");
        text.starts_with(&format!("cannot follow {}", destination.url)) && text.contains("not a directory")
    });
}

#[test]
fn a_refused_connection() {
    // No server listens on port 1.
    let url = "s3://backups/app?endpoint=http://127.0.0.1:1&region=us-east-1";
    let environment = [("AWS_ACCESS_KEY_ID", "someone"), ("AWS_SECRET_ACCESS_KEY", "a-good-secret")];
    let outcome = read_all(&uri(url, &[("open_timeout", "0")]), &environment);
    assert!(outcome.result.contains("cannot open") && outcome.result.contains("127.0.0.1:1"), "{}", outcome.result);
    outcome.assert_stderr(&["s3://backups/app", "127.0.0.1:1", "network"]);
    assert!(!outcome.stderr.contains("a-good-secret"), "secrets are never printed: {}", outcome.stderr);
}

/// A server that responds to every request with the same page.
#[cfg(all(feature = "azure", feature = "gcs", feature = "http", feature = "webdav"))]
#[tokio::test]
async fn response_bodies_of_unknown_servers_are_never_shown() {
    const KEYS: [(&str, &str); 3] =
        [("AWS_ACCESS_KEY_ID", "me"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AZURE_STORAGE_KEY", "eA==")];
    for status in ["200 OK", "206 Partial Content\r\ncontent-range: hush", "403 Forbidden", "404 Not Found", "500 Oh"] {
        for body in [
            "hush, an internal page",
            "<html><Code>hush</Code><Message>hush</Message></html>",
            r#"{"message":"hush","error":{"message":"hush"},"error_description":"hush"}"#,
        ] {
            let server = Recorder::start(move |_| (status, body.to_owned()));
            let host = server.endpoint.trim_start_matches("http://");
            for url in [
                format!("s3://bucket/app?endpoint={}", server.endpoint),
                format!("abs://me@box/app?endpoint={}", server.endpoint),
                format!("gs://bucket/app?endpoint={}", server.endpoint),
                format!("http://{host}/app"),
                format!("webdav://{host}/app"),
            ] {
                let variable = |name: &str| KEYS.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
                let store = at(&url, variable);
                let listed = store.list(Level::ZERO, Txid(0)).await.err();
                let read = store.read(Level::ZERO, name(1, 1), 0..9, None).await.err();
                for error in [listed, read].into_iter().flatten() {
                    assert!(!format!("{error} {error:?}").contains("hush"), "{url}, {status}: {error}");
                }
            }
        }
    }
}

#[test]
fn a_line_break_in_a_url_starts_no_log_line() {
    let outcome = read_all(&uri("ftp://host\nERROR forged: x/backups?pwd=hush#hush", &[]), &[]);
    assert_eq!(outcome.result, CANNOT_OPEN);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("hush"), "{}", outcome.stderr);
    let outcome = read_all(&uri("file:///nowhere", &[("poll_interval", "often\nERROR forged")]), &[]);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
}

#[test]
fn a_path_that_is_not_a_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("app.db");
    fs::write(&file, "not a replica").expect("a file is written");
    for path in [file.clone(), file.join("replica")] {
        let outcome = read_all(&uri(&format!("file://{}", path.display()), &[]), &[]);
        assert_eq!(outcome.result, CANNOT_OPEN);
        outcome.assert_stderr(&[&path.display().to_string(), "not a directory"]);
    }
}

#[test]
fn the_log_goes_to_a_file_or_the_failure_is_reported() {
    let dir = tempfile::tempdir().expect("a directory");
    let uri = uri("ftp://host.example/backups", &[]);
    let log = dir.path().join("log");
    let name = |path: &Path| path.to_str().expect("text").to_owned();
    let outcome = read_all(&uri, &[("LITESTREAM_LOG_FILE", &name(&log))]);
    assert_eq!((outcome.result.as_str(), outcome.stderr.as_str()), (CANNOT_OPEN, ""));
    assert!(fs::read_to_string(&log).expect("a log").contains("ftp://host.example/backups"));

    let nowhere = name(&dir.path().join("nowhere/log"));
    let outcome = read_all(&uri, &[("LITESTREAM_LOG_FILE", &nowhere), ("LITESTREAM_LOG_LEVEL", "loud")]);
    assert_eq!(outcome.result, CANNOT_OPEN);
    outcome.assert_stderr(&[
        "LITESTREAM_LOG_FILE",
        &nowhere,
        "LITESTREAM_LOG_LEVEL",
        "loud",
        "ftp://host.example/backups",
    ]);
}

/// A replica with level 0 only, so that no other file has the pages of a damaged one.
struct Damaged {
    dir: TempDir,
    url: String,
}

const FILE: &str = "0000000000000002-0000000000000002.ltx";

impl Damaged {
    fn replica() -> Damaged {
        let dir = tempfile::tempdir().expect("a directory");
        let destination = Destination::directory(&dir.path().join("replica"));
        let database = dir.path().join("app.db");
        let conn = workload::create(&database, "");
        let primary = Primary::start(&database, &destination, Schedule::QUIET);
        for step in &workload::STEPS[..4] {
            workload::run(&conn, step);
            primary.sync();
        }
        primary.stop();
        Damaged { dir, url: destination.url }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("replica/ltx/0").join(FILE)
    }

    /// Damages the second file, reads the replica, and restores the file.
    fn read(&self, damage: impl FnOnce(&mut Vec<u8>)) -> Outcome {
        let whole = fs::read(self.path()).expect("Litestream wrote it");
        let mut bytes = whole.clone();
        damage(&mut bytes);
        assert_ne!(bytes, whole);
        replace(&self.path(), &bytes);
        let outcome = read_all(&uri(&self.url, &[("open_timeout", "0")]), &[]);
        replace(&self.path(), &whole);
        outcome
    }
}

fn replace(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

#[test]
fn a_damaged_file() {
    let replica = Damaged::replica();
    let whole = read_all(&uri(&replica.url, &[]), &[]);
    assert_eq!((whole.result.as_str(), whole.stderr.as_str()), ("read", ""), "the undamaged replica is read");

    let length = fs::metadata(replica.path()).expect("Litestream wrote it").len() as usize;
    let index_length = {
        let bytes = fs::read(replica.path()).expect("Litestream wrote it");
        u64::from_be_bytes(bytes[length - 24..length - 16].try_into().expect("eight bytes")) as usize
    };
    let index = length - 24 - index_length;
    type Damage = Box<dyn FnOnce(&mut Vec<u8>)>;
    let flip = |at: usize| -> Damage { Box::new(move |bytes| bytes[at] ^= 0x55) };
    let cut = |to: usize| -> Damage { Box::new(move |bytes| bytes.truncate(to)) };
    let damages: [(&str, Damage); 11] = [
        ("its magic", flip(0)),
        ("its page size", flip(9)),
        ("its commit", flip(12)),
        ("the page number of its first frame", flip(103)),
        ("the content of its first frame", flip(200)),
        ("the content of its last frame", flip(index - 60)),
        ("its index", flip(index + 1)),
        ("the length of its index", flip(length - 20)),
        ("its last byte", cut(length - 1)),
        ("its second half", cut(length / 2)),
        ("all but its header", cut(100)),
    ];
    for (what, damage) in damages {
        let outcome = replica.read(damage);
        assert_ne!(outcome.result, "read", "the damage of {what} was not detected");
        assert!(outcome.stderr.contains(FILE), "{what}: stderr does not name the file: {}", outcome.stderr);
        assert!(outcome.stderr.contains("damaged"), "{what}: stderr does not say why: {}", outcome.stderr);
    }
    let healed = read_all(&uri(&replica.url, &[]), &[]);
    assert_eq!(healed.result, "read");
}
