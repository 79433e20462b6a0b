//! Web servers without listings: a manifest names the files, and newer files are requested by name.

use crate::stories::conformance::{Dated, Writer, at, check};
use crate::stories::web::txid_of;
use crate::support::extension::connect;
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::pages::{assert_same_bytes, content};
use crate::support::programs::wait_until;
use crate::support::web::{nginx, nginx_cache};
use crate::support::workload;
use async_trait::async_trait;
use litestream_vfs::ltx::{FileName, Level};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// A directory with a manifest that is updated with every file.
struct ManifestDirectory {
    files: Dated,
    root: PathBuf,
}

impl ManifestDirectory {
    fn write_manifest(&self) {
        let (mut lines, ltx) = (String::new(), self.root.join("ltx"));
        for level in ltx.read_dir().expect("a directory").flatten().filter(|entry| entry.path().is_dir()) {
            for file in level.path().read_dir().expect("a directory").flatten() {
                let (level, name) = (level.file_name(), file.file_name());
                let (level, name) = (level.to_str().expect("text"), name.to_str().expect("text"));
                // A manifest has only files with names of the format.
                if FileName::parse(name).is_some() && file.path().is_file() {
                    lines += &format!("{level}/{name} {}\n", file.metadata().map_or(0, |metadata| metadata.len()));
                }
            }
        }
        std::fs::write(self.root.join("index.new"), lines).expect("a file is written");
        std::fs::rename(self.root.join("index.new"), ltx.join("index.txt")).expect("a file gets its name");
    }
}

#[async_trait]
impl Writer for ManifestDirectory {
    async fn put(&self, level: Level, name: &str, bytes: &[u8]) {
        self.files.put(level, name, bytes).await;
        self.write_manifest();
    }

    async fn delete(&self, level: Level, name: &str) {
        self.files.delete(level, name).await;
        self.write_manifest();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_listings_passes_the_conformance_tests_by_its_manifest() {
    let dir = tempfile::tempdir().expect("a directory");
    for missing in [404, 403] {
        let server = nginx(dir.path(), &format!("location / {{ try_files $uri ={missing}; }}"));
        let store = at(&format!("http://127.0.0.1:{}/{missing}", server.port), |_| None);
        let root = dir.path().join(missing.to_string());
        std::fs::create_dir_all(root.join("ltx")).expect("a directory");
        let files = ManifestDirectory { files: Dated::new(root.clone()), root };
        files.write_manifest();
        check(&*store, &files).await;
    }
}

/// The command for a manifest in docs/backends.md.
const MAKE_A_MANIFEST: &str = "find ltx -name '*.ltx' > index.new && mv index.new ltx/index.txt";

#[test]
fn a_server_without_listings_is_followed_by_name_behind_a_permanent_cache() {
    let guide = include_str!("../../docs/backends.md");
    assert!(guide.contains(MAKE_A_MANIFEST), "docs/backends.md has the command of this test");
    let dir = tempfile::tempdir().expect("a directory");
    let (replica, log) = (dir.path().join("app"), dir.path().join("log"));
    let (directory, database) = (Destination::directory(&replica), dir.path().join("app.db"));
    let local = workload::create(&database, "");
    let primary = Primary::start(&database, &directory, Schedule::QUIET);
    workload::run(&local, workload::STEPS[0]);
    primary.sync();
    let made = Command::new("sh").args(["-c", MAKE_A_MANIFEST]).current_dir(&replica).status();
    assert!(made.expect("a shell").success());
    let manifest = std::fs::read_to_string(replica.join("ltx/index.txt")).expect("a manifest");

    // Missing files are forbidden, as in buckets without permission to list.
    let origin = nginx(dir.path(), "location / { try_files $uri =403; }");
    let cache = nginx_cache(&origin, dir.path(), &log);
    let url = format!("http://127.0.0.1:{}/app", cache.port);
    let follower = connect(&url, &[("poll_interval", "50ms")]);
    for step in &workload::STEPS[1..] {
        workload::run(&local, step);
        let newest = primary.sync().to_string();
        wait_until("the follower shows the newest state", || txid_of(&follower) >= newest);
        assert_eq!(content(&follower), content(&local));
        assert!(!manifest.contains(&newest), "the manifest does not have the newest file");
    }
    // Further polls check level 0 and the manifest, and keep the state.
    std::thread::sleep(Duration::from_secs(1));
    let status: String = follower.query_row("PRAGMA litestream_status", [], |row| row.get(0)).expect("a status");
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!((&status["state"], &status["last_error"]), (&"following".into(), &serde_json::Value::Null), "{status}");

    let (restored, newest) = (dir.path().join("restored.db"), txid_of(&follower));
    assert!(directory.restore(newest.parse().expect("a TXID"), &restored));
    assert_same_bytes(&follower, &restored);
    let late = connect(&format!("{url}/"), &[("txid", &newest)]);
    assert_same_bytes(&late, &restored);

    let asked = std::fs::read_to_string(&log).expect("a log");
    for line in asked.lines() {
        let [method, path, cache_control, if_match, status] = line.split('|').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        assert!(cache_control == "no-cache" || method == "GET" && if_match != "-", "{line}");
        assert!(["200", "206", "304", "403"].contains(&status) && path.starts_with("/app/ltx/"), "{line}");
    }
    assert!(asked.contains(&format!("GET|/app/ltx/0/{newest}-{newest}.ltx|no-cache|")), "{asked}");
}
