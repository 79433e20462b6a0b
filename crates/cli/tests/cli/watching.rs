//! `status --watch`, without a terminal and in one.

use crate::support::replica::Replica;
use crate::support::{LIMIT, interruptible, query};
use rexpect::session::spawn_command;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

/// The arguments that print a line for each change.
fn watch(replica: &Replica) -> [&str; 7] {
    ["status", &replica.url, "--watch", "--format", "jsonl", "--set", "poll_interval=100ms"]
}

/// Starts a program, and returns it with the lines that it prints.
fn start(command: &mut Command) -> (Child, Receiver<String>) {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let (send, lines) = mpsc::channel();
    thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    (child, lines)
}

/// Waits for the next line, which must have this TXID.
fn expect(lines: &Receiver<String>, txid: u64) {
    let line: Value = serde_json::from_str(&lines.recv_timeout(LIMIT).expect("a line")).expect("JSON");
    assert_eq!(line["txid"], format!("{txid:016x}").as_str(), "{line}");
    assert_eq!((&line["state"], &line["last_error"]), (&"following".into(), &Value::Null), "{line}");
}

#[test]
fn without_a_terminal_it_prints_a_line_for_each_change() {
    let replica = Replica::new("CREATE TABLE t (x)");
    let (mut child, lines) = start(&mut query(&watch(&replica)));
    for txid in 1..=3 {
        expect(&lines, txid);
        replica.commit(&format!("INSERT INTO t VALUES ({txid})"));
    }
    child.kill().expect("a child can be killed");
    child.wait().expect("a child can be waited for");
}

#[test]
// Other systems do not tell a program without unsafe code which signals it ignores.
#[cfg(target_os = "linux")]
fn a_signal_that_is_ignored_at_the_start_stays_ignored() {
    use crate::support::{ignoring, send};
    let replica = Replica::new("CREATE TABLE t (x)");
    for (number, signal) in (1..).zip(["HUP", "INT"]) {
        let (mut child, lines) = start(&mut ignoring(&format!("SIG{signal}"), &watch(&replica)));
        expect(&lines, number);
        send(&format!("-{signal}"), &child);
        replica.commit(&format!("INSERT INTO t VALUES ({number})"));
        expect(&lines, number + 1);
        // The others are handled.
        send("-TERM", &child);
        assert_eq!(child.wait().expect("a child can be waited for").code(), Some(130), "{signal}");
    }
}

#[test]
fn in_a_terminal_it_refreshes_until_it_is_interrupted() {
    let replica = Replica::new("CREATE TABLE t (x)");
    let limit = u64::try_from(LIMIT.as_millis()).ok();
    let mut terminal = spawn_command(interruptible(&["status", &replica.url, "--watch"]), limit).expect("it starts");
    terminal.exp_string("txid                   0000000000000001").expect("the first state");
    replica.commit("INSERT INTO t VALUES (1)");
    terminal.exp_string("txid                   0000000000000002").expect("the second state");
    terminal.send_control('c').expect("a key");
    terminal.exp_eof().expect("it ends");
    let status = terminal.process().wait().expect("a status");
    assert!(format!("{status:?}").contains(", 130)"), "{status:?}");
}
