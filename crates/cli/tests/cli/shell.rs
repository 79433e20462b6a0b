//! The shell in a terminal.

use crate::support::programs::{program, run};
use crate::support::replica::Replica;
use crate::support::{LIMIT, earlier, interruptible, query, sample};
use rexpect::session::{PtySession, spawn_command};
use std::fs;
use std::path::Path;
use std::process::Command;

const PROMPT: &str = "replica> ";
/// The end of the prompt at a past state, which is a time.
const PAST: &str = "Z> ";
/// What the line editor writes when it has a whole input.
const ENTERED: &str = "\x1b[?2004l\r\n";
const UP: &str = "\x1b[A";

/// Starts the shell, and waits for its prompt.
fn start(url: &str, history: &Path) -> PtySession {
    let mut command = interruptible(&["shell", url]);
    command.env("LITESTREAM_QUERY_HISTORY", history).env("TERM", "xterm");
    let mut shell = spawn_command(command, u64::try_from(LIMIT.as_millis()).ok()).expect("it starts");
    shell.exp_string(PROMPT).expect("a prompt");
    shell
}

/// Types keys.
fn type_keys(shell: &mut PtySession, keys: &str) {
    shell.send(keys).expect("keys");
    shell.flush().expect("keys");
}

/// Types a line, and waits for this output and the prompt after it. What is typed before a prompt can be lost.
fn enter(shell: &mut PtySession, line: &str, output: &str) {
    enter_then(shell, line, output, PROMPT);
}

