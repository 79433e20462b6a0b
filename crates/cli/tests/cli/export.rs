//! `export`: the file is complete, or it does not exist.

use crate::support::programs::{Ended, run, wait_until};
use crate::support::replica::{Replica, dump};
use crate::support::store::Store;
use crate::support::{LIMIT, ended, failure, interruptible, query, send};
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const SCHEMA: &str = "
    PRAGMA user_version = 42; PRAGMA application_id = 7;
    CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE, photo BLOB, age REAL);
    CREATE INDEX people_by_name ON people (name);
    CREATE TABLE words (word TEXT PRIMARY KEY, meaning ANY) STRICT, WITHOUT ROWID;
    CREATE VIRTUAL TABLE notes USING fts5 (title, body);
    CREATE VIEW elders AS SELECT name FROM people WHERE age > 60;
    CREATE TRIGGER rename AFTER UPDATE OF name ON people BEGIN INSERT INTO notes VALUES (new.name, old.name); END;
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
    INSERT INTO people SELECT i, 'person ' || i, randomblob(i * 20), i / 7.0 FROM n;
    INSERT INTO words SELECT hex(id), name FROM people;";

/// Exports with these arguments, and returns what is written to stderr.
fn export(arguments: &[&str]) -> String {
    let Ended { status, stdout, stderr } = ended(&[&["export"], arguments].concat());
    assert!(status.success() && stdout.is_empty(), "{arguments:?}: {stdout}{stderr}");
    stderr
}

/// Returns the names of the files in a directory.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = directory
        .read_dir()
        .expect("a directory")
        .flatten()
        .map(|entry| entry.file_name().into_string().expect("text"))
        .collect();
    names.sort();
    names
}

/// Asserts that two dumps are equal. Shows only the first difference.
fn assert_same(copy: &[String], restored: &[String]) {
    let difference = copy.iter().zip(restored).find(|(one, other)| one != other);
    assert!(difference.is_none() && copy.len() == restored.len(), "{difference:?}");
}

#[test]
fn an_export_has_the_content_of_the_restore_of_the_same_state() {
    let replica = Replica::new(SCHEMA);
    replica.commit("UPDATE people SET name = name || ' the elder' WHERE age > 60; DELETE FROM words WHERE word < '34'");
    let newest = replica.argument("newest.db");
    let written = export(&[&replica.url, &newest]);
    assert!(written.contains("TXID 0000000000000002, 20"), "{written}");
    assert_same(&dump(Path::new(&newest)), &dump(&replica.restore(&[], "restored.db")));

    let first = replica.argument("first.db");
    let written = export(&[&replica.url, &first, "--txid", "0000000000000001"]);
    assert!(written.contains("TXID 0000000000000001, 20"), "{written}");
    let restored = dump(&replica.restore(&["-txid", "0000000000000001"], "restored-first.db"));
    assert_same(&dump(Path::new(&first)), &restored);
    assert!(restored != dump(Path::new(&newest)));
}

#[test]
fn an_existing_file_is_replaced_only_with_force() {
    let replica = Replica::new("CREATE TABLE t (x); INSERT INTO t VALUES (1)");
    let file = replica.argument("copy.db");
    fs::write(&file, "mine").expect("a file is written");
    let reason = failure(&["export", &replica.url, &file], 1);
    assert_eq!(reason, format!("error: {file} exists; --force replaces it\n"));
    assert_eq!(fs::read(&file).expect("a file"), b"mine");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o620)).expect("permissions");
    export(&[&replica.url, &file, "--force"]);
    assert!(dump(Path::new(&file)).contains(&"INSERT INTO t VALUES(1);".to_owned()));
    let mode = fs::metadata(&file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o620, "it has the permissions of the file that it replaces");
}

#[test]
fn force_replaces_no_device_no_pipe_and_no_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).to_str().expect("text").to_owned();
    let (pipe, link) = (path("pipe"), path("link"));
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo starts").success());
    symlink("pipe", &link).expect("a link");
    for file in [&pipe, &link, "/dev/null", &path("")] {
        // Not even the replica is opened.
        let reason = failure(&["export", "file:///nonexistent", file, "--force"], 1);
        assert_eq!(reason, format!("error: {file} is not a regular file\n"));
    }
    assert!(fs::metadata(&pipe).expect("it is there").file_type().is_fifo());
}

