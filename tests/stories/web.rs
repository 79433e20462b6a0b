//! Replicas on web servers: WebDAV, also written by Litestream, and plain files with range requests.

use crate::stories::conformance::{Dated, REPLICA, at, check, complaint, name, names, speak_tls};
use crate::stories::creation;
use crate::support::extension::connect;
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::lossy::LossyProxy;
use crate::support::pages::assert_same_bytes;
use crate::support::programs::wait_until;
use crate::support::recorder::Recorder;
use crate::support::web::{dav, nginx, nginx_dav, nginx_dav_with_locks};
use crate::support::{workload, written};
use bytes::Bytes;
use litestream_vfs::ltx::{FileName, Level};
use litestream_vfs::store::{Creation, ObjectName, Store, StoreErrorKind, probe_create};
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webdav_server_passes_the_conformance_tests() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = dav(dir.path());
    let store = at(&format!("webdav://replica:p%40ss@127.0.0.1:{}/{REPLICA}", server.port), |_| None);
    check(&*store, &Dated::new(dir.path().join("backups/my app"))).await;
    creation::check(&store).await;
}

/// Returns a replica on a WebDAV server of the tests.
fn dav_store(port: u16) -> Arc<dyn Store> {
    at(&format!("webdav://replica:p%40ss@127.0.0.1:{port}/backups/app"), |_| None)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_created_in_one_step_on_a_webdav_server_with_locks() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("root");
    std::fs::create_dir(&root).expect("a directory");
    let server = nginx_dav_with_locks(&root, &dir.path().join("passwords"));
    let store = dav_store(server.port);
    // Not all requirements, because nginx creates no empty files.
    creation::has_one_winner(&store, Level::ZERO).await;
    probe_create(&*store).await.expect("one creator wins");
    for level in root.join("backups/app/ltx").read_dir().expect("levels").flatten() {
        for file in level.path().read_dir().expect("files").flatten() {
            let name = file.file_name().into_string().expect("a name");
            assert!(FileName::parse(&name).is_some() || name == ".lock", "{name} was left");
        }
    }
}

#[tokio::test]
async fn a_webdav_server_without_sufficient_locks_is_read_only() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("root");
    std::fs::create_dir(&root).expect("a directory");
    let nginx = nginx_dav(&root, &dir.path().join("passwords"));
    // What Apache 2.4.71 sends.
    let apache = responding("200 OK\r\nDAV: 1,2\r\nDAV: <http://apache.org/dav/propset/fs/1>", "");
    let pretender = responding("200 OK\r\nDAV: 1, 2", "200 OK\r\nLock-Token: <urn:any>");
    for (port, cause) in [
        (nginx.port, "it has no locks (class 2 of WebDAV; in nginx, dav_ext_lock enables them), so two writers could"),
        (apache.port(), "Apache's mod_dav_fs can grant one lock to two clients"),
        (pretender.port(), "it grants one lock to two clients, so two writers could overwrite each other's files"),
    ] {
        let error = probe_create(&*dav_store(port)).await.expect_err("it is not written");
        assert_eq!(error.kind(), StoreErrorKind::ReadOnly);
        let expected = format!("http://127.0.0.1:{port} can only be read, because {cause}");
        assert!(error.to_string().contains(&expected), "{error}");
        let file = ObjectName::File(Level::ZERO, name(1, 1));
        let error = dav_store(port).create(file, Bytes::new()).await.expect_err("it is not written");
        assert_eq!(error.kind(), StoreErrorKind::ReadOnly);
    }
    for requests in [apache.take(), pretender.take()] {
        assert!(!requests.is_empty() && requests.iter().all(|request| request.method != "PUT"), "{requests:?}");
    }
}