/// As `enter`, with another prompt.
fn enter_then(shell: &mut PtySession, line: &str, output: &str, prompt: &str) {
    type_keys(shell, &format!("{line}\r"));
    for expected in [ENTERED, output, prompt] {
        shell.exp_string(expected).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

fn quit(mut shell: PtySession) {
    type_keys(&mut shell, "quit\r");
    shell.exp_eof().expect("it ends");
    let status = shell.process().wait().expect("a status");
    assert!(format!("{status:?}").contains(", 0)"), "{status:?}");
}

#[test]
fn statements_run_over_several_lines_and_errors_do_not_end_the_shell() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut shell = start(&sample(), &dir.path().join("history"));
    type_keys(&mut shell, "SELECT count(*) AS orders\r");
    enter(&mut shell, "FROM orders;", "orders\r\n------\r\n   632\r\n");
    enter(&mut shell, "SELECT missing;", "error: no such column: missing");
    enter(&mut shell, "SELECT 6 * 7 AS answer;", "    42\r\n");
    quit(shell);
}

#[test]
fn tab_completes_commands_tables_columns_and_keywords() {
    let dir = tempfile::tempdir().expect("a directory");
    let replica =
        Replica::new("CREATE TABLE invoices (id INTEGER PRIMARY KEY, amount_due); INSERT INTO invoices VALUES (1, 77)");
    let mut shell = start(&replica.url, &dir.path().join("history"));
    enter(&mut shell, "sel\t amount_d\t FROM inv\t;", "amount_due\r\n----------\r\n        77\r\n");
    enter(&mut shell, "SEL\t count(*) FROM litestream_his\t;", "count(*)\r\n--------\r\n       1\r\n");
    enter(&mut shell, "tab\t", "invoices          table\r\n");
    enter(&mut shell, "schema inv\t", "CREATE TABLE invoices (id INTEGER PRIMARY KEY, amount_due);\r\n");
    quit(shell);
}

#[test]
fn tab_quotes_names_that_are_not_words_or_are_keywords() {
    let dir = tempfile::tempdir().expect("a directory");
    let replica = Replica::new("CREATE TABLE \"group\" (\"unit price\"); INSERT INTO \"group\" VALUES (77)");
    let mut shell = start(&replica.url, &dir.path().join("history"));
    // The other candidate is the keyword.
    enter(&mut shell, "SELECT unit\t FROM \"gro\t\";", "unit price\r\n----------\r\n        77\r\n");
    type_keys(&mut shell, "SELECT 1 FROM gro\t\t");
    shell.exp_string("\"group\"").expect("the name in quotes");
}

/// Starts a program in a terminal, ends it by a signal when it has shown its prompt, and prints whether the terminal is as it was before.
const IN_TERMINAL: &str = "import os, pty, signal, subprocess, sys, termios
terminal, its = pty.openpty()
before = termios.tcgetattr(its)
program = subprocess.Popen(sys.argv[2:], stdin=its, stdout=its, stderr=its, start_new_session=True)
shown = b''
while not (b'replica> ' in shown and termios.tcgetattr(its) != before):
    shown += os.read(terminal, 4096)
program.send_signal(getattr(signal, sys.argv[1]))
print(program.wait(), termios.tcgetattr(its) == before, b'\\x1b[?2004l' in os.read(terminal, 4096))";

#[test]
fn a_signal_that_ends_the_shell_restores_the_terminal() {
    let dir = tempfile::tempdir().expect("a directory");
    for signal in ["SIGTERM", "SIGHUP"] {
        let mut python = Command::new(program("python3"));
        let shell = query(&["shell", &sample()]);
        python.args(["-c", IN_TERMINAL, signal]).arg(shell.get_program()).args(shell.get_args());
        python.env("LITESTREAM_QUERY_HISTORY", dir.path().join("history")).env("TERM", "xterm");
        let ended = run(&mut python, LIMIT);
        assert_eq!(ended.stdout, "130 True True\n", "{signal}: {ended:?}");
    }
}

#[test]
fn commands_move_in_time_and_the_prompt_shows_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut shell = start(&sample(), &dir.path().join("history"));
    enter_then(&mut shell, &format!("at {}", earlier()), "time\r\n", PAST);
    enter_then(&mut shell, "SELECT count(*) FROM orders;", "     400\r\n", PAST);
    enter(&mut shell, ".at LATEST", "time\r\n");
    enter(&mut shell, "SELECT count(*) FROM orders;", "     632\r\n");
    enter_then(&mut shell, "txid 0000000000000010", "", PAST);
    enter_then(&mut shell, "SELECT litestream_txid();", "0000000000000010\r\n", PAST);
    enter(&mut shell, "at LATEST", "time\r\n");
    enter(&mut shell, "at some day", "error: cannot read the time 'some day'");
    enter(&mut shell, "history 2", "txid              time");
    enter(&mut shell, &format!("changes {}", earlier()), "orders_by_customer  index");
    enter(&mut shell, "status", "state                  following");
    enter(&mut shell, "format csv", "");
    enter(&mut shell, "SELECT 1 AS a, 2 AS b;", "a,b\r\n1,2\r\n");
    enter(&mut shell, "help", "list the tables and views");
    quit(shell);
}

#[test]
fn ctrl_c_returns_to_the_prompt() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut shell = start(&sample(), &dir.path().join("history"));
    for _ in 0..2 {
        type_keys(&mut shell, "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n;\r");
        shell.exp_string("  1\r\n").expect("the first row");
        shell.send_control('c').expect("a key");
        shell.exp_string("error: interrupted").expect("the statement ends");
        shell.exp_string(PROMPT).expect("a prompt");
    }
    type_keys(&mut shell, "SELECT 'forgotten");
    shell.send_control('c').expect("a key");
    shell.exp_string(PROMPT).expect("a prompt");
    enter(&mut shell, "SELECT 'next' AS line;", "line\r\n----\r\nnext\r\n");
    shell.send_control('d').expect("a key");
    shell.exp_eof().expect("it ends");
}

#[test]
fn the_history_outlives_the_shell() {
    let dir = tempfile::tempdir().expect("a directory");
    let history = dir.path().join("history");
    let mut shell = start(&sample(), &history);
    enter(&mut shell, "SELECT 'first' AS line;", "first\r\n");
    quit(shell);
    assert!(fs::read_to_string(&history).expect("a file").contains("SELECT 'first' AS line;\n"));
    let mut shell = start(&sample(), &history);
    // The newest line is `quit`.
    enter(&mut shell, &format!("{UP}{UP}"), "line\r\n-----\r\nfirst\r\n");
    quit(shell);
}
