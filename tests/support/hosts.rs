//! Host programs: other languages' SQLite, each in a process of its own, loading the extension as its users do.

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
    /// Where it works unless told. Whatever is left there is a file that should not be.
    dir: TempDir,
    limit: Duration,
}

impl Host {
    /// A Python program. It gets the extension's path as its first argument.
    pub fn python(script: &str) -> Host {
        Host::script("python3", script)
    }

    /// A Python program that lies elsewhere, and is given nothing.
    pub fn python_file(path: &Path) -> Host {
        Host::bare("python3").arg(path)
    }

    /// A Node.js program. It gets the extension's path as its first argument, and finds better-sqlite3.
    pub fn node(script: &str) -> Host {
        let packages = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../test-env/node/node_modules");
        let mut host = Host::script("node", script);
        host.command.env("NODE_PATH", packages);
        host
    }

    /// The sqlite3 shell, without its user's settings. Arguments are its commands, run one after the other.
    pub fn shell() -> Host {
        let mut host = Host::bare("sqlite3");
        host.command.args(["-batch", "-init", "/dev/null", ":memory:"]);
        host
    }

    fn script(interpreter: &str, script: &str) -> Host {
        let mut host = Host::bare(interpreter);
        host.command
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts").join(script))
            .arg(extension::library());
        host
    }

    /// A program in whose environment nothing speaks of replicas.
    fn bare(name: &str) -> Host {
        let mut command = Command::new(program(name));
        for (name, _) in std::env::vars_os() {
            let ours = name.to_str().is_some_and(|name| name.starts_with("LITESTREAM_") || name.starts_with("AWS_"));
            if ours {
                command.env_remove(name);
            }
        }
        let dir = tempfile::tempdir().expect("a directory");
        command.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(dir.path());
        Host { command, dir, limit: LIMIT }
    }

    /// With one more argument.
    pub fn arg(mut self, argument: impl AsRef<std::ffi::OsStr>) -> Host {
        self.command.arg(argument);
        self
    }

    /// With this variable in its environment from the start.
    pub fn env(mut self, name: &str, value: &str) -> Host {
        self.command.env(name, value);
        self
    }

    /// With what it takes to read that place.
    pub fn credentials(mut self, destination: &Destination) -> Host {
        self.command.envs(destination.environment.iter().cloned());
        self
    }

    /// With this working directory.
    pub fn within(mut self, dir: &Path) -> Host {
        self.command.current_dir(dir);
        self
    }

    /// With that much more time to end in.
    pub fn longer(mut self, by: Duration) -> Host {
        self.limit += by;
        self
    }

    /// A process that does what it is told.
    pub fn session(destination: &Destination) -> Session {
        let Host { command, dir, .. } = Host::python("session.py").credentials(destination);
        Session::start(command, dir)
    }

    /// Runs it to its end, whatever that is. A replica leaves no files behind.
    pub fn run(mut self) -> Ended {
        let ended = run(&mut self.command, self.limit);
        let left: Vec<_> = self.dir.path().read_dir().expect("it is there").flatten().collect();
        assert!(left.is_empty(), "{left:?} was left in the working directory");
        ended
    }

    /// Runs it, and fails unless it succeeds with nothing on stderr. Answers its stdout.
    pub fn succeed(self) -> String {
        let ended = self.run();
        assert!(ended.status.success(), "{}\nstdout: {}\nstderr: {}", ended.status, ended.stdout, ended.stderr);
        assert_eq!(ended.stderr, "", "stderr of a host that meets no trouble");
        ended.stdout
    }
}
