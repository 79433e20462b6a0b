//! Servers in separate processes, each on a free local port.

use super::programs::{program, wait_until};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A running server. Dropping it stops the server and deletes its files.
pub struct Server {
    child: Child,
    pub port: u16,
    /// The directory of its files.
    _dir: TempDir,
}

impl Server {
    /// Starts a program. `arguments` gets its port and its directory.
    pub fn start(name: &str, arguments: impl Fn(u16, &str) -> Vec<String>) -> Server {
        let dir = tempfile::tempdir().expect("a directory");
        Server::start_in(dir, name, arguments)
    }

    /// As [`Server::start`], with a directory that already has files.
    pub fn start_in(dir: TempDir, name: &str, arguments: impl Fn(u16, &str) -> Vec<String>) -> Server {
        // If another process takes the port first, the server exits at once, and another port is tried.
        for _ in 0..5 {
            let port = free_port();
            let path = dir.path().to_str().expect("the paths of tests are text");
            let mut command = Command::new(program(name));
            command.args(arguments(port, path)).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
            let mut ended = None;
            wait_until(&format!("{name} listens"), || {
                ended = child.try_wait().expect("the state of a child can be read");
                ended.is_some() || TcpStream::connect(("127.0.0.1", port)).is_ok()
            });
            if ended.is_none() {
                return Server { child, port, _dir: dir };
            }
        }
        panic!("{name} did not start");
    }
}

/// Returns a port on which nothing listens.
///
/// Systems give ports from 32768 on to outgoing connections, so no connection takes this one before the server listens, or while it restarts.
pub fn free_port() -> u16 {
    loop {
        let port = 10_000 + (RandomState::new().build_hasher().finish() % 22_768) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
