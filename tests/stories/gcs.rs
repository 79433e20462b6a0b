//! Replicas in Google Cloud Storage, tested with an emulator and written by Litestream.

use crate::stories::conformance::{REPLICA, Writer, at, check, complaint, name, speak_tls};
use crate::stories::{creation, writers};
use crate::support::litestream::Destination;
use crate::support::recorder::Recorder;
use crate::support::servers::Server;
use crate::support::written;
use async_trait::async_trait;
use bytes::Bytes;
use litestream_vfs::ltx::Level;
use litestream_vfs::store::{ObjectName, StoreErrorKind};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Starts the emulator with a bucket `bucket`.
fn emulator() -> Server {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(dir.path().join("bucket")).expect("a bucket");
    Server::start_in(dir, "fake-gcs-server", |port, dir| {
        // A public host without a port is that of requests through a proxy as well.
        let all = format!("-scheme http -host 127.0.0.1 -port {port} -backend memory -public-host 127.0.0.1 -data");
        all.split(' ').chain([dir]).map(str::to_owned).collect()
    })
}

fn endpoint(server: &Server) -> String {
    format!("http://127.0.0.1:{}", server.port)
}

/// Writes through the JSON API, as Litestream does. The emulator accepts writes in no other way.
struct Emulated {
    client: reqwest::Client,
    endpoint: String,
}

impl Emulated {
    fn name(level: Level, name: &str) -> String {
        utf8_percent_encode(&format!("backups/my app/ltx/{level}/{name}"), NON_ALPHANUMERIC).to_string()
    }

    async fn ask(&self, request: reqwest::RequestBuilder) {
        let answer = request.send().await.expect("the emulator answers");
        assert!(answer.status().is_success(), "{answer:?}");
    }
}

#[async_trait]
impl Writer for Emulated {
    async fn put(&self, level: Level, name: &str, bytes: &[u8]) {
        let (endpoint, name) = (&self.endpoint, Emulated::name(level, name));
        let url = format!("{endpoint}/upload/storage/v1/b/bucket/o?uploadType=media&name={name}");
        self.ask(self.client.post(url).body(bytes.to_vec())).await;
    }

    async fn delete(&self, level: Level, name: &str) {
        let (endpoint, name) = (&self.endpoint, Emulated::name(level, name));
        self.ask(self.client.delete(format!("{endpoint}/storage/v1/b/bucket/o/{name}"))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fake_gcs_server_passes_the_conformance_tests() {
    speak_tls();
    let server = emulator();
    let emulated = Emulated { client: reqwest::Client::new(), endpoint: endpoint(&server) };
    for (scheme, host) in [("gs", endpoint(&server)), ("gcs", format!("127.0.0.1:{}", server.port))] {
        let store = at(&format!("{scheme}://bucket/{REPLICA}?endpoint={host}"), |_| None);
        if scheme == "gs" {
            check(&*store, &emulated).await;
            creation::check(&store).await;
        } else {
            let missing = store.read(Level::ZERO, name(7, 7), 0..1, None).await.expect_err("no file");
            assert_eq!(missing.kind(), StoreErrorKind::NotFound);
        }
    }
}

#[tokio::test]
async fn a_page_instead_of_an_uploaded_object_is_no_creation() {
    let proxy = Recorder::start(|_| ("200 OK", "<html>Sign in</html>".to_owned()));
    let store = at(&format!("gs://bucket/app?endpoint={}", proxy.endpoint), |_| None);
    let file = ObjectName::File(Level::ZERO, name(1, 1));
    let error = store.create(file, Bytes::from_static(b"file")).await.expect_err("no object was created");
    assert_eq!(error.kind(), StoreErrorKind::Protocol);
    let text = error.to_string();
    assert!(text.ends_with("is invalid: the response does not describe the object that was uploaded"), "{text}");
    for request in proxy.take() {
        let expected = "/upload/storage/v1/b/bucket/o?uploadType=multipart&ifGenerationMatch=0";
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", expected));
    }
}

#[tokio::test]
async fn an_absent_gcs_server_is_unreachable() {
    let (kind, text) = complaint("gs://bucket/app?endpoint=http://127.0.0.1:1", |_| None).await;
    assert_eq!(kind, StoreErrorKind::Unreachable);
    assert!(text.starts_with("gs://bucket/app: cannot connect to http://127.0.0.1:1: "), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn litestream_finds_the_times_of_objects_in_gcs() {
    speak_tls();
    let server = emulator();
    let destination = for_litestream(&server);
    let store = at(&format!("{}?endpoint={}", destination.url, endpoint(&server)), |_| None);
    creation::check_times(&*store, &destination).await;
}

fn for_litestream(server: &Server) -> Destination {
    let environment = vec![("STORAGE_EMULATOR_HOST", endpoint(server))];
    Destination { url: "gs://bucket/app".to_owned(), environment }
}

#[test]
fn a_gcs_replica_equals_its_restores() {
    let server = emulator();
    let destination = for_litestream(&server);
    written::replicate_workload(&destination);
    assert_eq!(written::assert_served_as_restored(&destination, &destination), "");
}

#[test]
fn writers_of_fake_gcs_server_lose_nothing() {
    let server = emulator();
    // The endpoint in the URL can be that of a proxy.
    let url = format!("gs://bucket/app?endpoint={}", endpoint(&server));
    writers::check(&Destination { url, environment: Vec::new() }, 4, || for_litestream(&server));
}
