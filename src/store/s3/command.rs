//! Runs a command of the shell for a limited time.

use crate::store::bounds::LONGEST_OTHER;
use crate::store::error::short;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The number of threads that may read the outputs of a command. Each run needs two.
pub(super) const READERS: usize = 8;

/// How often it is checked whether a command has ended.
const CHECK: Duration = Duration::from_millis(10);

/// Runs a command of the shell, without input, and returns what it prints. Blocks the thread.
///
/// After `limit`, the command is killed with the programs that it has started. A program that has left their process group can keep an
/// output open, and so a thread that reads it: `readers` limits these threads, for all runs of the command.
///
/// Fails if the command fails, prints more than [`LONGEST_OTHER`] bytes, or exceeds the limit. Errors contain nothing of stdout, and stderr
/// only if the command fails.
pub(super) fn run(command: &str, limit: Duration, readers: &Arc<Semaphore>) -> Result<Vec<u8>, String> {
    let permit = || {
        let permit = readers.clone().try_acquire_owned();
        permit.map_err(|_| "programs that it left running keep its output open".to_owned())
    };
    let (first, second) = (permit()?, permit()?);
    let mut program = Program::start(command)?;
    let (stdout, stderr) = (program.child.stdout.take(), program.child.stderr.take());
    let (printed, complaint) = (read(stdout, first)?, read(stderr, second)?);
    let status = program.wait(limit, || printed.is_finished() && complaint.is_finished())?;
    let (printed, complaint) = (printed.join().unwrap_or_default(), complaint.join().unwrap_or_default());
    if printed.len() as u64 > LONGEST_OTHER {
        return Err(format!("it prints more than {LONGEST_OTHER} bytes"));
    }
    match status.success() {
        true => Ok(printed),
        false => Err(format!("{status} ({})", short(&String::from_utf8_lossy(&complaint)))),
    }
}

/// Reads an output to its end on another thread. Stops after more than [`LONGEST_OTHER`] bytes.
fn read(
    output: Option<impl Read + Send + 'static>,
    permit: OwnedSemaphorePermit,
) -> Result<JoinHandle<Vec<u8>>, String> {
    let read = move || {
        let _permit = permit;
        let mut bytes = Vec::new();
        // After an error, the output is incomplete.
        let _ = output.map(|output| output.take(LONGEST_OTHER + 1).read_to_end(&mut bytes));
        bytes
    };
    let thread = thread::Builder::new().name("litestream-vfs".to_owned());
    thread.spawn(read).map_err(|error| format!("no thread can be started: {error}"))
}

/// A running command. It is killed when it is dropped.
struct Program {
    child: Child,
    /// Whether it was waited for. Until then, its number cannot become that of another process or group.
    has_ended: bool,
}

impl Program {
    fn start(command: &str) -> Result<Program, String> {
        let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
        let mut shell = Command::new(shell);
        shell.args([flag, command]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut shell, 0);
        match shell.spawn() {
            Ok(child) => Ok(Program { child, has_ended: false }),
            Err(error) => Err(format!("it cannot be started: {error}")),
        }
    }

    /// Waits until the outputs are closed and the command has ended. Fails after `limit`.
    fn wait(&mut self, limit: Duration, outputs_are_closed: impl Fn() -> bool) -> Result<ExitStatus, String> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if outputs_are_closed()
                && let Some(ended) = self.child.try_wait().transpose()
            {
                self.has_ended = true;
                return ended.map_err(|error| format!("it cannot be waited for: {error}"));
            }
            thread::sleep(CHECK);
        }
        Err(format!("it was ended because it took more than {} seconds", limit.as_secs()))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.has_ended {
            kill(&mut self.child);
            let _ = self.child.wait();
        }
    }
}

/// Kills a command and the programs that it has started.
#[cfg(unix)]
fn kill(child: &mut Child) {
    use rustix::process::{Pid, Signal, kill_process_group};
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
}

#[cfg(not(unix))]
fn kill(child: &mut Child) {
    let _ = Command::new("taskkill").args(["/T", "/F", "/PID", &child.id().to_string()]).output();
    let _ = child.kill();
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn run_once(command: &str, limit: Duration) -> Result<Vec<u8>, String> {
        run(command, limit, &Arc::new(Semaphore::new(READERS)))
    }

    #[test]
    fn a_command_returns_what_it_prints_or_why_it_failed() {
        assert_eq!(run_once("echo warning >&2; printf abc; cat", LONG), Ok(b"abc".to_vec()));
        assert_eq!(run_once("echo hush; echo oh no >&2; exit 3", LONG), Err("exit status: 3 (oh no)".to_owned()));
        assert_eq!(run_once("yes", LONG), Err("it prints more than 1048576 bytes".to_owned()));
    }

    #[test]
    fn a_command_that_hangs_is_killed_with_what_it_has_started() {
        let (dir, start) = (tempfile::tempdir().expect("a directory"), Instant::now());
        let (pid, readers) = (dir.path().join("pid"), Arc::new(Semaphore::new(READERS)));
        // A program in the background has the output open, too.
        let hangs = format!("sleep 60 & echo $$ > '{}'; sleep 60", pid.display());
        let error = run(&hangs, Duration::from_secs(3), &readers).expect_err("it hangs");
        assert_eq!(error, "it was ended because it took more than 3 seconds");
        let pid = std::fs::read_to_string(pid).expect("the command has started").trim().parse().expect("a number");
        let shell = rustix::process::Pid::from_raw(pid).expect("not zero");
        assert!(rustix::process::test_kill_process(shell).is_err(), "the shell still exists");
        // Nobody has the outputs open.
        while readers.available_permits() < READERS {
            assert!(start.elapsed() < LONG / 2, "a program of the command still exists");
            thread::sleep(CHECK);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn programs_that_a_command_leaves_running_occupy_a_limited_number_of_threads() {
        let readers = Arc::new(Semaphore::new(2));
        let error = run("setsid sleep 9 & sleep 60", Duration::from_secs(3), &readers).expect_err("it hangs");
        assert_eq!(error, "it was ended because it took more than 3 seconds");
        let refused = run("echo", LONG, &readers);
        assert_eq!(refused, Err("programs that it left running keep its output open".to_owned()));
    }
}
