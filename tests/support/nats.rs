//! A NATS server with JetStream, and buckets in it.

use super::programs::{program, wait_until};
use super::servers::free_port;
use async_nats::jetstream::{self, object_store};
use async_nats::{Client, ConnectOptions};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A running server. Dropping it stops the server and deletes its streams.
pub struct Nats {
    child: Child,
    pub port: u16,
    dir: TempDir,
}

/// The password of the user `replica`, who has all permissions.
pub const PASSWORD: &str = "p@ss/word";

/// Returns the settings of a server with the user `replica`.
pub fn with_password() -> String {
    format!("authorization {{ users: [ {{user: replica, password: {PASSWORD:?}}} ] }}")
}

impl Nats {
    /// Starts a server with these additional settings.
    pub fn start(settings: &str) -> Nats {
        let port = free_port();
        let dir = tempfile::tempdir().expect("a directory");
        let shown = dir.path().display();
        let config =
            format!("listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{shown}/streams\" }}\n{settings}\n");
        std::fs::write(dir.path().join("config"), config).expect("a file is written");
        let mut server = Nats { child: run(dir.path()), port, dir };
        server.wait();
        server
    }

    /// Kills the server, and starts it again.
    pub fn restart(&mut self) {
        self.stop();
        self.child = run(self.dir.path());
        self.wait();
    }

    /// Kills the server. Its streams stay on disk.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn wait(&mut self) {
        wait_until("nats-server listens", || {
            let ended = self.child.try_wait().expect("the state of a child can be read");
            assert!(ended.is_none(), "nats-server ended: {ended:?}");
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    /// Returns the host and port for a URL.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Connects as the user `replica`.
    pub async fn client(&self) -> Client {
        let options = ConnectOptions::with_user_and_password("replica".to_owned(), PASSWORD.to_owned());
        options.request_timeout(Some(Duration::from_secs(30))).connect(self.host()).await.expect("a connection")
    }

    /// Creates a bucket.
    pub async fn bucket(&self, name: &str) -> object_store::ObjectStore {
        let config = object_store::Config { bucket: name.to_owned(), ..object_store::Config::default() };
        jetstream::new(self.client().await).create_object_store(config).await.expect("a bucket")
    }

    /// Returns the number of consumers of a bucket's stream.
    pub async fn consumers(&self, bucket: &str) -> usize {
        let stream = jetstream::new(self.client().await).get_stream(format!("OBJ_{bucket}")).await;
        stream.expect("a bucket").cached_info().state.consumer_count
    }
}

fn run(dir: &Path) -> Child {
    let mut command = Command::new(program("nats-server"));
    command.arg("-c").arg(dir.join("config")).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("nats-server starts")
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.stop();
    }
}
