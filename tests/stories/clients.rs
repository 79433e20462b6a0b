//! Clients that load SQLite extensions, each in a separate process, as users run it.

use crate::support::extension::{self, connect, sample_url, uri};
use crate::support::hosts::Host;
use crate::support::litestream::Destination;
use crate::support::pages::assert_whole;
use crate::support::sample::{cities, earlier};
use rusqlite::{Connection, LoadExtensionGuard, OpenFlags};
use std::env::consts::DLL_SUFFIX;
use tempfile::TempDir;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn python_reads_and_cannot_write() {
    let dir = directory();
    assert_eq!(Host::python("basics.py").arg(sample_url()).arg(dir.path()).succeed(), "ok\n");
}

#[test]
fn python_loads_it_again_under_other_names_and_plain_connections_work() {
    let dir = directory();
    assert_eq!(Host::python("loading.py").arg(sample_url()).arg(dir.path()).succeed(), "ok\n");
}

#[test]
fn pragmas_and_functions_work_for_every_schema() {
    let dir = directory();
    assert_eq!(Host::python("pragmas.py").arg(sample_url()).arg(earlier()).arg(cities(&dir)).succeed(), "ok\n");
}

#[test]
fn python_changes_the_environment_between_connects() {
    let dir = directory();
    assert_eq!(Host::python("environment.py").arg(sample_url()).arg(cities(&dir)).succeed(), "ok\n");
}

#[test]
fn python_uses_plain_files_beside_a_replica() {
    let dir = directory();
    assert_eq!(Host::python("names.py").arg(sample_url()).arg(dir.path()).succeed(), "ok\n");
}

#[test]
fn a_replica_in_the_environment_that_cannot_open_names_the_cause_and_local_files_work() {
    let url = Destination::directory(&directory().path().join("nowhere")).url;
    let host = Host::python("unopened.py").arg(&url);
    let ended = host.env("LITESTREAM_REPLICA_URL", &url).env("LITESTREAM_OPEN_TIMEOUT", "0").run();
    assert_eq!(ended.stdout, "ok\n", "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("app.db: no backup is found at {url}")), "{}", ended.stderr);
    // And two local files that cannot be created.
    assert_eq!(ended.stderr.lines().count(), 3, "{}", ended.stderr);
}

#[test]
fn a_vfs_above_this_one_may_pass_plain_strings() {
    let dir = directory();
    assert_eq!(Host::python("shim.py").arg(sample_url()).arg(cities(&dir)).arg(dir.path()).succeed(), "ok\n");
}

#[test]
fn python_opens_with_every_option_and_flag() {
    let dir = directory();
    assert_eq!(Host::python("flags.py").arg(sample_url()).arg(cities(&dir)).succeed(), "ok\n");
}

#[test]
fn apsw_and_sqlite3_share_a_process() {
    let dir = directory();
    let new = format!("file://{}/new", dir.path().display());
    assert_eq!(Host::python("two_sqlites.py").arg(sample_url()).arg(cities(&dir)).arg(new).succeed(), "ok\n");
}

#[test]
fn better_sqlite3_opens_replicas_by_name_and_plain_databases() {
    let dir = directory();
    assert_eq!(Host::node("better_sqlite3.js").arg(dir.path()).arg(sample_url()).succeed(), "ok\n");
}

#[test]
fn sqlite3_shell_loads_it_and_opens_by_uri() {
    let dir = directory();
    let plain = dir.path().join("plain.db");
    let time = earlier();
    let printed = Host::shell()
        .arg(format!(".load {}", extension::library().display()))
        .arg(format!(".open '{}'", uri(&sample_url(), &[])))
        .arg("SELECT count(*) FROM orders; PRAGMA integrity_check; SELECT length(litestream_txid())")
        .arg("SELECT count(*) FROM customers")
        .arg(format!(".open '{}'", uri(&sample_url(), &[("time", &time)])))
        .arg("SELECT count(*) FROM orders")
        .arg(format!(".open '{}'", plain.display()))
        .arg("CREATE TABLE t (a); INSERT INTO t VALUES (7); SELECT a FROM t")
        .succeed();
    assert_eq!(printed, "632\nok\n16\n300\n400\n7\n");
}

#[test]
fn sqlite3_shell_loads_it_under_another_name_and_opens_what_the_environment_names() {
    let dir = directory();
    extension::copy_to(&dir.path().join(format!("backup-reader{DLL_SUFFIX}")));
    let printed = Host::shell()
        .within(dir.path())
        .env("LITESTREAM_REPLICA_URL", &sample_url())
        .arg(".load ./backup-reader")
        .arg(".open 'file:app.db?vfs=litestream'")
        .arg("SELECT count(*) FROM orders")
        .succeed();
    assert_eq!(printed, "632\n");
}

#[test]
fn the_header_compiles_as_c_and_cpp() {
    let header = concat!(env!("CARGO_MANIFEST_DIR"), "/include/litestream_vfs.h");
    for (compiler, language) in [("cc", "c"), ("c++", "c++")] {
        let checked = std::process::Command::new(compiler)
            .args(["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", "-x", language, header])
            .output()
            .unwrap_or_else(|error| panic!("cannot run {compiler}: {error}"));
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn rusqlite_finds_every_entry_point() {
    let conn = Connection::open_in_memory().expect("memory");
    for entry in ["sqlite3_litestreamvfs_init", "sqlite3_litestream_init", "sqlite3_extension_init"] {
        // SAFETY: the library was built from this tree, and its entry points have the signature that SQLite calls.
        unsafe {
            let _guard = LoadExtensionGuard::new(&conn).expect("extensions are allowed");
            conn.load_extension(extension::library(), Some(entry)).unwrap_or_else(|error| panic!("{entry}: {error}"));
        }
        assert_whole(&connect(&sample_url(), &[]));
    }
}

#[test]
fn rusqlite_opens_with_flags_and_a_vfs_name() {
    connect(&sample_url(), &[]);
    let uri = format!("file:replica.db?replica_url={}", sample_url());
    for access in [OpenFlags::SQLITE_OPEN_READ_ONLY, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE]
    {
        let flags = access | OpenFlags::SQLITE_OPEN_URI;
        let conn = Connection::open_with_flags_and_vfs(&uri, flags, c"litestream").expect("it opens");
        assert!(conn.is_readonly("main").expect("the main schema exists"));
        assert_whole(&conn);
    }
}

#[test]
fn rusqlite_backs_up_a_replica_into_a_file() {
    let dir = directory();
    let replica = connect(&sample_url(), &[]);
    replica.execute("VACUUM INTO ?", [dir.path().join("copy.db").to_str()]).expect("a copy is made");
    let copy = Connection::open(dir.path().join("copy.db")).expect("a plain database");
    assert_whole(&copy);
    assert_eq!(crate::support::pages::content(&copy), crate::support::pages::content(&replica));
}
