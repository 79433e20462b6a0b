//! `diff` and `undo`.

use crate::support::programs::{program, run};
use crate::support::replica::Replica;
use crate::support::store::Store;
use crate::support::{LIMIT, ended, failure, printed, query};
use rusqlite::Connection;
use std::process::Command;
use std::time::Duration;

/// A replica with a state before and one after changes.
fn changed() -> Replica {
    let replica = Replica::new(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, x TEXT, y REAL); CREATE TABLE b (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
         CREATE TABLE gone (x); CREATE TABLE same (x);
         INSERT INTO a VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3); INSERT INTO b VALUES ('k', X'00FF')",
    );
    replica.commit(
        "UPDATE a SET x = 'a' || char(10) || 'b', y = NULL WHERE id = 2; DELETE FROM a WHERE id = 1;
         INSERT INTO a VALUES (4, printf('%.70c', 'x'), 0.5); UPDATE b SET v = 7; DROP TABLE gone",
    );
    replica
}

/// Returns the first TXID of the replica that has a table.
fn since(replica: &Replica) -> String {
    let sql = "SELECT txid FROM litestream_history ORDER BY txid LIMIT 1";
    let csv = printed(&["sql", &replica.url, sql, "--format", "csv"]);
    csv.lines().nth(1).expect("a state").to_owned()
}

#[test]
fn rows_are_printed_one_a_line() {
    let replica = changed();
    let since = since(&replica);
    let all = ended(&["diff", &replica.url, "--since", &since]);
    let a = format!(
        "a\n  - 1 id: 1, x: one, y: 1.0\n  ~ 2 x: two -> a\\nb, y: 2.0 -> NULL\n  + 4 id: 4, x: {}\u{2026}, y: 0.5\n",
        "x".repeat(60)
    );
    let b = "b\n  ~ k v: X'00FF' -> 7\n";
    assert!(all.stdout.starts_with(&format!("{a}{b}")), "{all:?}");
    assert!(all.stdout.contains("\nsqlite_schema\n  - "), "{all:?}");
    assert!(all.stderr.starts_with("gone: there is no table 'gone' in the state of TXID"), "{all:?}");
    assert_eq!(all.status.code(), Some(0));
    assert_eq!(
        printed(&["diff", &replica.url, "--since", &since, "--table", "b", "--table", "same", "--table", "B"]),
        b
    );
    assert_eq!(printed(&["diff", &replica.url, "--since", &since, "--until", &since]), "");
    let reason = failure(&["diff", &replica.url, "--since", &since, "--table", "gone"], 1);
    assert!(reason.starts_with("error: there is no table 'gone'"), "{reason}");
}

#[test]
fn values_are_printed_as_json_and_csv() {
    let replica = changed();
    let since = since(&replica);
    let arguments = ["diff", &replica.url, "--since", &since, "--table", "b"];
    let csv = printed(&[&arguments[..], &["--csv"]].concat());
    assert_eq!(csv, "table,op,rowid,column,old,new\nb,update,k,v,X'00FF',7\n");
    let json: serde_json::Value =
        serde_json::from_str(&printed(&[&arguments[..], &["--json"]].concat())).expect("JSON");
    let expected =
        serde_json::json!([{"table": "b", "op": "update", "rowid": "k", "column": "v", "old": "00FF", "new": 7}]);
    assert_eq!(json, expected);
}

/// Runs statements with the shell of SQLite, which has a collating sequence `uint`, and replicates them.
fn commit_with_shell(replica: &Replica, sql: &str) {
    let shell = run(Command::new(program("sqlite3")).arg(replica.path("app.db")).arg(sql), LIMIT);
    assert!(shell.status.success(), "{shell:?}");
    replica.commit("");
}

/// What follows would be missing.
#[test]
fn a_table_that_cannot_be_compared_ends_the_comparison_unless_it_was_redefined() {
    let replica = Replica::new("CREATE TABLE a (x); CREATE TABLE z (x)");
    commit_with_shell(
        &replica,
        "CREATE TABLE w (k TEXT COLLATE uint PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO w VALUES ('1', 2)",
    );
    let since = printed(&["sql", &replica.url, "SELECT litestream_txid() AS txid", "--format", "csv"]);
    let since = since.lines().nth(1).expect("a row");
    commit_with_shell(&replica, "INSERT INTO a VALUES (1); INSERT INTO w VALUES ('2', 3); INSERT INTO z VALUES (1)");
    let diff = ended(&["diff", &replica.url, "--since", since, "--json"]);
    assert_eq!(diff.status.code(), Some(1), "{diff:?}");
    assert!(diff.stderr.contains("uint"), "{diff:?}");
    assert!(diff.stdout.contains("\"a\"") && !diff.stdout.contains(']') && !diff.stdout.contains("\"z\""), "{diff:?}");
}

