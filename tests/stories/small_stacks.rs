//! Hosts with stacks of 128 KiB, in every threading mode of SQLite.

use crate::support::extension;
use crate::support::litestream::Destination;
use crate::support::programs::run;
use crate::support::s3::S3Server;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(180);

/// Builds a host or a library with the C compiler, once for each test process.
fn compiled(output: &Path, source: &Path, options: &[&str]) {
    // Another test process may be using the existing file.
    let partial = output.with_extension(std::process::id().to_string());
    let mut compile = Command::new("cc");
    compile.args(options).arg(source).arg("-o").arg(&partial).args(["-ldl", "-lpthread"]);
    let ended = run(&mut compile, LIMIT);
    assert!(ended.status.success(), "{}", ended.stderr);
    std::fs::rename(&partial, output).expect("a file can be renamed");
}

fn plain_host() -> &'static Path {
    static HOST: OnceLock<PathBuf> = OnceLock::new();
    HOST.get_or_init(|| {
        let host = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plain-host");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts/plain_host.c");
        compiled(&host, &source, &["-Wall", "-Werror", "-O1"]);
        host
    })
}

/// Returns a SQLite that has no mutexes, from the sources that rusqlite bundles.
fn sqlite_without_mutexes() -> PathBuf {
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sqlite-without-mutexes.so");
    if library.exists() {
        return library;
    }
    let mut metadata = Command::new(env!("CARGO"));
    // The packages of other platforms were not downloaded.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    metadata
        .args(["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", &platform])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let metadata: serde_json::Value = serde_json::from_str(&run(&mut metadata, LIMIT).stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let bundled = packages.iter().find(|package| package["name"] == "libsqlite3-sys").expect("rusqlite bundles SQLite");
    let manifest = Path::new(bundled["manifest_path"].as_str().expect("a path"));
    compiled(&library, &manifest.with_file_name("sqlite3/sqlite3.c"), &["-DSQLITE_THREADSAFE=0", "-shared", "-fPIC"]);
    library
}

/// One run of `plain_host.c`.
struct PlainHost<'a> {
    sqlite: &'a Path,
    mode: &'a str,
    flags: &'a str,
    threads: usize,
}

const READ_ONLY: &str = "0x1";
const READ_WRITE: &str = "0x6";
const NO_MUTEX: &str = "0x8001";