/// Starts a server with these responses to LOCK and to all other requests.
fn responding(others: &'static str, lock: &'static str) -> Recorder {
    Recorder::start(move |request| (if request.method == "LOCK" { lock } else { others }, String::new()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_exists_after_the_response_to_its_move_was_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = dav(dir.path());
    let proxy = LossyProxy::start(server.port, "MOVE /backups/app/ltx/0/");
    let (through, direct) = (dav_store(proxy.port), dav_store(server.port));
    creation::check_lost_response(&*through, || proxy.has_lost(), &*direct).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_of_another_client_is_awaited() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = dav(dir.path());
    let store = dav_store(server.port);
    let create = |txid| store.create(ObjectName::File(Level::ZERO, name(txid, txid)), Bytes::from_static(b"file"));
    assert_eq!(create(1).await.expect("it is created"), Creation::Created);

    speak_tls();
    let client = reqwest::Client::new();
    let url = format!("http://127.0.0.1:{}/backups/app/ltx/0/.lock", server.port);
    let send = |method: &str, token: &str, body: &'static str| {
        let request = client.request(method.parse().expect("a method"), &url).basic_auth("replica", Some("p@ss"));
        request.header("depth", "0").header("lock-token", token).body(body).send()
    };
    let body = "<D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>";
    let lock = send("LOCK", "", body).await.expect("a response");
    let token = lock.headers()["lock-token"].to_str().expect("text").to_owned();
    let error = create(2).await.expect_err("the lock is held");
    assert_eq!(error.kind(), StoreErrorKind::Unreachable);
    let text = error.to_string();
    assert!(text.contains("the lock of ltx/0/.lock has been held for 10 seconds by another client, or "), "{text}");

    assert!(send("UNLOCK", &token, "").await.expect("a response").status().is_success());
    assert_eq!(create(2).await.expect("it is created"), Creation::Created);
    assert_eq!(names(&*store, Level::ZERO, 0).await, [name(1, 1), name(2, 2)]);
    let left: Vec<_> = dir.path().join("backups/app/ltx/0").read_dir().expect("files").flatten().collect();
    assert_eq!(left.len(), 3, "the files and the locked one: {left:?}");
}

#[tokio::test]
async fn a_webdav_server_requires_credentials() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = dav(dir.path());
    let base = format!("127.0.0.1:{}/app", server.port);
    let from_the_environment = |name: &str| match name {
        "LITESTREAM_WEBDAV_USERNAME" => Some("replica".into()),
        "LITESTREAM_WEBDAV_PASSWORD" => Some("p@ss".into()),
        _ => None,
    };
    assert_eq!(names(&*at(&format!("webdav://{base}"), from_the_environment), Level::ZERO, 0).await, []);
    for wrong in [format!("webdav://{base}"), format!("webdav://replica:hush@{base}")] {
        let (kind, text) = complaint(&wrong, |_| None).await;
        assert_eq!(kind, StoreErrorKind::Denied);
        assert!(text.contains(&format!("http://127.0.0.1:{} denies access (401", server.port)), "{text}");
    }
}

