//! A process of its own that reads replicas and does what it is told, one statement after the other.

use super::extension;
use super::programs::{Ended, collect};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(120);

/// A running `tests/hosts/session.py`.
pub struct Session {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
    _dir: TempDir,
}

impl Session {
    /// Starts what the command of such a host says.
    pub(super) fn start(mut command: Command, dir: TempDir) -> Session {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let stderr = Some(collect(child.stderr.take().expect("stderr is piped")));
        let (sender, answers) = channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Session { orders: child.stdin.take(), child, answers, stderr, _dir: dir }
    }

    /// Opens a replica, and answers the connection's number: 0, 1, 2, …
    pub fn open(&mut self, replica_url: &str, parameters: &[(&str, &str)]) -> usize {
        self.try_open(replica_url, parameters).unwrap_or_else(|error| panic!("cannot open {replica_url}: {error}"))
    }

    /// As [`Session::open`], of what may fail.
    pub fn try_open(&mut self, replica_url: &str, parameters: &[(&str, &str)]) -> Result<usize, String> {
        let number = self.order(&format!("open {}", extension::uri(replica_url, parameters)))?;
        Ok(number.parse().expect("connections have numbers"))
    }

    /// Closes all connections.
    pub fn close(&mut self) {
        self.order("close").expect("connections close");
    }

    /// The first row of what a statement answers, its columns separated by `|`.
    pub fn try_query(&mut self, connection: usize, sql: &str) -> Result<String, String> {
        self.order(&format!("{connection} {}", sql.replace('\n', " ")))
    }

    /// As [`Session::ask`], of what cannot fail.
    pub fn query(&mut self, connection: usize, sql: &str) -> String {
        self.try_query(connection, sql).unwrap_or_else(|error| panic!("connection {connection}, {sql}: {error}"))
    }

    fn order(&mut self, line: &str) -> Result<String, String> {
        let orders = self.orders.as_mut().expect("it runs");
        writeln!(orders, "{line}").and_then(|()| orders.flush()).expect("it listens");
        let answer = self.answers.recv_timeout(LIMIT).unwrap_or_else(|error| panic!("no answer to {line}: {error}"));
        match answer.split_at(2) {
            ("= ", answer) => Ok(answer.to_owned()),
            (_, error) => Err(error.to_owned()),
        }
    }

    /// Stops all of its threads where they are.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success(), "kill {signal}");
    }

    /// Has it end by itself.
    pub fn end(mut self) -> Ended {
        drop(self.orders.take());
        let status = self.child.wait().expect("a child can be waited for");
        let stderr = self.stderr.take().map(|stderr| stderr.join().expect("stderr is text")).unwrap_or_default();
        Ended { status, stdout: String::new(), stderr }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(Ok(stderr)) = self.stderr.take().map(JoinHandle::join)
            && thread::panicking()
        {
            eprintln!("the session's stderr:\n{stderr}");
        }
    }
}
