//! A separate process that reads replicas and runs one statement after the other.

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
    commands: Option<ChildStdin>,
    answers: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
    _dir: TempDir,
}

impl Session {
    /// Starts the command.
    pub(super) fn start(mut command: Command, dir: TempDir) -> Session {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let stderr = Some(collect(child.stderr.take().expect("stderr is piped")));
        let (sender, answers) = channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Session { commands: child.stdin.take(), child, answers, stderr, _dir: dir }
    }

    /// Opens a replica, and returns the number of the connection: 0, 1, 2, …
    pub fn open(&mut self, replica_url: &str, parameters: &[(&str, &str)]) -> usize {
        self.try_open(replica_url, parameters).unwrap_or_else(|error| panic!("cannot open {replica_url}: {error}"))
    }

    /// As [`Session::open`], but returns an error.
    pub fn try_open(&mut self, replica_url: &str, parameters: &[(&str, &str)]) -> Result<usize, String> {
        self.try_open_uri(&extension::uri(replica_url, parameters))
    }

    /// Opens an empty database in memory, and returns the number of the connection.
    pub fn open_memory(&mut self) -> usize {
        self.try_open_uri(":memory:").expect("a database in memory")
    }

    fn try_open_uri(&mut self, uri: &str) -> Result<usize, String> {
        let number = self.send(&format!("open {uri}"))?;
        Ok(number.parse().expect("connections have numbers"))
    }

    /// Closes all connections.
    pub fn close(&mut self) {
        self.send("close").expect("connections close");
    }

    /// Runs a statement, and returns its first row, with `|` between the columns.
    pub fn try_query(&mut self, connection: usize, sql: &str) -> Result<String, String> {
        self.send(&format!("{connection} {}", sql.replace('\n', " ")))
    }

    /// As [`Session::try_query`], but panics if the statement fails.
    pub fn query(&mut self, connection: usize, sql: &str) -> String {
        self.try_query(connection, sql).unwrap_or_else(|error| panic!("connection {connection}, {sql}: {error}"))
    }

    fn send(&mut self, line: &str) -> Result<String, String> {
        let commands = self.commands.as_mut().expect("the session is running");
        writeln!(commands, "{line}").and_then(|()| commands.flush()).expect("the session reads commands");
        let answer = self.answers.recv_timeout(LIMIT).unwrap_or_else(|error| panic!("no response to {line}: {error}"));
        match answer.split_at(2) {
            ("= ", answer) => Ok(answer.to_owned()),
            (_, error) => Err(error.to_owned()),
        }
    }

    /// Returns the number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Suspends all of its threads.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Resumes them.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.id().to_string()]).status().expect("kill runs");
        assert!(sent.success(), "kill {signal}");
    }

    /// Lets the process exit normally.
    pub fn end(mut self) -> Ended {
        drop(self.commands.take());
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