impl PlainHost<'_> {
    /// Runs these steps on stacks of 128 KiB.
    fn steps(&self, environment: &[(&'static str, String)], steps: &[&str]) -> String {
        let mut command = Command::new(plain_host());
        command.arg(self.sqlite).args([self.mode, self.flags, "131072", &self.threads.to_string()]);
        command.arg(extension::library()).args(steps).env("LITESTREAM_LOG_LEVEL", "error");
        let ended = run(command.envs(environment.iter().cloned()), LIMIT);
        assert!(ended.status.success(), "{ended:?}");
        ended.stdout
    }
}

fn system_sqlite() -> PathBuf {
    let names = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    let found = names.iter().map(|name| Path::new(name).join("libsqlite3.so.0")).find(|path| path.exists());
    found.expect("the system has SQLite")
}

/// What is read of the sample, by all ways of reading.
const LOOKS: &[&str] = &[
    "SELECT count(*) FROM orders",
    "PRAGMA integrity_check",
    "SELECT count(*) FROM litestream_history",
    "SELECT count(*), min(ok) FROM litestream_verify",
    "SELECT count(*) > 0 FROM litestream_changes('0000000000000001')",
    "SELECT count(*) > 0 FROM litestream_diff('orders', '0000000000000001')",
    "SELECT count(*) > 0 FROM litestream_undo('orders', '0000000000000001')",
    "SELECT count(*) > 0 FROM litestream_history_of('orders', 1)",
    "SELECT litestream_wait('0000000000000001'), json_valid(litestream_status())",
    "PRAGMA litestream_txid = '0000000000000004'",
    "PRAGMA quick_check",
    "PRAGMA litestream_time = 'nonsense'",
];

#[test]
fn every_threading_mode_of_sqlite_works_on_small_stacks() {
    let (system, bare) = (system_sqlite(), sqlite_without_mutexes());
    let uri = extension::uri(&extension::sample_url(), &[("cache_size", "0"), ("disk_cache_size", "0")]);
    let steps = [&[uri.as_str()], LOOKS].concat();
    let host = |sqlite, mode, flags, threads| PlainHost { sqlite, mode, flags, threads }.steps(&[], &steps);
    let expected = host(&system, "default", READ_ONLY, 1);
    let lines: Vec<&str> = expected.lines().collect();
    assert_eq!(lines[..4], ["threadsafe 1", "632", "ok", "22"], "{expected}");
    assert_eq!(lines.len(), LOOKS.len() + 1, "{expected}");
    for (mode, flags, threads) in
        [("serialized", READ_ONLY, 4), ("multi", READ_ONLY, 4), ("default", NO_MUTEX, 4), ("single", READ_ONLY, 1)]
    {
        assert_eq!(host(&system, mode, flags, threads), expected, "{mode}, {flags}");
    }
    assert_eq!(host(&bare, "default", READ_ONLY, 1), expected.replace("threadsafe 1", "threadsafe 0"));
}

/// Writes with and without a journal, and opens replicas of every kind of store.
#[test]
fn small_stacks_suffice_for_writers_and_for_every_store() {
    let (server, dir) = (S3Server::start(), tempfile::tempdir().expect("a directory"));
    let destination = Destination::s3(&server, "app");
    let journal = dir.path().join("journal").to_str().expect("the paths of tests are text").to_owned();
    let cache = dir.path().join("cache").to_str().expect("the paths of tests are text").to_owned();
    let writes = [("write_enabled", "1"), ("compaction", "1s")];
    let written = extension::uri(&destination.url, &writes);
    let journalled = [&writes[..], &[("sync_interval", "1h"), ("buffer_path", &journal)]].concat();
    let journalled = extension::uri(&destination.url, &journalled);
    let cached = extension::uri(&destination.url, &[("cache_dir", &cache), ("hydration_enabled", "on")]);
    let fill = "WITH r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 3000) INSERT INTO t(b) SELECT randomblob(1000) FROM r";
    let steps = [
        &written,
        "CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
        fill,
        &journalled,
        "UPDATE t SET b = 'changed' WHERE a % 2",
        "VACUUM",
        "SELECT pending_transactions FROM litestream_status",
        "SELECT litestream_flush()",
        &cached,
        "SELECT count(*), count(DISTINCT b) FROM t",
        "PRAGMA integrity_check",
    ];
    let stores = [
        "https://127.0.0.1:9/p",
        "s3://bucket/p?endpoint=https://127.0.0.1:9&region=us-east-1",
        "gs://bucket/p",
        "abs://account@container/p",
        "sftp://user@127.0.0.1:9/p",
        "nats://127.0.0.1:9/bucket",
        "webdavs://127.0.0.1:9/p",
        "oss://bucket/p",
    ];
    let stores: Vec<String> = stores.iter().map(|url| extension::uri(url, &[("open_timeout", "100ms")])).collect();
    let steps: Vec<&str> = steps.into_iter().chain(stores.iter().map(String::as_str)).collect();
    let system = system_sqlite();
    let host = PlainHost { sqlite: &system, mode: "multi", flags: READ_WRITE, threads: 1 };
    let printed = host.steps(&destination.environment, &steps);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[..5], ["threadsafe 1", "2", "0000000000000003", "3000|1501", "ok"], "{printed}");
    assert_eq!(lines[5..].iter().filter(|line| line.starts_with("cannot open: ")).count(), stores.len(), "{printed}");
}
