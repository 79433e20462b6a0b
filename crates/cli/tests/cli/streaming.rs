//! Rows are printed when they are read.

use crate::support::replica::Replica;
use crate::support::store::Store;
use crate::support::{interruptible, query, sample, send};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

/// Starts a program, and returns it with its first lines.
fn first_lines(command: &mut Command, count: usize) -> (Child, Vec<String>) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
    // This also drops, and so closes, the pipe.
    let lines = stdout.lines().take(count).collect::<Result<_, _>>().expect("text");
    (child, lines)
}

/// Asserts that a program ends without an error after its output was closed.
fn assert_ends_quietly(mut child: Child) {
    let mut stderr = String::new();
    child.stderr.take().expect("stderr is piped").read_to_string(&mut stderr).expect("text");
    let status = child.wait().expect("a child can be waited for");
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_reader_that_closes_the_pipe_ends_an_endless_result() {
    let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    for (format, tenth) in [("table", "  8"), ("csv", "9"), ("json", "{\"i\":10},"), ("jsonl", "{\"i\":10}")] {
        let (child, lines) = first_lines(&mut query(&["sql", &sample(), sql, "--format", format]), 10);
        assert_eq!(lines[9], tenth);
        assert_ends_quietly(child);
    }
}

#[test]
fn the_first_rows_appear_before_the_last_page_is_fetched() {
    let replica = Replica::big();
    for format in ["table", "csv", "jsonl"] {
        // Half of the only file.
        let store = Store::start(&replica.path("replica"), 3 << 20);
        let mut command = query(&["sql", &store.url(), "SELECT id, text FROM big ORDER BY id", "--format", format]);
        let (child, lines) = first_lines(store.credentials(&mut command), 10);
        assert_eq!(lines.len(), 10);
        // The program notices the closed pipe when it writes the next rows.
        store.open();
        assert_ends_quietly(child);
    }
}

#[test]
fn no_row_waits_for_the_next_one() {
    let replica = Replica::big();
    let store = Store::start(&replica.path("replica"), 1 << 20);
    let sql = "SELECT 1 AS i UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT sum(length(text)) FROM big";
    let mut command = query(&["sql", &store.url(), sql, "--format", "csv"]);
    let (mut child, lines) = first_lines(store.credentials(&mut command), 4);
    assert_eq!(lines, ["i", "1", "2", "3"]);
    assert!(child.try_wait().expect("a child can be waited for").is_none(), "the fourth row is there");
    store.open();
    assert_ends_quietly(child);
}

#[test]
fn an_interrupt_ends_a_statement_that_waits() {
    let replica = Replica::big();
    let store = Store::start(&replica.path("replica"), 1 << 20);
    let mut command = interruptible(&["sql", &store.url(), "SELECT sum(length(text)) FROM big"]);
    let child =
        store.credentials(&mut command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    store.wait_until_stalled();
    send("-INT", &child);
    let ended = child.wait_with_output().expect("a child can be waited for");
    assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(130), &b""[..]), "{ended:?}");
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "error: interrupted\n");
}
