//! Replicas on SSH servers, also written by Litestream.

use crate::stories::conformance::{Dated, Directory, Writer, at, check, complaint, content, name, names};
use crate::stories::creation;
use crate::support::litestream::Destination;
use crate::support::ssh::{Agent, OpenSsh, PASSWORD, PasswordSsh, USER, fingerprint, make_key, public_line};
use crate::support::written;
use litestream_vfs::ltx::Level;
use litestream_vfs::store::{Store, StoreErrorKind};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Returns the URL of a replica below the start directory, with the key of the user and the host key.
fn url(server: &OpenSsh, path: &str, parameters: &str) -> String {
    let (user, port, key) = (&server.user, server.port, server.key.display());
    let host_key = encoded(&public_line(&server.host_key));
    format!("sftp://{user}@127.0.0.1:{port}/{path}?key-path={key}&host-key={host_key}{parameters}")
}

fn nothing(_: &str) -> Option<OsString> {
    None
}

fn store_of(server: &OpenSsh, path: &str) -> Arc<dyn Store> {
    at(&url(server, path, ""), nothing)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssh_passes_the_conformance_tests_over_one_connection() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = OpenSsh::start(dir.path());
    let store = store_of(&server, "backups/my%20app");
    assert_eq!(names(&*store, Level::ZERO, 0).await, [], "a missing directory");
    let root = dir.path().join("backups/my app");
    std::fs::create_dir_all(&root).expect("a directory is made");
    check(&*store, &Dated::new(root)).await;
    creation::check(&store).await;
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn paths_are_absolute_or_relative_to_the_start_of_the_session() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = OpenSsh::start(dir.path());
    Directory(dir.path().join("app")).put(Level::ZERO, &name(1, 1).to_string(), b"file").await;
    for path in ["app".to_owned(), dir.path().join("app").display().to_string()] {
        let store = store_of(&server, path.trim_start_matches('/'));
        assert_eq!(names(&*store, Level::ZERO, 0).await, [name(1, 1)], "{path}");
    }
}

#[tokio::test]
async fn a_replica_of_litestream_0_3_is_recognized() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = OpenSsh::start(dir.path());
    let store = store_of(&server, "app");
    assert!(!store.holds_older_format().await.expect("a missing directory"));
    std::fs::create_dir(dir.path().join("app")).expect("a directory is made");
    assert!(!store.holds_older_format().await.expect("an empty directory"));
    std::fs::create_dir(dir.path().join("app/generations")).expect("a directory is made");
    assert!(store.holds_older_format().await.expect("its directory"));
}

#[tokio::test]
async fn links_are_followed_and_a_long_listing_is_complete() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = OpenSsh::start(dir.path());
    let directory = Directory(dir.path().join("app"));
    for txid in 1..=700 {
        directory.put(Level::ZERO, &name(txid, txid).to_string(), b"file").await;
    }
    let link = |to: String, txid| {
        let path = directory.path(Level::ZERO, &name(txid, txid).to_string());
        std::os::unix::fs::symlink(to, path).expect("a link");
    };
    link("nowhere".to_owned(), 701);
    link(name(1, 1).to_string(), 702);
    link(name(703, 703).to_string(), 703);
    let store = store_of(&server, "app");
    let expected: Vec<_> = (1..=700).chain([702]).map(|txid| name(txid, txid)).collect();
    assert_eq!(names(&*store, Level::ZERO, 0).await, expected);
}

#[tokio::test]
async fn a_large_file_is_read_and_a_broken_connection_replaced() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = OpenSsh::start(dir.path());
    let whole = content(5_000_000, 3);
    Directory(dir.path().join("app")).put(Level::SNAPSHOT, &name(1, 9).to_string(), &whole).await;
    let store = store_of(&server, "app");
    for connections in 1..=3 {
        let chunk = store.read(Level::SNAPSHOT, name(1, 9), 0..u64::MAX, None).await.expect("a file");
        assert!(chunk.bytes == whole, "{} bytes", chunk.bytes.len());
        assert_eq!(server.accepted(), connections);
        server.cut();
    }
}

