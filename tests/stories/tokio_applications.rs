//! Applications that link this library and SQLite, and use them in runtimes of tokio.

use crate::support::litestream::Destination;
use crate::support::programs::run;
use crate::support::s3::S3Server;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(180);

/// The variable that has this test be the process of an application.
const IS_APPLICATION: &str = "IS_APPLICATION_OF_TOKIO";

/// The application links this library and SQLite, and has no other tests.
#[test]
fn applications_of_tokio_use_connections_in_and_after_every_kind_of_runtime() {
    if let Some(directory) = std::env::var_os(IS_APPLICATION) {
        return application::run(Path::new(&directory));
    }
    let (server, dir) = (S3Server::start(), tempfile::tempdir().expect("a directory"));
    let destination = Destination::s3(&server, "REPLICA");
    let name = thread::current().name().expect("a test has a name").to_owned();
    let mut command = Command::new(std::env::current_exe().expect("a test knows its own path"));
    command
        .args(["--exact", &name, "--nocapture"])
        .env(IS_APPLICATION, dir.path())
        .env("REPLICA_URL", &destination.url);
    let ended = run(command.envs(destination.environment.iter().cloned()), LIMIT);
    assert!(ended.status.success() && ended.stdout.contains("1 passed"), "{ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

mod application {
    use crate::support::extension;
    use rusqlite::Connection;
    use std::path::Path;
    use tokio::runtime::{Builder, Runtime};
    use tokio::task::{LocalSet, spawn_blocking, spawn_local};

    const ROWS: i64 = 2000;
    const FILL: &str = "WITH r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 2000) INSERT INTO t SELECT n, randomblob(1000) FROM r";

    fn open(name: &str, parameters: &[(&str, &str)]) -> Connection {
        let url = std::env::var("REPLICA_URL").expect("the URL").replace("REPLICA", name);
        Connection::open(extension::uri(&url, parameters)).expect("a connection")
    }

    fn create(name: &str, parameters: &[(&str, &str)]) -> Connection {
        let db = open(name, &[&[("write_enabled", "1")], parameters].concat());
        db.execute_batch("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
            .and_then(|()| db.execute_batch(FILL))
            .expect("it is written");
        db
    }

    fn look(db: &Connection) {
        let rows: i64 = db.query_row("SELECT count(b) FROM t", [], |row| row.get(0)).expect("rows");
        let check: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
        assert_eq!((rows, check.as_str()), (ROWS, "ok"));
    }

    /// Reads from the server.
    fn read(name: &str) -> Connection {
        let db = open(name, &[("cache_size", "0"), ("disk_cache_size", "0")]);
        look(&db);
        db
    }

    fn use_in(runtime: &Runtime, number: usize, directory: &Path) -> Vec<Connection> {
        let journal = directory.join("journal").to_str().expect("the paths of tests are text").to_owned();
        let journalled = [("sync_interval", "1h"), ("buffer_path", journal.as_str()), ("cache_size", "16KB")];
        let (name, other) = (format!("{number}"), format!("{number}-journal"));
        runtime.block_on(async {
            let mut kept = vec![create(&name, &[]), create(&other, &journalled)];
            kept.iter().for_each(look);
            kept.push(read(&name));
            let [one, two] = [(); 2].map(|()| name.clone());
            kept.push(tokio::spawn(async move { read(&one) }).await.expect("a task"));
            kept.push(spawn_blocking(move || read(&two)).await.expect("a task"));
            let three = name.clone();
            let local = LocalSet::new();
            drop(local.run_until(async move { spawn_local(async move { read(&three) }).await }).await.expect("a task"));
            kept
        })
    }

    pub fn run(directory: &Path) {
        litestream_vfs::register().expect("the VFS is registered");
        let current_thread = Builder::new_current_thread().enable_all().build();
        let multi_thread = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        for (number, runtime) in [current_thread, multi_thread].into_iter().enumerate() {
            let runtime = runtime.expect("a runtime");
            let kept = use_in(&runtime, number, directory);
            if number == 0 {
                drop(runtime)
            } else {
                runtime.shutdown_background()
            }
            kept.iter().for_each(look);
            kept[1]
                .execute_batch("UPDATE t SET b = 'after' WHERE a = 1; SELECT litestream_flush()")
                .expect("it is written");
            drop(kept);
            look(&read(&format!("{number}-journal")));
        }
    }
}
