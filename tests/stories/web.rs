//! Replicas on web servers: WebDAV, also written by Litestream, and plain files with range requests.

use crate::stories::conformance::{Dated, REPLICA, at, check, complaint, name, names};
use crate::support::extension::connect;
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::pages::assert_same_bytes;
use crate::support::programs::wait_until;
use crate::support::web::{dav, nginx, nginx_dav};
use crate::support::{workload, written};
use litestream_vfs::ltx::Level;
use litestream_vfs::store::StoreErrorKind;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webdav_server_passes_the_conformance_tests() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = dav(dir.path());
    let store = at(&format!("webdav://replica:p%40ss@127.0.0.1:{}/{REPLICA}", server.port), |_| None);
    check(&*store, &Dated::new(dir.path().join("backups/my app"))).await;
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