#[test]
fn a_webdav_replica_equals_its_restores() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("root");
    std::fs::create_dir(&root).expect("a directory");
    let server = nginx_dav(&root, &dir.path().join("passwords"));
    let url = format!("webdav://replica:p%40ss@127.0.0.1:{}/app", server.port);
    let destination = Destination { url, environment: Vec::new() };
    written::replicate_workload(&destination);
    let stderr = written::assert_served_as_restored(&destination, &destination);
    assert!(stderr.contains("user and password are sent unencrypted") && !stderr.contains("p%40ss"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_web_server_with_ranges_passes_the_conformance_tests() {
    let dir = tempfile::tempdir().expect("a directory");
    for (index, replica) in [("autoindex on;", "backups/my app"), ("autoindex on; autoindex_format json;", "json")] {
        let server = nginx(dir.path(), index);
        let path = replica.replace(' ', "%20");
        let store = at(&format!("http://127.0.0.1:{}/{path}/", server.port), |_| None);
        check(&*store, &Dated::new(dir.path().join(replica))).await;
    }
}

#[tokio::test]
async fn an_unsuitable_web_server_is_reported_with_what_it_lacks() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(dir.path().join("app/ltx/0")).expect("a directory");
    let server = nginx(dir.path(), "");
    let (kind, text) = complaint(&format!("http://127.0.0.1:{}/app", server.port), |_| None).await;
    assert_eq!(kind, StoreErrorKind::Config);
    let lacks = "does not list directories; enable directory listings, or put a list of the files into ltx/index.txt";
    assert!(text.ends_with(lacks), "{text}");
    let (kind, text) = complaint("http://127.0.0.1:1/app", |_| None).await;
    assert_eq!(kind, StoreErrorKind::Unreachable);
    assert!(text.starts_with("http://127.0.0.1:1/app: cannot reach http://127.0.0.1:1: "), "{text}");

    std::fs::write(dir.path().join("app/ltx/index.txt"), format!("0/{}", name(1, 1))).expect("a file is written");
    std::fs::write(dir.path().join("page.html"), "<html>Welcome</html>").expect("a file is written");
    let server = nginx(dir.path(), "location / { try_files $uri /page.html; }");
    let (kind, text) = complaint(&format!("http://127.0.0.1:{}/app", server.port), |_| None).await;
    assert_eq!(kind, StoreErrorKind::Config);
    assert!(text.ends_with("returns a page for a file that does not exist; it must return status 404"), "{text}");
    std::fs::remove_file(dir.path().join("app/ltx/index.txt")).expect("a file is deleted");

    let large = dir.path().join("app/ltx/9");
    std::fs::create_dir_all(&large).expect("a directory");
    std::fs::write(large.join(name(1, 1).to_string()), vec![0; 17 << 20]).expect("a file is written");
    std::fs::write(large.join(name(1, 2).to_string()), vec![7; 1 << 20]).expect("a file is written");
    let server = nginx(dir.path(), "autoindex on; max_ranges 0;");
    let store = at(&format!("http://127.0.0.1:{}/app", server.port), |_| None);
    let error = store.read(Level::SNAPSHOT, name(1, 1), 5..9, None).await.expect_err("the response has the whole file");
    assert_eq!(error.kind(), StoreErrorKind::Config);
    assert!(error.to_string().ends_with("it must support range requests"), "{error}");
    let chunk = store.read(Level::SNAPSHOT, name(1, 2), 5..9, None).await.expect("a part of a small file");
    assert_eq!((&chunk.bytes[..], chunk.file_size), (&[7u8; 4][..], 1 << 20));
}

#[test]
fn a_replica_on_a_plain_web_server_equals_its_restores() {
    let dir = tempfile::tempdir().expect("a directory");
    let directory = Destination::directory(&dir.path().join("app"));
    written::replicate_workload(&directory);
    let server = nginx(dir.path(), "autoindex on;");
    let destination = Destination { url: format!("http://127.0.0.1:{}/app", server.port), environment: Vec::new() };
    assert_eq!(written::assert_served_as_restored(&destination, &directory), "");
}

pub(super) fn txid_of(conn: &rusqlite::Connection) -> String {
    conn.query_row("PRAGMA litestream_txid", [], |row| row.get(0)).expect("a view has a TXID")
}

#[test]
fn a_half_written_newest_file_over_webdav_is_awaited() {
    let dir = tempfile::tempdir().expect("a directory");
    let (whole, database) = (Destination::directory(&dir.path().join("whole")), dir.path().join("app.db"));
    let conn = workload::create(&database, "");
    let primary = Primary::start(&database, &whole, Schedule::QUIET);
    for step in &workload::STEPS[..4] {
        workload::run(&conn, step);
        primary.sync();
    }
    primary.stop();
    let (from, to) = (dir.path().join("whole/ltx/0"), dir.path().join("root/app/ltx/0"));
    std::fs::create_dir_all(&to).expect("a directory is made");
    let server = dav(&dir.path().join("root"));
    let url = format!("webdav://replica:p%40ss@127.0.0.1:{}/app", server.port);
    let mut follower: Option<(rusqlite::Connection, String)> = None;
    for txid in whole.txids() {
        let name = format!("{txid}-{txid}.ltx");
        let bytes = std::fs::read(from.join(&name)).expect("Litestream wrote it");
        let half = bytes.len() / 2;
        // The server creates the file when a PUT begins, and appends to it.
        std::fs::write(to.join(&name), &bytes[..half]).expect("half of it is written");
        if let Some((conn, before)) = &follower {
            let status =
                || -> String { conn.query_row("PRAGMA litestream_status", [], |row| row.get(0)).expect("a status") };
            wait_until("the half-written file is noticed", || status().contains(&format!("{name} at level 0")));
            assert!(status().contains("is waited for") && status().contains("\"state\":\"following\""), "{}", status());
            assert_eq!(txid_of(conn), *before);
        }
        let mut file = std::fs::File::options().append(true).open(to.join(&name)).expect("it is there");
        std::io::Write::write_all(&mut file, &bytes[half..]).expect("the rest is written");
        let (conn, before) =
            follower.get_or_insert_with(|| (connect(&url, &[("poll_interval", "50ms")]), String::new()));
        wait_until("the complete file is applied", || txid_of(conn) == txid.to_string());
        *before = txid.to_string();
    }
    let (conn, newest) = follower.expect("a follower");
    let restored = dir.path().join("restored.db");
    assert!(whole.restore(newest.parse().expect("a TXID"), &restored));
    assert_same_bytes(&conn, &restored);
}
