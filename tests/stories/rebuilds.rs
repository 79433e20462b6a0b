//! The primary's database file is replaced by another one with the same schema cookie: by a nightly rebuild, a restore of a
//! backup, or a copy. Open connections must read the rows of the tables that they name.

use crate::support::extension::{connect, uri};
use crate::support::hosts::Host;
use crate::support::litestream::{Destination, Primary, Schedule, Stopped};
use crate::support::pages::{assert_whole, content};
use crate::support::programs::wait_until;
use crate::support::{bank, workload};
use litestream_vfs::ltx::Txid;
use rusqlite::{Connection, Statement};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const READ_SQL: &str = "SELECT (SELECT min(v) FROM t1) || ', ' || (SELECT max(v) FROM t2)";

const OFTEN: (&str, &str) = ("poll_interval", "50ms");

/// Creates a database with these tables, in this order. Each row contains the name of its table and the number of the build.
fn build(path: &Path, before: &str, tables: &[&str], build: u32) {
    let conn = workload::create(path, before);
    for table in tables {
        workload::run(&conn, &format!("CREATE TABLE {table} (id INTEGER PRIMARY KEY, v TEXT)"));
    }
    for table in tables {
        let rows = format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
             INSERT INTO {table} SELECT i, '{table} of build {build}' FROM n"
        );
        workload::run(&conn, &rows);
    }
    // Closing checkpoints, so that the file is complete and can be moved.
    drop(conn);
}

/// Returns the result of [`READ_SQL`] for a build.
fn seen(build: u32) -> String {
    format!("t1 of build {build}, t2 of build {build}")
}

fn read(conn: &Connection) -> String {
    conn.query_row(READ_SQL, [], |row| row.get(0)).expect("the tables can be read")
}

fn run_again(statement: &mut Statement<'_>) -> String {
    statement.query_row([], |row| row.get(0)).expect("the statement runs again")
}

fn txid(conn: &Connection) -> Txid {
    let txid: String = conn.query_row("SELECT litestream_txid()", [], |row| row.get(0)).expect("a TXID");
    txid.parse().expect("a TXID")
}

fn schema_version(conn: &Connection) -> i64 {
    conn.query_row("PRAGMA schema_version", [], |row| row.get(0)).expect("a schema version")
}

/// Whether Litestream's metadata of the database is kept when the database is replaced.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Metadata {
    Kept,
    Reset,
    Lost,
}

/// A database that is replicated on request.
struct Site {
    dir: TempDir,
    destination: Destination,
    primary: Option<Stopped>,
}

impl Site {
    /// Creates the database with `build`, and replicates it.
    fn new(build: impl FnOnce(&Path)) -> Site {
        let dir = tempfile::tempdir().expect("a directory");
        let destination = Destination::directory(&dir.path().join("replica"));
        let mut site = Site { dir, destination, primary: None };
        build(&site.database());
        let primary = Primary::start(&site.database(), &site.destination, Schedule::QUIET);
        primary.sync();
        site.primary = Some(primary.stop());
        site
    }

    fn database(&self) -> PathBuf {
        self.dir.path().join("app.db")
    }

    fn head(&self) -> Txid {
        bank::head(&self.dir.path().join("replica")).expect("the replica holds something")
    }

    /// Replaces the database by one that `build` creates, and replicates it. Returns its TXID.
    fn replace(&mut self, metadata: Metadata, build: impl FnOnce(&Path)) -> Txid {
        let (before, primary) = (self.head(), self.primary.take().expect("the primary is running"));
        let built = self.dir.path().join("built.db");
        build(&built);
        for end in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(self.dir.path().join(format!("app.db{end}")));
        }
        fs::rename(&built, self.database()).expect("the database is moved into place");
        match metadata {
            Metadata::Kept => {}
            Metadata::Reset => primary.reset(),
            Metadata::Lost => {
                fs::remove_dir_all(self.dir.path().join(".app.db-litestream")).expect("the metadata is deleted")
            }
        }
        let primary = primary.start();
        primary.sync();
        self.primary = Some(primary.stop());
        assert!(self.head() > before, "TXIDs go on");
        self.head()
    }

    /// Opens what `litestream restore` writes for a transaction.
    fn restored(&self, txid: Txid) -> Connection {
        let path = self.dir.path().join(format!("{txid}.db"));
        assert!(self.destination.restore(txid, &path), "{txid} can be restored");
        Connection::open(path).expect("a database")
    }

    fn connect(&self, parameters: &[(&str, &str)]) -> Connection {
        connect(&self.destination.url, &[&[OFTEN], parameters].concat())
    }

    /// Compares all rows of all tables with those of a restore.
    fn assert_as_restored(&self, conn: &Connection) {
        assert_eq!(content(conn), content(&self.restored(txid(conn))), "rows at {}", txid(conn));
        assert_whole(conn);
    }
}

