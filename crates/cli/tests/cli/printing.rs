//! The formats, byte for byte.

use crate::support::programs::run;
use crate::support::replica::Replica;
use crate::support::{LIMIT, earlier, failure, printed, query, sample};
use std::fs;
use std::process::Command;

/// Every type of value, and texts that need escapes.
const VALUES: &str = "
    WITH t (id, name, share, note, bytes) AS (VALUES
        (1, 'plain', 0.5, NULL, x'00ff'),
        (-20, 'a,\"b\"', -1e300, 'two' || char(10) || 'lines', x''),
        (9007199254740993, 'größer 漢字', 9e999, '', NULL),
        (4, char(27) || '[2J', 3.0, 'NULL', x'41'))
    SELECT id, name, share, note, bytes AS \"some bytes\" FROM t";

#[test]
fn each_format_prints_its_golden_file() {
    for format in ["table", "csv", "json", "jsonl"] {
        let printed = printed(&["sql", &sample(), VALUES, "--format", format]);
        let path = format!("{}/tests/cli/golden/values.{format}", env!("CARGO_MANIFEST_DIR"));
        let golden = fs::read_to_string(&path).unwrap_or_default();
        assert!(printed == golden, "printed\n{printed}\ninstead of {path}\n{golden}");
    }
}

#[test]
fn a_name_that_is_not_utf8_is_an_error() {
    let replica = Replica::new(
        "CREATE TABLE t (a); PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = CAST(x'435245415445205441424c4520742861ff29' AS TEXT) WHERE name = 't'",
    );
    let reason = failure(&["sql", &replica.url, "SELECT * FROM t"], 1);
    assert_eq!(reason, "error: the name of a column is not UTF-8; name it with AS\n");
}

#[test]
fn a_result_without_rows_has_a_header_or_is_an_empty_array() {
    let print = |format| printed(&["sql", &sample(), "SELECT 1 AS one, 'x' AS text WHERE 0", "--format", format]);
    assert_eq!(["table", "csv", "json", "jsonl"].map(print), ["one  text\n---  ----\n", "one,text\n", "[]\n", ""]);
}

#[test]
fn several_statements_print_one_result_after_the_other() {
    let sql = "CREATE TEMP TABLE t AS SELECT 7 AS n; SELECT n FROM t; ; SELECT n + 1 AS m FROM t -- the end";
    assert_eq!(printed(&["sql", &sample(), sql]), "n\n-\n7\nm\n-\n8\n");
    assert_eq!(printed(&["sql", &sample(), sql, "--format", "json"]), "[{\"n\":7}]\n[{\"m\":8}]\n");
}

#[test]
fn rows_after_the_first_hundred_keep_the_widths_of_the_table() {
    let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 101)
               SELECT CASE WHEN i > 100 THEN i * 1000 ELSE i END AS i, i AS j FROM n";
    let printed = printed(&["sql", &sample(), sql]);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!((lines.len(), &lines[..3]), (103, &["  i    j", "---  ---", "  1    1"][..]));
    assert_eq!(&lines[101..], ["100  100", "101000  101"]);
}

#[test]
fn sql_comes_from_stdin_without_an_argument_or_with_a_dash() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = dir.path().join("script.sql");
    fs::write(&script, "SELECT count(*) AS orders\nFROM orders;\nSELECT 'two' AS result").expect("a file is written");
    for argument in [None, Some("-")] {
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$@\" <\"$SCRIPT\"", "sh"]).arg(query(&[]).get_program()).args(["sql", &sample()]);
        let ended = run(shell.args(argument).args(["--format", "csv"]).env("SCRIPT", &script), LIMIT);
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(0), "orders\n632\nresult\ntwo\n"), "{ended:?}");
    }
}

#[test]
fn a_past_state_is_read_by_time_and_by_txid() {
    let (url, earlier) = (sample(), earlier());
    let sql = "SELECT litestream_txid() AS txid, count(*) AS orders FROM orders";
    let then = printed(&["sql", &url, sql, "--at", &earlier, "--format", "csv"]);
    let (txid, orders) = then.trim_end().rsplit_once('\n').and_then(|(_, row)| row.split_once(',')).expect("a row");
    assert_eq!(orders, "400");
    assert_eq!(printed(&["sql", &url, sql, "--txid", txid, "--format", "csv"]), then);
    assert!(printed(&["sql", &url, sql, "--at", "LATEST"]).ends_with("632\n"));
}

#[test]
fn settings_are_those_of_the_connection() {
    let sql = "SELECT cache_size, disk_cache_size, poll_interval FROM litestream_status";
    let set = ["--set", "cache_size=8MB", "--set", "disk_cache_size=0", "--set", "poll_interval=2s"];
    let printed = printed(&[&["sql", &sample(), sql, "--format", "csv"], &set[..]].concat());
    assert_eq!(printed, "cache_size,disk_cache_size,poll_interval\n8388608,0,2.0\n");
}

#[test]
fn sql_writes_to_local_databases() {
    let dir = tempfile::tempdir().expect("a directory");
    let copy = dir.path().join("copy.db");
    let sql = format!("ATTACH '{}' AS copy; CREATE TABLE copy.products AS SELECT * FROM products", copy.display());
    assert_eq!(printed(&["sql", &sample(), &sql]), "");
    let copied = rusqlite::Connection::open(copy).expect("a database");
    let count: i64 = copied.query_row("SELECT count(*) FROM products", [], |row| row.get(0)).expect("a count");
    assert!(count > 0);
}
