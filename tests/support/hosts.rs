//! Host programs in other languages, each in a separate process, which load the extension as users do.

use super::extension;
use super::litestream::Destination;
use super::programs::{Ended, program, run};
use super::session::Session;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(120);

/// One run of a host program of `tests/hosts`.
pub struct Host {
    command: Command,
    /// The default working directory. It must be empty at the end.
    dir: TempDir,
    limit: Duration,
}

impl Host {
    /// A Python program of `tests/hosts`. Its first argument is the path of the extension.
    pub fn python(script: &str) -> Host {
        Host::script("python3", script)
    }

    /// As [`Host::python`], with another extension.
    pub fn python_with(script: &str, library: &Path) -> Host {
        Host::script_with("python3", script, library)
    }

    /// A Python program in another directory, without arguments.
    pub fn python_file(path: &Path) -> Host {
        Host::bare("python3").arg(path)
    }

    /// A Node.js program of `tests/hosts`, which can import better-sqlite3. Its first argument is the path of the extension.
    pub fn node(script: &str) -> Host {
        let packages = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../test-env/node/node_modules");
        let mut host = Host::script("node", script);
        host.command.env("NODE_PATH", packages);
        host
    }

    /// The sqlite3 shell, without the user's settings. Its arguments are commands.
    pub fn shell() -> Host {
        let mut host = Host::bare("sqlite3");
        host.command.args(["-batch", "-init", "/dev/null", ":memory:"]);
        host
    }

    fn script(interpreter: &str, script: &str) -> Host {
        Host::script_with(interpreter, script, extension::library())
    }

    fn script_with(interpreter: &str, script: &str, library: &Path) -> Host {
        let mut host = Host::bare(interpreter);
        host.command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts").join(script)).arg(library);
        host
    }

    /// A program without variables of Litestream and AWS in its environment.
    fn bare(name: &str) -> Host {
        let mut command = Command::new(program(name));
        for (name, _) in std::env::vars_os() {
            let is_ours = name.to_str().is_some_and(|name| name.starts_with("LITESTREAM_") || name.starts_with("AWS_"));
            if is_ours {
                command.env_remove(name);
            }
        }
        let dir = tempfile::tempdir().expect("a directory");
        command.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(dir.path());
        Host { command, dir, limit: LIMIT }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<std::ffi::OsStr>) -> Host {
        self.command.arg(argument);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Host {
        self.command.env(name, value);
        self
    }

    /// Sets the credentials for a replica.
    pub fn credentials(mut self, destination: &Destination) -> Host {
        self.command.envs(destination.environment.iter().cloned());
        self
    }

    /// Sets its working directory.
    pub fn within(mut self, dir: &Path) -> Host {
        self.command.current_dir(dir);
        self
    }

    /// Extends its time limit.
    pub fn longer(mut self, by: Duration) -> Host {
        self.limit += by;
        self
    }

    /// Starts a session with the credentials for a replica.
    pub fn session(destination: &Destination) -> Session {
        Host::session_with(extension::library(), destination)
    }

    /// As [`Host::session`], with another build of the extension.
    pub fn session_with(library: &Path, destination: &Destination) -> Session {
        let host = Host::python_with("session.py", library);
        let Host { command, dir, .. } = host.credentials(destination);
        Session::start(command, dir)
    }

    /// Runs it to its end, and checks that it left no files behind.
    pub fn run(mut self) -> Ended {
        let ended = run(&mut self.command, self.limit);
        let left: Vec<_> = self.dir.path().read_dir().expect("the directory exists").flatten().collect();
        assert!(left.is_empty(), "{left:?} was left in the working directory");
        ended
    }

    /// Runs it, and returns its stdout. Panics if it fails or prints anything on stderr.
    pub fn succeed(self) -> String {
        let ended = self.run();
        assert!(ended.status.success(), "{}\nstdout: {}\nstderr: {}", ended.status, ended.stdout, ended.stderr);
        assert_eq!(ended.stderr, "", "stderr of a host without errors");
        ended.stdout
    }
}