#[tokio::test]
async fn a_server_with_an_unknown_key_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = OpenSsh::start(dir.path());
    let base = format!("sftp://{}@127.0.0.1:{}/app?key-path={}", server.user, server.port, server.key.display());
    let home = dir.path().join("home");
    std::fs::create_dir_all(home.join(".ssh")).expect("a directory is made");
    let print = fingerprint(&server.host_key);
    let at_home = |name: &str| (name == "HOME").then(|| home.clone().into_os_string());
    let know = |line: &str| std::fs::write(home.join(".ssh/known_hosts"), line).expect("a file is written");

    let (kind, text) = complaint(&base, at_home).await;
    assert_eq!(kind, StoreErrorKind::Config);
    let unknown = format!("the host key {print} of [127.0.0.1]:{} is not in known_hosts", server.port);
    assert!(text.contains(&unknown) && text.ends_with(&format!("add host-key={print} to the URL")), "{text}");

    let other = dir.path().join("other");
    make_key("ed25519", "", &other);
    know(&format!("[127.0.0.1]:{} {}\n", server.port, public_line(&other)));
    let (kind, text) = complaint(&base, at_home).await;
    assert_eq!(kind, StoreErrorKind::Config);
    assert!(text.contains(&print) && text.contains("known_hosts contains another key"), "{text}");
    let (_, text) = complaint(&format!("{base}&host-key={}", encoded(&fingerprint(&other))), nothing).await;
    assert!(text.contains(&print) && text.contains("does not match host-key"), "{text}");

    assert_eq!(names(&*at(&format!("{base}&host-key={print}"), nothing), Level::ZERO, 0).await, []);
    assert_eq!(names(&*at(&format!("{base}&insecure-host-key=true"), nothing), Level::ZERO, 0).await, []);
    know(&format!("[127.0.0.1]:{} {}\n", server.port, public_line(&server.host_key)));
    assert_eq!(names(&*at(&base, at_home), Level::ZERO, 0).await, [], "known_hosts has the key");
}

#[tokio::test]
async fn encrypted_keys_need_their_passphrase_and_unknown_keys_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = OpenSsh::start(dir.path());
    let with_key = |key: &Path, parameters: &str| {
        url(&server, "app", parameters).replace(&server.key.display().to_string(), &key.display().to_string())
    };
    for kind in ["rsa", "ecdsa"] {
        let key = dir.path().join(kind);
        make_key(kind, "hush", &key);
        server.authorize(&key);
        let store = at(&with_key(&key, "&key-passphrase=hush"), nothing);
        assert_eq!(names(&*store, Level::ZERO, 0).await, [], "{kind}");
        for (passphrase, clause) in
            [("", "is encrypted; set key-passphrase"), ("&key-passphrase=x", "cannot decrypt the key")]
        {
            let (kind, text) = complaint(&with_key(&key, passphrase), nothing).await;
            assert_eq!(kind, StoreErrorKind::Config);
            assert!(text.contains(clause), "{text}");
        }
    }
    let stranger = dir.path().join("stranger");
    make_key("ed25519", "", &stranger);
    let (kind, text) = complaint(&with_key(&stranger, ""), nothing).await;
    assert_eq!(kind, StoreErrorKind::Denied);
    assert!(text.contains(&format!("rejects user {} with the key {}", server.user, stranger.display())), "{text}");
    let (kind, text) = complaint(&with_key(Path::new("/no/such/key"), ""), nothing).await;
    assert_eq!(kind, StoreErrorKind::Config);
    assert!(text.contains("cannot read the key /no/such/key"), "{text}");
}

