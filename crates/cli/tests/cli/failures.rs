//! Failures: the exit code, and the reason on stderr.

use crate::support::programs::run;
use crate::support::replica::Replica;
use crate::support::{LIMIT, ended, failure, printed, query, sample};
use rusqlite::Connection;
use std::io::Write;
use std::process::Stdio;

#[test]
fn a_missing_replica_is_named() {
    let url = "file:///nonexistent/replica";
    let reason = failure(&["sql", url, "SELECT 1"], 1);
    assert!(reason.starts_with("error: ") && reason.lines().count() == 1, "{reason}");
    assert!(reason.contains(url) && !reason.contains("unable to open database file"), "{reason}");
    for command in ["history", "status", "verify", "changes"] {
        let since: &[&str] = if command == "changes" { &["--since", "yesterday"] } else { &[] };
        assert_eq!(failure(&[&[command, url], since].concat(), 1), reason, "{command}");
    }
}

#[test]
fn wrong_sql_is_explained_after_the_rows_before_it() {
    assert_eq!(failure(&["sql", &sample(), "SELECT x FROM orders"], 1), "error: no such column: x\n");
    assert_eq!(failure(&["sql", &sample(), "SELECT FROM"], 1), "error: near \"FROM\": syntax error\n");
    let update = failure(&["sql", &sample(), "DELETE FROM orders"], 1);
    assert_eq!(update, "error: attempt to write a readonly database\n");
    let later = ended(&["sql", &sample(), "SELECT 1 AS one; SELECT missing()", "--format", "csv"]);
    assert_eq!((later.status.code(), later.stdout.as_str()), (Some(1), "one\n1\n"), "{later:?}");
    assert_eq!(later.stderr, "error: no such function: missing\n");
}

#[test]
fn the_rows_before_a_failure_are_printed() {
    let sql = "SELECT 1 AS one UNION ALL SELECT abs(-9223372036854775808)";
    for (format, rows) in
        [("table", "one\n---\n  1\n"), ("csv", "one\n1\n"), ("json", "[{\"one\":1}"), ("jsonl", "{\"one\":1}\n")]
    {
        let ended = ended(&["sql", &sample(), sql, "--format", format]);
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), rows), "{format}: {ended:?}");
        assert_eq!(ended.stderr, "error: integer overflow\n");
    }
    // Without a row, there is no table.
    assert_eq!(failure(&["sql", &sample(), "SELECT abs(-9223372036854775808)"], 1), "error: integer overflow\n");
}

#[test]
fn a_replica_is_not_written_whatever_the_environment_says() {
    let dir = tempfile::tempdir().expect("a directory");
    let url = format!("file://{}/replica", dir.path().display());
    let mut command = query(&["sql", &url, "CREATE TABLE t(a)", "--set", "open_timeout=1s"]);
    let writing = command.env("LITESTREAM_WRITE_ENABLED", "1").env("LITESTREAM_WRITE_TAKEOVER", "1");
    let ended = run(writing, LIMIT);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(!dir.path().join("replica").exists(), "{ended:?}");
}

#[test]
fn sql_attaches_local_databases_for_writing_and_replicas_for_reading() {
    let replica = Replica::new("CREATE TABLE t (x); INSERT INTO t VALUES (7)");
    let files = || {
        let level = replica.path("replica/ltx/0").read_dir().expect("a level");
        level.map(|file| file.expect("a file").file_name()).collect::<Vec<_>>()
    };
    let before = files();
    let attach = |parameters: &str| {
        format!("ATTACH 'file:other.db?vfs=litestream&replica_url={}{parameters}' AS other", replica.url)
    };
    let new = replica.path("new");
    let copy = format!("VACUUM INTO 'file:new.db?vfs=litestream&write_enabled=1&replica_url=file://{}'", new.display());
    for (sql, why) in [
        (format!("{}; DELETE FROM other.t", attach("")), "attempt to write a readonly database"),
        (attach("&write_enabled=1"), "this program does not write to replicas; remove write_enabled"),
        (copy, "this program does not write to replicas; remove write_enabled"),
    ] {
        let mut command = query(&["sql", &replica.url, &sql]);
        let ended = run(command.env("LITESTREAM_WRITE_ENABLED", "1").env("LITESTREAM_WRITE_TAKEOVER", "1"), LIMIT);
        assert!(ended.status.code() == Some(1) && ended.stderr.contains(why), "{sql}: {ended:?}");
    }
    assert!(files() == before && !new.exists());
    let local = replica.argument("local.db");
    printed(&["sql", &replica.url, &format!("ATTACH '{local}' AS local; CREATE TABLE local.t AS SELECT * FROM t")]);
    let copied: i64 =
        Connection::open(&local).expect("a file").query_row("SELECT x FROM t", [], |row| row.get(0)).expect("a row");
    assert_eq!(copied, 7);
}

#[test]
fn nothing_of_a_script_with_a_nul_character_is_run() {
    let mut command = query(&["sql", &sample()]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("stdin is piped").write_all(b"SELECT 1 AS a;\0SELECT missing;").expect("it reads");
    let ended = child.wait_with_output().expect("a child can be waited for");
    assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(1), &b""[..]));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("the SQL contains a NUL character"), "{ended:?}");
}

#[test]
fn a_wrong_time_shows_the_forms_of_a_time() {
    let url = sample();
    for arguments in [&["sql", &url, "SELECT 1", "--at", "some day"][..], &["changes", &url, "--since", "some day"]] {
        let reason = failure(arguments, 1);
        assert!(reason.contains("cannot read the time 'some day'; write it as 2026-01-31T12:00:00Z"), "{reason}");
    }
    let early = failure(&["sql", &sample(), "SELECT 1", "--at", "2001-01-01"], 1);
    assert!(early.contains("2001-01-01T00:00:00.000Z; the earliest"), "{early}");
    let txid = failure(&["sql", &sample(), "SELECT 1", "--txid", "12"], 1);
    assert!(txid.contains("a TXID has 16 hexadecimal digits"), "{txid}");
}

#[test]
fn wrong_arguments_have_a_code_of_their_own() {
    for (arguments, reason) in [
        (&["sql"][..], "<URL>"),
        (&["unknown"], "unrecognized subcommand"),
        (&["sql", "file:///r", "SELECT 1", "--format", "xml"], "table, csv, json, jsonl"),
        (&["sql", "file:///r", "SELECT 1", "--at", "now", "--txid", "0000000000000001"], "cannot be used with"),
        (&["sql", "file:///r", "SELECT 1", "--set", "cachesize=1MB"], "there is no setting 'cachesize'"),
        (&["changes", "file:///r"], "--since"),
    ] {
        let text = failure(arguments, 2);
        assert!(text.contains(reason), "{arguments:?}: {text}");
    }
    let value = failure(&["sql", &sample(), "SELECT 1", "--set", "cache_size=lots"], 1);
    assert!(value.starts_with("error: cache_size has the value 'lots'; "), "{value}");
}

#[test]
fn the_shell_needs_a_terminal() {
    let reason = failure(&["shell", &sample()], 1);
    assert!(reason.contains("litestream-query sql"), "{reason}");
}

#[test]
fn secrets_do_not_appear() {
    let reason = failure(&["sql", "webdav://user:secret@127.0.0.1:1/replica", "SELECT 1"], 1);
    assert!(reason.contains("127.0.0.1:1") && !reason.contains("secret"), "{reason}");
}
