//! Replicas in Azure Blob Storage, tested with Azurite, Microsoft's emulator.

use crate::stories::conformance::{Bucket, REPLICA, at, check, complaint, speak_tls};
use crate::stories::{creation, writers};
use crate::support::litestream::Destination;
use crate::support::lossy::LossyProxy;
use crate::support::programs::{program, run};
use crate::support::servers::Server;
use crate::support::written;
use futures_util::TryStreamExt;
use litestream_vfs::store::StoreErrorKind;
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::{ObjectStore, ObjectStoreExt};
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// The default key of Azurite.
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Starts Azurite with a container `box`, and returns the endpoint of its account.
fn azurite() -> (Server, String) {
    let main =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("../test-env/azurite/node_modules/azurite/dist/src/blob/main.js");
    let server = Server::start("node", |port, _| {
        let all = format!("--blobPort {port} --blobHost 127.0.0.1 --silent --inMemoryPersistence --disableTelemetry");
        [main.display().to_string()].into_iter().chain(all.split(' ').map(str::to_owned)).collect()
    });
    let endpoint = format!("http://127.0.0.1:{}/devstoreaccount1", server.port);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts/azure_container.py");
    let ended =
        run(Command::new(program("python3")).arg(script).args([&endpoint, "box", KEY]), Duration::from_secs(60));
    assert!(ended.status.success(), "{ended:?}");
    (server, endpoint)
}

fn url(endpoint: &str, path: &str) -> String {
    format!("abs://devstoreaccount1@box/{path}?endpoint={endpoint}")
}

fn key(name: &str) -> Option<OsString> {
    (name == "LITESTREAM_AZURE_ACCOUNT_KEY").then(|| KEY.into())
}

fn client(endpoint: &str) -> MicrosoftAzure {
    speak_tls();
    let builder = MicrosoftAzureBuilder::new().with_account("devstoreaccount1").with_container_name("box");
    let builder = builder.with_access_key(KEY).with_endpoint(endpoint.to_owned()).with_allow_http(true);
    builder.build().expect("a client")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azurite_passes_the_conformance_tests() {
    let (_server, endpoint) = azurite();
    let bucket = Bucket { objects: Arc::new(client(&endpoint)), level: |level| format!("ltx/{level}") };
    let store = at(&url(&endpoint, REPLICA), key);
    check(&*store, &bucket).await;
    creation::check(&store).await;
}

#[tokio::test]
async fn a_blob_has_the_time_of_its_transaction_where_litestream_looks_for_it() {
    let (_server, endpoint) = azurite();
    let store = at(&url(&endpoint, "app"), key);
    creation::check_timestamp(&*store, &client(&endpoint), "app/ltx/0", "litestreamtimestamp").await;
}

#[tokio::test]
async fn a_blob_exists_after_the_response_to_its_creation_was_lost() {
    let (server, endpoint) = azurite();
    let proxy = LossyProxy::start(server.port, "PUT /devstoreaccount1/box/app/ltx/0/");
    let through = endpoint.replace(&server.port.to_string(), &proxy.port.to_string());
    let (through, direct) = (at(&url(&through, "app"), key), at(&url(&endpoint, "app"), key));
    creation::check_lost_response(&*through, || proxy.has_lost(), &*direct).await;
}

#[tokio::test]
async fn azure_errors_name_the_cause() {
    let (_server, endpoint) = azurite();
    let wrong = |name: &str| (name == "AZURE_STORAGE_KEY").then(|| "aHVzaA==".into());
    let (kind, text) = complaint(&url(&endpoint, "app"), wrong).await;
    assert_eq!(kind, StoreErrorKind::Denied);
    assert!(text.contains("denies access (AuthorizationFailure"), "{text}");
    let (kind, text) = complaint(&url(&endpoint, "app").replace("@box", "@crate"), key).await;
    assert_eq!(kind, StoreErrorKind::Config);
    assert!(text.contains("the container does not exist at http://127.0.0.1:"), "{text}");
    let (kind, text) =
        complaint(&format!("{}&sas=sv%3D2020-01-01%26sig%3Dhush", url(&endpoint, "app")), |_| None).await;
    assert_eq!(kind, StoreErrorKind::Denied);
    assert!(text.contains("sas=***") || !text.contains("sas="), "{text}");
}

/// Litestream accepts another endpoint than Microsoft's only in its configuration, so the test copies its files.
#[test]
fn an_azure_replica_equals_its_restores() {
    let dir = tempfile::tempdir().expect("a directory");
    let directory = Destination::directory(&dir.path().join("replica"));
    written::replicate_workload(&directory);
    let (_server, endpoint) = azurite();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(copy(&dir.path().join("replica"), &client(&endpoint)));
    let environment = vec![("LITESTREAM_AZURE_ACCOUNT_KEY", KEY.to_owned())];
    let blobs = Destination { url: url(&endpoint, "app"), environment };
    assert_eq!(written::assert_served_as_restored(&blobs, &directory), "");
}

#[test]
fn writers_of_azurite_lose_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_server, endpoint) = azurite();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let environment = vec![("LITESTREAM_AZURE_ACCOUNT_KEY", KEY.to_owned())];
    writers::check(&Destination { url: url(&endpoint, "app"), environment }, 3, || {
        runtime.block_on(download(&client(&endpoint), &dir.path().join("replica")));
        Destination::directory(&dir.path().join("replica"))
    });
}

async fn download(from: &MicrosoftAzure, replica: &Path) {
    let objects: Vec<_> = from.list(Some(&"app/ltx".into())).try_collect().await.expect("a listing");
    for object in objects {
        let path = replica.join(object.location.as_ref().strip_prefix("app/").expect("a file of the replica"));
        std::fs::create_dir_all(path.parent().expect("a level")).expect("a directory");
        let bytes = from.get(&object.location).await.expect("a blob").bytes().await.expect("its bytes");
        std::fs::write(path, bytes).expect("a file is written");
    }
}

async fn copy(replica: &Path, to: &MicrosoftAzure) {
    for level in replica.join("ltx").read_dir().expect("levels").flatten() {
        for file in level.path().read_dir().expect("files").flatten() {
            let below = [level.file_name(), file.file_name()].map(|name| name.into_string().expect("a name"));
            let bytes = std::fs::read(file.path()).expect("a file");
            to.put(&format!("app/ltx/{}", below.join("/")).into(), bytes.into()).await.expect("a blob is put");
        }
    }
}