#[tokio::test]
async fn a_key_in_the_agent_authenticates() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = OpenSsh::start(dir.path());
    let (home, host_key) = (dir.path().join("home"), encoded(&public_line(&server.host_key)));
    std::fs::create_dir(&home).expect("a directory is made");
    let base = format!("sftp://{}@127.0.0.1:{}/app?host-key={host_key}", server.user, server.port);
    for kind in ["ed25519", "rsa", "ecdsa"] {
        let agent = Agent::start();
        let variable = |name: &str| match name {
            "SSH_AUTH_SOCK" => Some(agent.socket.clone().into_os_string()),
            "HOME" => Some(home.clone().into_os_string()),
            _ => None,
        };
        let (stranger, key) = (dir.path().join(format!("stranger-{kind}")), dir.path().join(format!("own-{kind}")));
        make_key("ed25519", "", &stranger);
        make_key(kind, "", &key);
        agent.take(&stranger);
        let (denied, text) = complaint(&base, variable).await;
        assert_eq!(denied, StoreErrorKind::Denied);
        assert!(text.contains(&format!("rejects user {} with the keys of the agent", server.user)), "{text}");
        server.authorize(&key);
        agent.take(&key);
        assert!(!key.exists());
        assert_eq!(names(&*at(&base, variable), Level::ZERO, 0).await, [], "{kind}");
    }
}

#[tokio::test]
async fn a_password_authenticates_directly_or_in_a_dialogue_and_is_never_shown() {
    let dir = tempfile::tempdir().expect("a directory");
    for by_dialogue in [false, true] {
        let server = PasswordSsh::start(by_dialogue);
        let url = format!("{}?insecure-host-key=true", server.url(dir.path()));
        let store = at(&url, nothing);
        assert_eq!(names(&*store, Level::ZERO, 0).await, []);
        for shown in [format!("{store}"), format!("{store:?}")] {
            assert!(!shown.contains(PASSWORD) && !shown.contains("p%40ss"), "{shown}");
        }
        let without = format!("sftp://{USER}@127.0.0.1:{}{}?insecure-host-key=1", server.port, dir.path().display());
        let password = |name: &str| (name == "LITESTREAM_SFTP_PASSWORD").then(|| PASSWORD.into());
        assert_eq!(names(&*at(&without, password), Level::ZERO, 0).await, [], "from the environment");
        let (kind, text) = complaint(&url.replace("p%40ss", "hush"), nothing).await;
        assert_eq!(kind, StoreErrorKind::Denied);
        assert!(text.contains("rejects user replica with the password"), "{text}");
    }
}

#[tokio::test]
async fn unreadable_files_and_absent_servers_are_reported() {
    let (kind, text) = complaint("sftp://me@127.0.0.1:1/app?insecure-host-key=1", nothing).await;
    assert_eq!(kind, StoreErrorKind::Unreachable);
    assert!(text.starts_with("sftp://me@127.0.0.1:1/app: cannot connect to [127.0.0.1]:1: "), "{text}");

    let dir = tempfile::tempdir().expect("a directory");
    let server = OpenSsh::start(dir.path());
    std::fs::write(dir.path().join("file"), b"").expect("a file is written");
    let (kind, text) = complaint(&url(&server, "file", ""), nothing).await;
    assert_eq!(kind, StoreErrorKind::Config);
    assert!(text.ends_with("/file: it is a file, not a directory"), "{text}");
    let missing = store_of(&server, "nowhere").read(Level::ZERO, name(1, 1), 0..1, None).await;
    assert_eq!(missing.expect_err("no file").kind(), StoreErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_exists_after_the_response_to_its_link_was_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let (lossy, server) = (PasswordSsh::start_lossy("hardlink@openssh.com"), PasswordSsh::start(false));
    let [through, direct] =
        [&lossy, &server].map(|server| at(&format!("{}?insecure-host-key=true", server.url(dir.path())), nothing));
    creation::check_lost_response(&*through, || lossy.has_lost(), &*direct).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn litestream_finds_the_times_of_files_on_an_sftp_server() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = PasswordSsh::start(false);
    let destination = Destination { url: server.url(&dir.path().join("replica")), environment: Vec::new() };
    creation::check_times(&*at(&format!("{}?insecure-host-key=true", destination.url), nothing), &destination).await;
}

#[test]
fn an_sftp_replica_equals_its_restores() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = PasswordSsh::start(false);
    let destination = Destination { url: server.url(&dir.path().join("replica")), environment: Vec::new() };
    written::replicate_workload(&destination);
    let reading = Destination { url: format!("{}?insecure-host-key=true", destination.url), ..destination.clone() };
    let log = written::assert_served_as_restored(&reading, &destination);
    assert!(log.contains("was not verified, because insecure-host-key=true is set"), "{log}");
}