/// A table that was redefined may be left out, but not because of a store, and not after its first rows.
#[test]
fn a_store_that_fails_ends_the_comparison_also_of_a_redefined_table() {
    let replica = Replica::big();
    let since = since(&replica);
    replica.commit("ALTER TABLE big ADD COLUMN paid; UPDATE big SET text = hex(randomblob(300))");
    for megabytes in [1, 7] {
        let store = Store::start(&replica.path("replica"), megabytes << 20);
        let arguments = ["diff", &store.url(), "--since", &since, "--json", "--set", "read_timeout=1s"];
        let diff = run(store.credentials(&mut query(&arguments)), LIMIT);
        assert_eq!(diff.status.code(), Some(1), "{}", diff.stderr);
        assert!(diff.stderr.starts_with("error: s3://bucket/app"), "{}", diff.stderr);
        assert!(!diff.stdout.ends_with("]\n"), "the array is complete");
    }
    let complete = printed(&["diff", &replica.url, "--since", &since, "--json"]);
    assert!(complete.ends_with("]\n"));
}

#[test]
fn names_of_a_replica_do_not_control_the_terminal() {
    let replica = Replica::new("CREATE TABLE a (x)");
    replica.commit("CREATE TABLE \"b\u{1b}]52;c\" (x); INSERT INTO \"b\u{1b}]52;c\" VALUES (1)");
    let diff = ended(&["diff", &replica.url, "--since", &since(&replica)]);
    assert!(diff.stderr.starts_with("b\\u{1b}]52;c: there is no table 'b\\u{1b}]52;c' in"), "{diff:?}");
    replica.commit("INSERT INTO a VALUES ('x' || char(27, 155) || '[31m')");
    let script = printed(&["undo", &replica.url, "--table", "a", "--since", &since(&replica)]);
    assert!(script.contains("char(27)") && !script.contains(|c: char| c.is_control() && c != '\n'), "{script:?}");
}

#[cfg(unix)]
#[test]
fn a_terminal_shows_colours_unless_it_must_not() {
    let replica = changed();
    let since = since(&replica);
    for (no_color, has_colours) in [("", true), ("1", false)] {
        let mut command = query(&["diff", &replica.url, "--since", &since, "--table", "b"]);
        command.env("NO_COLOR", no_color);
        let mut terminal = rexpect::session::spawn_command(command, Some(20_000)).expect("a terminal");
        let output = terminal.exp_eof().expect("it ends");
        assert_eq!(output.contains("\x1b[31mX'00FF'\x1b[0m -> \x1b[32m7\x1b[0m"), has_colours, "{output:?}");
    }
}

#[test]
fn the_undo_of_several_tables_is_one_transaction() {
    let replica = changed();
    let since = since(&replica);
    let script = printed(&["undo", &replica.url, "--table", "a", "--table", "b", "--table", "A", "--since", &since]);
    assert_eq!(script.matches("BEGIN IMMEDIATE").count(), 1, "{script}");
    assert_eq!(script.matches("COMMIT;").count(), 1, "{script}");
    let database = Connection::open(replica.path("app.db")).expect("a database");
    database.busy_timeout(Duration::from_secs(20)).expect("a timeout");
    database.execute_batch(&script).unwrap_or_else(|error| panic!("{error}: {script}"));
    let sql =
        "SELECT group_concat(id || x || y, ' ') || (SELECT k || hex(v) FROM b) FROM (SELECT * FROM a ORDER BY id)";
    let rows: String = database.query_row(sql, [], |row| row.get(0)).expect("a row");
    assert_eq!(rows, "1one1.0 2two2.0 3three3.0k00FF");
    let left: i64 =
        database.query_row("SELECT count(*) FROM temp.litestream_not_undone", [], |row| row.get(0)).expect("a count");
    assert_eq!(left, 0);
}