fn wait_for(conn: &Connection, wanted: Txid) {
    wait_until("the connection sees the transaction", || txid(conn) == wanted);
}

/// The tables are created in another order, so that they exchange their root pages.
fn a_rebuilt_database_is_read_correctly(metadata: Metadata) {
    let mut site = Site::new(|path| build(path, "", &["t1", "t2"], 1));
    let first = site.head();
    let (reader, hopper) = (site.connect(&[]), site.connect(&[]));
    // Two connections that share one cache, and with it one parsed schema.
    let shared = [0, 1].map(|_| site.connect(&[("cache", "shared")]));
    let attached = Connection::open_in_memory().expect("memory");
    attached.execute("ATTACH ? AS app", [uri(&site.destination.url, &[OFTEN])]).expect("the replica is attached");
    let mut of_attached = attached.prepare("SELECT min(v) FROM app.t1").expect("a statement");
    let mut kept = reader.prepare(READ_SQL).expect("a statement");
    let mut kept_and_shared = shared.each_ref().map(|conn| conn.prepare(READ_SQL).expect("a statement"));
    assert_eq!(run_again(&mut of_attached), "t1 of build 1");
    assert_eq!((run_again(&mut kept), read(&hopper)), (seen(1), seen(1)));
    kept_and_shared.iter_mut().for_each(|statement| assert_eq!(run_again(statement), seen(1)));
    let primarys = schema_version(&Connection::open(site.database()).expect("a database"));
    assert_eq!(schema_version(&reader), primarys, "the database is not replaced yet");

    let second = site.replace(metadata, |path| build(path, "", &["t2", "t1"], 2));
    assert_eq!(schema_version(&Connection::open(site.database()).expect("a database")), primarys);
    for conn in [&reader, &hopper].into_iter().chain(&shared) {
        wait_for(conn, second);
    }
    assert_eq!(run_again(&mut kept), seen(2), "{metadata:?}");
    kept_and_shared.iter_mut().for_each(|statement| assert_eq!(run_again(statement), seen(2), "{metadata:?}"));
    wait_until("the attached replica follows", || run_again(&mut of_attached) == "t1 of build 2");
    for conn in [&reader, &hopper, &site.connect(&[])].into_iter().chain(&shared) {
        assert_eq!(read(conn), seen(2), "{metadata:?}");
        site.assert_as_restored(conn);
    }

    // To earlier transactions and back, with statements that stay prepared.
    let mut of_hopper = hopper.prepare(READ_SQL).expect("a statement");
    for _ in 0..2 {
        for (moment, number) in [(first, 1), (second, 2)] {
            let moved = hopper.query_row(&format!("PRAGMA litestream_txid = '{moment}'"), [], |_| Ok(()));
            moved.expect("the connection moves");
            assert_eq!((run_again(&mut of_hopper), txid(&hopper)), (seen(number), moment), "{metadata:?}");
            site.assert_as_restored(&hopper);
        }
    }
    assert_eq!(run_again(&mut kept), seen(2), "the other connection keeps its state");
}

#[test]
fn a_rebuilt_database_is_read_correctly_if_litestream_detects_it() {
    a_rebuilt_database_is_read_correctly(Metadata::Kept);
}

#[test]
fn a_rebuilt_database_is_read_correctly_after_a_reset() {
    a_rebuilt_database_is_read_correctly(Metadata::Reset);
}

#[test]
fn a_rebuilt_database_is_read_correctly_if_litestream_lost_its_metadata() {
    a_rebuilt_database_is_read_correctly(Metadata::Lost);
}

