//! Programs that `scripts/test` installs, and how to run them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Returns the path of an installed program.
pub fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../test-env/bin").join(name);
    assert!(path.exists(), "{} does not exist: run `scripts/test --install` first", path.display());
    path
}

/// The exit status of a program, and its output.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a program to its end. Kills it and panics after `limit`.
pub fn run(command: &mut Command, limit: Duration) -> Ended {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let stdout = collect(child.stdout.take().expect("stdout is piped"));
    let stderr = collect(child.stderr.take().expect("stderr is piped"));
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break Some(status);
        }
        if Instant::now() > deadline {
            child.kill().expect("a child can be killed");
            child.wait().expect("a child can be waited for");
            break None;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let (stdout, stderr) = (stdout.join().expect("stdout is text"), stderr.join().expect("stderr is text"));
    match status {
        Some(status) => Ended { status, stdout, stderr },
        None => panic!("{command:?} did not end within {limit:?}\nstdout: {stdout}\nstderr: {stderr}"),
    }
}

/// Reads a pipe to its end in a thread.
pub fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).expect("programs print UTF-8");
        text
    })
}

/// Waits until a condition is true. Panics after a minute.
pub fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !happened() {
        assert!(Instant::now() < deadline, "not true within a minute: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
