//! Shared code of the tests: the program, replicas, and a store that stalls.

#[path = "../../../../../tests/support/programs.rs"]
pub mod programs;
pub mod replica;
pub mod store;

use programs::{Ended, run};
use std::process::Command;
use std::time::Duration;

pub const LIMIT: Duration = Duration::from_secs(60);

/// Returns a command that runs the program with these arguments.
pub fn query(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_litestream-query"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LITESTREAM_")) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
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
