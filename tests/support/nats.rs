//! A NATS server with JetStream, and buckets in it.

use super::programs::{program, wait_until};
use async_nats::jetstream::{self, object_store};
use async_nats::{Client, ConnectOptions};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A running server. It stops, and takes its streams along, when it is dropped.
pub struct Nats {
    child: Child,
    pub port: u16,
    dir: TempDir,
}

/// The password of the user `replica`, who may do everything.
pub const PASSWORD: &str = "p@ss/word";

/// The settings of a server that lets in the user `replica`.
pub fn with_password() -> String {
    format!("authorization {{ users: [ {{user: replica, password: {PASSWORD:?}}} ] }}")
}

impl Nats {
    /// Starts a server with these settings besides.
    pub fn start(settings: &str) -> Nats {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let dir = tempfile::tempdir().expect("a directory");
        let shown = dir.path().display();
        let config =
            format!("listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{shown}/streams\" }}\n{settings}\n");
        std::fs::write(dir.path().join("config"), config).expect("a file is written");
        let mut server = Nats { child: run(dir.path()), port, dir };
        server.wait();
        server
    }

    /// Ends it, without a word to its clients, and starts it again.
    pub fn restart(&mut self) {
        self.stop();
        self.child = run(self.dir.path());
        self.wait();
    }

    /// Ends it. Its streams stay.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn wait(&mut self) {
        wait_until("nats-server listens", || {
            let ended = self.child.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "nats-server ended: {ended:?}");
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    /// The host and port of a URL.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A connection of the user who may do everything, if there is one.
    pub async fn client(&self) -> Client {
        let options = ConnectOptions::with_user_and_password("replica".to_owned(), PASSWORD.to_owned());
        options.request_timeout(Some(Duration::from_secs(30))).connect(self.host()).await.expect("a connection")
    }

    /// Makes a bucket.
    pub async fn bucket(&self, name: &str) -> object_store::ObjectStore {
        let config = object_store::Config { bucket: name.to_owned(), ..object_store::Config::default() };
        jetstream::new(self.client().await).create_object_store(config).await.expect("a bucket")
    }

    /// How many readers the server keeps a place for in a bucket.
    pub async fn readers(&self, bucket: &str) -> usize {
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