/// The database is replaced repeatedly: by an older copy with other changes, the output of `VACUUM INTO`, a backup, and files
/// with other page sizes.
#[test]
fn any_file_that_replaces_the_database_is_read_correctly() {
    let mut site = Site::new(|path| build(path, "", &["t1", "t2"], 1));
    let saved = site.dir.path().join("saved.db");
    fs::copy(site.database(), &saved).expect("a copy");
    let reader = site.connect(&[]);
    let shared = site.connect(&[("cache", "shared")]);
    let (mut kept, mut kept_shared) =
        (reader.prepare(READ_SQL).expect("a statement"), shared.prepare(READ_SQL).expect("a statement"));
    assert_eq!((run_again(&mut kept), run_again(&mut kept_shared)), (seen(1), seen(1)));
    let swap = "ALTER TABLE t1 RENAME TO t0; ALTER TABLE t2 RENAME TO t1; ALTER TABLE t0 RENAME TO t2;";
    let into = |path: &Path| format!("VACUUM INTO '{}'", path.display());
    let from_saved = |path: &Path, sql: &str| {
        fs::copy(&saved, path).expect("a copy");
        let conn = Connection::open(path).expect("a database");
        workload::run(&conn, sql);
    };
    let after =
        |build: &str| format!("UPDATE t1 SET v = 't1 of build {build}'; UPDATE t2 SET v = 't2 of build {build}';");
    type Build<'a> = Box<dyn Fn(&Path) + 'a>;
    let files: [(u32, Build<'_>); 5] = [
        (2, Box::new(|path| from_saved(path, &format!("{swap} {}", after("2"))))),
        // The same number of schema changes, but other tables.
        (
            3,
            Box::new(|path| {
                from_saved(path, &format!("{} CREATE TABLE t3 (x); CREATE INDEX i ON t1 (v); ANALYZE;", after("3")))
            }),
        ),
        (
            4,
            Box::new(|path| {
                let conn = Connection::open(&saved).expect("a database");
                workload::run(&conn, &format!("{} DROP TABLE IF EXISTS t3; {}", after("4"), into(path)));
            }),
        ),
        (5, Box::new(|path| build(path, "PRAGMA auto_vacuum = FULL", &["t2", "t1"], 5))),
        (1, Box::new(|path| build(path, "", &["t1", "t2"], 1))),
    ];
    for (number, build) in &files {
        let txid = site.replace(Metadata::Kept, |path| {
            build(path);
            workload::run(
                &Connection::open(path).expect("a database"),
                "PRAGMA schema_version = 7; PRAGMA journal_mode = WAL",
            );
        });
        for conn in [&reader, &shared] {
            wait_for(conn, txid);
        }
        assert_eq!((run_again(&mut kept), run_again(&mut kept_shared)), (seen(*number), seen(*number)), "{txid}");
        site.assert_as_restored(&reader);
        site.assert_as_restored(&shared);
    }
}

/// A schema of many pages, with names and definitions on interior, leaf and overflow pages.
#[test]
fn large_schemas_with_equal_cookies_are_distinguished() {
    let large = |path: &Path, number: u32| {
        let conn = workload::create(path, "PRAGMA page_size = 1024");
        workload::run(&conn, "BEGIN");
        for table in 0..400 {
            // The last two are exchanged. A few definitions are longer than a page.
            let name = match (table, number) {
                (398, 1) | (399, 2) => "t1".to_owned(),
                (399, 1) | (398, 2) => "t2".to_owned(),
                _ => format!("table_{table}"),
            };
            let columns: String =
                (0..if table % 40 == 39 { 300 } else { 3 }).map(|n| format!(", column_{n}")).collect();
            workload::run(&conn, &format!("CREATE TABLE {name} (v TEXT {columns})"));
        }
        for table in ["t1", "t2"] {
            workload::run(&conn, &format!("INSERT INTO {table} (v) VALUES ('{table} of build {number}')"));
        }
        workload::run(&conn, "COMMIT");
    };
    let mut site = Site::new(|path| large(path, 1));
    let first = site.head();
    let reader = site.connect(&[]);
    let mut kept = reader.prepare(READ_SQL).expect("a statement");
    assert_eq!(run_again(&mut kept), seen(1));
    let second = site.replace(Metadata::Kept, |path| large(path, 2));
    wait_for(&reader, second);
    assert_eq!(run_again(&mut kept), seen(2));
    for (moment, number) in [(first, 1), (second, 2)] {
        let moved = reader.query_row(&format!("PRAGMA litestream_txid = '{moment}'"), [], |_| Ok(()));
        moved.expect("the connection moves");
        assert_eq!(run_again(&mut kept), seen(number));
        site.assert_as_restored(&reader);
    }
}

/// A copy that SQLite writes has another cookie and the same rows.
#[test]
fn a_copy_of_a_replica_reads_the_same_after_a_rebuild() {
    let mut site = Site::new(|path| build(path, "", &["t1", "t2"], 1));
    let reader = site.connect(&[]);
    assert_eq!(read(&reader), seen(1));
    let second = site.replace(Metadata::Kept, |path| build(path, "", &["t2", "t1"], 2));
    wait_for(&reader, second);
    let copy = site.dir.path().join("copy.db");
    reader.execute("VACUUM INTO ?", [copy.to_str()]).expect("a copy");
    let copy = Connection::open(copy).expect("a database");
    assert_eq!(read(&copy), seen(2));
    assert_eq!(content(&copy), content(&site.restored(second)));
}

/// A forked child opens the replica itself. The database that it finds may differ from its parent's but have the same cookie.
#[test]
fn an_inherited_connection_reads_a_rebuilt_database_correctly() {
    let mut site = Site::new(|path| build(path, "", &["t1", "t2"], 1));
    let (forked, replaced) = (site.dir.path().join("forked"), site.dir.path().join("replaced"));
    let host = Host::python("fork_rebuilt.py").arg(&site.destination.url).arg(&forked).arg(&replaced);
    let host = std::thread::spawn(|| host.succeed());
    wait_until("the host has forked", || forked.exists());
    site.replace(Metadata::Kept, |path| build(path, "", &["t2", "t1"], 2));
    fs::write(replaced, "").expect("a file");
    assert_eq!(host.join().expect("the host succeeds"), "ok\n");
}
