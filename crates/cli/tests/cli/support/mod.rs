//! Shared code of the tests: the program, replicas, and a store that stalls.

#[path = "../../../../../tests/support/programs.rs"]
pub mod programs;
pub mod replica;
pub mod store;

use programs::{Ended, program, run};
use std::process::{Child, Command};
use std::time::Duration;

pub const LIMIT: Duration = Duration::from_secs(60);
const PROGRAM: &str = env!("CARGO_BIN_EXE_litestream-query");
/// Runs a program after it has set what the program does at a signal.
const SET_SIGNAL: &str = "import os, signal, sys
signal.signal(getattr(signal, sys.argv[1]), getattr(signal, sys.argv[2]))
os.execv(sys.argv[3], sys.argv[3:])";

/// Returns a command that runs the program with these arguments.
pub fn query(arguments: &[&str]) -> Command {
    with_arguments(Command::new(PROGRAM), arguments)
}

/// Returns a command that runs the program as if a terminal had started it. A shell that starts the tests in the background has them ignore
/// SIGINT, and a program inherits that.
pub fn interruptible(arguments: &[&str]) -> Command {
    with_signal("SIGINT", "SIG_DFL", arguments)
}

/// Returns a command that runs the program as `nohup` does, with this signal.
#[cfg(target_os = "linux")]
pub fn ignoring(signal: &str, arguments: &[&str]) -> Command {
    with_signal(signal, "SIG_IGN", arguments)
}

fn with_signal(signal: &str, action: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("python3"));
    command.args(["-c", SET_SIGNAL, signal, action, PROGRAM]);
    with_arguments(command, arguments)
}

fn with_arguments(mut command: Command, arguments: &[&str]) -> Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LITESTREAM_")) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

/// Sends a signal to a program.
pub fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill").arg(signal).arg(child.id().to_string()).status().expect("kill starts");
    assert!(sent.success());
}

/// Runs the program to its end.
pub fn ended(arguments: &[&str]) -> Ended {
    run(&mut query(arguments), LIMIT)
}

/// Returns what the program prints. It must succeed, and print nothing on stderr.
pub fn printed(arguments: &[&str]) -> String {
    let ended = ended(arguments);
    assert!(ended.status.success() && ended.stderr.is_empty(), "{arguments:?}: {ended:?}");
    ended.stdout
}

/// Returns what the program prints on stderr. It must fail with this code, and print no row.
pub fn failure(arguments: &[&str], code: i32) -> String {
    let ended = ended(arguments);
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(code), ""), "{arguments:?}: {}", ended.stderr);
    ended.stderr
}

/// Returns the URL of the replica in `sample/`.
pub fn sample() -> String {
    format!("file://{}/sample/replica", root())
}

/// Returns the directory of the repository.
pub fn root() -> &'static str {
    env!("CARGO_MANIFEST_DIR").strip_suffix("/crates/cli").expect("the package is in the repository")
}

/// Returns the time in `sample/README.md`: before the prices rose.
pub fn earlier() -> String {
    let readme = std::fs::read_to_string(format!("{}/sample/README.md", root())).expect("the README");
    let (_, rest) = readme.split_once("--at '").expect("it shows a time");
    rest.split_once('\'').expect("the time is quoted").0.to_owned()
}
