//! Programs that are no part of this project: where `scripts/test` put them, and how they are run.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Where `scripts/test` links the programs that the stories run.
pub fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../test-env/bin").join(name);
    assert!(path.exists(), "{} is not there: run `scripts/test --install` first", path.display());
    path
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a program to its end, and kills it if there is none within `limit`: nothing may hang.
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

/// All that comes out of a pipe, once it is closed.
pub fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).expect("programs print UTF-8");
        text
    })
}

/// Waits for something that happens soon, or fails.
pub fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !happened() {
        assert!(Instant::now() < deadline, "waited a minute for this, and it did not happen: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