#[test]
fn force_replaces_the_file_that_a_link_names() {
    let replica = Replica::new("CREATE TABLE t (x); INSERT INTO t VALUES (1)");
    fs::create_dir(replica.path("target")).expect("a directory");
    let (file, link) = (replica.argument("target/copy.db"), replica.argument("link.db"));
    symlink("target/copy.db", &link).expect("a link");
    // The link names no file yet.
    let reason = failure(&["export", &replica.url, &link, "--force"], 1);
    assert!(reason.starts_with(&format!("error: cannot write {link}: ")), "{reason}");
    fs::write(&file, "mine").expect("a file is written");
    assert_eq!(failure(&["export", &replica.url, &link], 1), format!("error: {link} exists; --force replaces it\n"));
    // SQLite looks for the journal next to the file, too.
    let journal = format!("{file}-journal");
    fs::write(&journal, "of another database").expect("a file is written");
    let reason = failure(&["export", &replica.url, &link, "--force"], 1);
    assert!(reason.contains(&format!("{journal} exists, and SQLite would apply it")), "{reason}");
    fs::remove_file(&journal).expect("it is there");
    export(&[&replica.url, &link, "--force"]);
    assert_eq!(fs::read_link(&link).expect("a link"), Path::new("target/copy.db"));
    assert_eq!(names(&replica.path("target")), ["copy.db"]);
    assert!(dump(Path::new(&file)).contains(&"INSERT INTO t VALUES(1);".to_owned()));
}

#[test]
fn a_journal_of_an_earlier_database_is_not_applied_to_an_export() {
    let replica = Replica::new("CREATE TABLE t (x)");
    for suffix in ["-wal", "-journal"] {
        let file = replica.argument("copy.db");
        let journal = replica.argument(&format!("copy.db{suffix}"));
        fs::write(&journal, "of another database").expect("a file is written");
        let reason = failure(&["export", &replica.url, &file, "--force"], 1);
        assert_eq!(reason, format!("error: {journal} exists, and SQLite would apply it to {file}; delete it first\n"));
        assert!(!Path::new(&file).exists());
        fs::remove_file(&journal).expect("it is there");
    }
}

#[test]
fn a_failed_export_leaves_nothing() {
    let replica = Replica::new("CREATE TABLE t (x)");
    let target = replica.path("target");
    fs::create_dir(&target).expect("a directory");
    let file = replica.argument("target/copy.db");
    failure(&["export", "file:///nonexistent", &file], 1);
    failure(&["export", &replica.url, &file, "--at", "2001-01-01"], 1);
    assert_eq!(names(&target), [""; 0]);
    let missing = failure(&["export", &replica.url, &replica.argument("missing/copy.db")], 1);
    assert!(missing.contains("missing/copy.db"), "{missing}");
}

#[test]
fn a_directory_that_cannot_be_opened_is_noticed_before_the_file_has_its_name() {
    let replica = Replica::new("CREATE TABLE t (x)");
    let target = replica.path("target");
    let allow = |mode| fs::set_permissions(&target, fs::Permissions::from_mode(mode)).expect("permissions are set");
    fs::create_dir(&target).expect("a directory");
    allow(0o300);
    let mut export = query(&["export", &replica.url, &replica.argument("target/copy.db")]);
    if target.read_dir().is_ok() {
        // Root may open every directory.
        let mut limited = Command::new("setpriv");
        limited.arg("--bounding-set=-dac_override,-dac_read_search").arg(export.get_program()).args(export.get_args());
        export = limited;
    }
    let ended = run(&mut export, LIMIT);
    allow(0o700);
    assert_eq!((ended.status.code(), names(&target)), (Some(1), Vec::new()), "{ended:?}");
    assert!(ended.stderr.starts_with("error: cannot write ") && ended.stderr.contains("copy.db: "), "{ended:?}");
}

/// Starts an export that waits for the store.
fn stalled(replica: &Replica, store: &Store) -> Child {
    fs::create_dir(replica.path("target")).expect("a directory");
    let mut export = interruptible(&["export", &store.url(), &replica.argument("target/copy.db")]);
    let child = store.credentials(&mut export).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    store.wait_until_stalled();
    wait_until("the export has a partial file", || !names(&replica.path("target")).is_empty());
    child
}

#[test]
fn a_killed_export_leaves_no_file_of_that_name_and_can_be_repeated() {
    let replica = Replica::big();
    let store = Store::start(&replica.path("replica"), 1 << 20);
    let mut child = stalled(&replica, &store);
    child.kill().expect("a child can be killed");
    child.wait().expect("a child can be waited for");
    let file = replica.argument("target/copy.db");
    assert!(!Path::new(&file).exists());
    store.open();
    let again = run(store.credentials(&mut query(&["export", &store.url(), &file])), LIMIT);
    assert!(again.status.success(), "{again:?}");
    assert_same(&dump(Path::new(&file)), &dump(&replica.restore(&[], "restored.db")));
}

#[test]
fn an_interrupted_export_deletes_its_partial_file() {
    let replica = Replica::big();
    for signal in ["-INT", "-TERM"] {
        let store = Store::start(&replica.path("replica"), 1 << 20);
        let child = stalled(&replica, &store);
        send(signal, &child);
        let ended = child.wait_with_output().expect("a child can be waited for");
        assert_eq!(ended.status.code(), Some(130), "{ended:?}");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "error: interrupted\n");
        assert_eq!(names(&replica.path("target")), [""; 0]);
        fs::remove_dir(replica.path("target")).expect("it is empty");
    }
}
