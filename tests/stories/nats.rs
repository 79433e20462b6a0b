//! Replicas in JetStream on a real NATS server, also written by Litestream.

use crate::stories::conformance::{Writer, at, check, complaint, content, name, names};
use crate::stories::creation;
use crate::stories::fork::forks;
use crate::support::litestream::Destination;
use crate::support::lossy::{LossyProxy, start_gap};
use crate::support::nats::{Nats, PASSWORD, with_password};
use crate::support::programs::{program, run};
use crate::support::written;
use async_nats::jetstream::object_store::{ObjectMetadata, ObjectStore};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use futures_util::future::join_all;
use litestream_vfs::ltx::{FileName, Level, Txid};
use litestream_vfs::store::{Creation, ObjectName, Store, StoreErrorKind, probe_create};
use std::ffi::OsString;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

fn nothing(_: &str) -> Option<OsString> {
    None
}

/// Writes objects to a bucket, in chunks of this length.
struct Objects(ObjectStore, usize);

#[async_trait]
impl Writer for Objects {
    async fn put(&self, level: Level, name: &str, mut bytes: &[u8]) {
        let name = format!("ltx/{level}/{name}");
        let meta = ObjectMetadata { name, chunk_size: Some(self.1), ..ObjectMetadata::default() };
        self.0.put(meta, &mut bytes).await.expect("an object is put");
    }

    async fn delete(&self, level: Level, name: &str) {
        self.0.delete(format!("ltx/{level}/{name}")).await.expect("an object is deleted");
    }
}

fn store_of(server: &Nats, bucket: &str) -> Arc<dyn Store> {
    at(&format!("nats://replica:p%40ss%2Fword@{}/{bucket}", server.host()), nothing)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jetstream_bucket_passes_the_conformance_tests() {
    let server = Nats::start(&with_password());
    for (bucket, piece) in [("small-pieces", 777), ("large_pieces", 128 * 1024)] {
        let objects = Objects(server.bucket(bucket).await, piece);
        let store = store_of(&server, bucket);
        check(&*store, &objects).await;
        creation::check(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_of_jetstream_exists_after_the_response_to_its_creation_was_lost() {
    let server = Nats::start(&with_password());
    server.bucket("app").await;
    let proxy = LossyProxy::start(server.port, "HPUB $O.app.M.");
    let through = at(&format!("nats://replica:p%40ss%2Fword@127.0.0.1:{}/app", proxy.port), nothing);
    creation::check_lost_response(&*through, || proxy.has_lost(), &*store_of(&server, "app")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_is_complete_after_its_response_was_lost() {
    let server = Nats::start(&with_password());
    server.bucket("app").await;
    let proxy = LossyProxy::start(server.port, "STREAM.PURGE.OBJ_app");
    let through = at(&format!("nats://replica:p%40ss%2Fword@127.0.0.1:{}/app", proxy.port), nothing);
    let file = ObjectName::File(Level::ZERO, name(1, 1));
    through.create(file, content(1000, 1).into()).await.expect("it can be written");
    through.delete(file).await.expect("it is deleted");
    assert!(proxy.has_lost());
    assert_eq!(left(&server).await, (0, 0));
    assert_eq!(names(&*store_of(&server, "app"), Level::ZERO, 0).await, []);
}

/// Returns the number of messages and of subjects in the stream of the bucket `app`.
async fn left(server: &Nats) -> (u64, u64) {
    let stream = async_nats::jetstream::new(server.client().await).get_stream("OBJ_app").await.expect("a stream");
    let state = &stream.cached_info().state;
    (state.messages, state.subjects_count)
}

/// So any number of objects can be written to a bucket over time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_object_leaves_nothing_in_a_bucket_and_in_no_listing() {
    const ROUND: u64 = 100;
    let server = Nats::start(&with_password());
    let bucket = server.bucket("app").await;
    let (writer, reader) = (store_of(&server, "app"), store_of(&server, "app"));
    // Bytes of objects that were never completed.
    let context = async_nats::jetstream::new(server.client().await);
    for number in 0..5 {
        let sent = context.publish(format!("$O.app.C.unfinished{number}"), "bytes".into()).await.expect("a message");
        sent.await.expect("the stream has it");
    }
    let file = |txid| ObjectName::File(Level::ZERO, name(txid, txid));
    for round in 0..5 {
        let txids = round * ROUND + 1..=(round + 1) * ROUND;
        let created = txids.clone().map(|txid| writer.create(file(txid), Bytes::from_static(b"file")));
        assert!(join_all(created).await.into_iter().all(|created| created.expect("a response") == Creation::Created));
        let all: Vec<FileName> = txids.clone().map(|txid| name(txid, txid)).collect();
        assert_eq!(names(&*reader, Level::ZERO, 0).await, all);

        writer.delete(file(*txids.start())).await.expect("it is deleted");
        assert_eq!(names(&*reader, Level::ZERO, 0).await, all[1..], "one deletion");
        for deleted in join_all(txids.map(|txid| writer.delete(file(txid)))).await {
            deleted.expect("it is deleted, or was before");
        }
        assert_eq!(names(&*reader, Level::ZERO, 0).await, []);
        assert_eq!(left(&server).await, (5, 5));
    }
    creation::has_one_winner(&writer, Level::ZERO).await;
    assert_eq!(names(&*reader, Level::ZERO, 0).await, [name(1, 1), name(2, 2), name(3, 3)], "names of deleted objects");
    assert_eq!(names(&*store_of(&server, "app"), Level::ZERO, 0).await, [name(1, 1), name(2, 2), name(3, 3)]);
    bucket.info(format!("ltx/0/{}", name(9, 9))).await.expect_err("a deleted object");
    bucket.info(format!("ltx/0/{}", name(3, 3))).await.expect("an object");
}

/// As Litestream leaves it after some days.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_with_the_markers_of_many_deleted_objects_is_listed() {
    const DELETED: u64 = 3000;
    let server = Nats::start(&with_password());
    let objects = Objects(server.bucket("app").await, 1000);
    let context = async_nats::jetstream::new(server.client().await);
    let mut sent = Vec::new();
    for txid in 1..=DELETED {
        let path = format!("ltx/0/{}", name(txid, txid));
        let marker =
            format!(r#"{{"name":"{path}","bucket":"app","nuid":"x{txid}","size":0,"chunks":0,"deleted":true}}"#);
        let subject = format!("$O.app.M.{}", URL_SAFE.encode(&path));
        sent.push(context.publish(subject, marker.into()).await.expect("a message").into_future());
    }
    join_all(sent).await.into_iter().for_each(|sent| drop(sent.expect("the stream has it")));
    let (last, next) = (name(DELETED + 1, DELETED + 1), name(DELETED + 2, DELETED + 2));
    objects.put(Level::ZERO, &last.to_string(), b"file").await;
    let store = store_of(&server, "app");
    assert_eq!(names(&*store, Level::ZERO, 0).await, [last]);
    store.create(ObjectName::File(Level::ZERO, next), Bytes::from_static(b"file")).await.expect("it can be written");
    store.delete(ObjectName::File(Level::ZERO, last)).await.expect("it is deleted");
    assert_eq!(names(&*store, Level::ZERO, 0).await, [next]);
    assert_eq!(names(&*store_of(&server, "app"), Level::ZERO, 0).await, [next]);
}

/// The client connects again by itself, and the server sends only what it has not sent before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_lost_with_a_connection_is_not_missing_in_an_object() {
    let server = Nats::start(&with_password());
    let objects = Objects(server.bucket("app").await, 16 * 1024);
    let whole = content(8_000_000, 3);
    objects.put(Level::SNAPSHOT, &name(1, 9).to_string(), &whole).await;
    let port = start_gap(server.port, 1 << 20..5 << 18);
    let store = at(&format!("nats://replica:p%40ss%2Fword@127.0.0.1:{port}/app"), nothing);
    let chunk = store.read(Level::SNAPSHOT, name(1, 9), 0..8_000_000, None).await.expect("a file");
    assert!(chunk.bytes == whole, "{} bytes", chunk.bytes.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_without_direct_gets_passes_the_conformance_tests() {
    let server = Nats::start(&with_password());
    server.bucket("app").await;
    let context = async_nats::jetstream::new(server.client().await);
    let mut config = context.get_stream("OBJ_app").await.expect("a stream").cached_info().config.clone();
    config.allow_direct = false;
    context.update_stream(config).await.expect("a stream is changed");
    let objects = Objects(context.get_object_store("app").await.expect("a bucket"), 1000);
    check(&*store_of(&server, "app"), &objects).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_object_is_fetched_once_and_no_further_than_needed() {
    let server = Nats::start(&with_password());
    let objects = Objects(server.bucket("app").await, 5000);
    let whole = content(5_000_000, 3);
    objects.put(Level::SNAPSHOT, &name(1, 9).to_string(), &whole).await;
    let store = store_of(&server, "app");
    let read = |from: usize, to: usize| {
        let (store, whole) = (&store, &whole);
        async move {
            let chunk = store.read(Level::SNAPSHOT, name(1, 9), from as u64..to as u64, None).await.expect("a file");
            let to = to.min(whole.len());
            assert!(chunk.bytes == whole[from..to], "{from}..{to}: {} bytes", chunk.bytes.len());
        }
    };
    let vanish = || async {
        let stream = async_nats::jetstream::new(server.client().await).get_stream("OBJ_app").await.expect("a stream");
        stream.purge().filter("$O.app.C.>").await.expect("the bytes of all objects go");
    };
    read(0, 100).await;
    join_all((0..10).map(|part| read(part * 200_000, part * 200_000 + 300_000))).await;
    vanish().await;
    join_all((0..10).map(|part| read(part * 200_000, part * 200_000 + 300_000))).await;
    let error =
        store.read(Level::SNAPSHOT, name(1, 9), 4_000_000..4_000_001, None).await.expect_err("the chunk was purged");
    assert_eq!(error.kind(), StoreErrorKind::Changed);
    assert!(
        error.to_string().ends_with("some pieces of the object are missing: it was deleted or rewritten"),
        "{error}"
    );
    objects.put(Level::SNAPSHOT, &name(1, 9).to_string(), &whole).await;
    join_all((0..40).map(|part| read(part * 125_000, part * 125_000 + 200_000))).await;
    vanish().await;
    read(0, usize::MAX).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_are_deleted_soon_after_a_read() {
    let server = Nats::start(&with_password());
    let objects = Objects(server.bucket("app").await, 1000);
    objects.put(Level::ZERO, &name(1, 1).to_string(), &content(50_000, 1)).await;
    let store = store_of(&server, "app");
    assert_eq!(names(&*store, Level::ZERO, 0).await, [name(1, 1)]);
    store.read(Level::ZERO, name(1, 1), 0..10, None).await.expect("a file");
    let mut left = usize::MAX;
    for _ in 0..100 {
        left = server.consumers("app").await;
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_server_is_read_over_a_new_connection() {
    let mut server = Nats::start(&with_password());
    let objects = Objects(server.bucket("app").await, 4000);
    let whole = content(2_000_000, 5);
    objects.put(Level::SNAPSHOT, &name(1, 9).to_string(), &whole).await;
    let store = store_of(&server, "app");
    for through in [1_000_000, 1_500_000, 2_000_000] {
        let chunk = store.read(Level::SNAPSHOT, name(1, 9), 0..through, None).await.expect("a file");
        assert!(chunk.bytes == whole[..through as usize], "{} bytes", chunk.bytes.len());
        assert_eq!(names(&*store, Level::SNAPSHOT, 0).await, [name(1, 9)]);
        server.restart();
    }
    server.stop();
    let error = store.list(Level::ZERO, Txid(0)).await.expect_err("the server is stopped");
    assert_eq!(error.kind(), StoreErrorKind::Unreachable);
    assert!(error.to_string().contains(&format!("cannot connect to {}: ", server.host())), "{error}");
}

/// A listing reads only new messages, but still detects objects that were purged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listings_follow_added_deleted_and_purged_objects() {
    let server = Nats::start(&with_password());
    let bucket = server.bucket("app").await;
    let objects = Objects(bucket.clone(), 1000);
    let store = store_of(&server, "app");
    let put = |txid| {
        let objects = &objects;
        async move { objects.put(Level::ZERO, &name(txid, txid).to_string(), &content(3000, 1)).await }
    };
    let range = |txids: std::ops::RangeInclusive<u64>| txids.map(|txid| name(txid, txid)).collect::<Vec<FileName>>();
    for txid in 1..=5 {
        put(txid).await;
        assert_eq!(names(&*store, Level::ZERO, 0).await, range(1..=txid));
    }
    for txid in 1..=2 {
        objects.delete(Level::ZERO, &name(txid, txid).to_string()).await;
        assert_eq!(names(&*store, Level::ZERO, 0).await, range(txid + 1..=5));
    }
    put(2).await;
    assert_eq!(names(&*store, Level::ZERO, 0).await, range(2..=5), "a name that was deleted and added again");

    let context = async_nats::jetstream::new(server.client().await);
    let acknowledged = context.publish("$O.app.M.nonsense", "no object".into()).await.expect("a message");
    acknowledged.await.expect("the stream has it");
    assert_eq!(names(&*store, Level::ZERO, 0).await, range(2..=5));
    assert_eq!(names(&*store_of(&server, "app"), Level::ZERO, 0).await, range(2..=5), "in a new store as well");

    context.get_stream("OBJ_app").await.expect("a stream").purge().await.expect("everything goes");
    assert_eq!(names(&*store, Level::ZERO, 0).await, []);
    put(7).await;
    assert_eq!(names(&*store, Level::ZERO, 0).await, range(7..=7));

    context.delete_stream("OBJ_app").await.expect("the bucket goes");
    let error = store.list(Level::ZERO, Txid(0)).await.expect_err("no bucket");
    assert!(error.to_string().contains("the bucket 'app' does not exist"), "{error}");
    let again = Objects(server.bucket("app").await, 1000);
    assert_eq!(names(&*store, Level::ZERO, 0).await, []);
    for txid in 1..=9 {
        again.put(Level::ZERO, &name(txid, txid).to_string(), b"file").await;
    }
    assert_eq!(names(&*store, Level::ZERO, 0).await, range(1..=9));
}

/// While another client writes continuously in many small chunks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_contains_everything_that_existed_at_its_start() {
    let server = Nats::start(&with_password());
    let objects = Objects(server.bucket("app").await, 50);
    let (written, deleted) = (AtomicU64::new(0), AtomicU64::new(0));
    let write = async {
        for txid in 1..=300 {
            objects.put(Level::ZERO, &name(txid, txid).to_string(), &content(500 + txid as usize * 7, 1)).await;
            written.store(txid, Ordering::SeqCst);
            if txid % 3 == 0 {
                deleted.store(txid / 3, Ordering::SeqCst);
                objects.delete(Level::ZERO, &name(txid / 3, txid / 3).to_string()).await;
            }
        }
    };
    let look = async {
        let mut stores = vec![store_of(&server, "app")];
        while written.load(Ordering::SeqCst) < 300 {
            stores.push(store_of(&server, "app"));
            for store in [&stores[0], &stores[stores.len() - 1]] {
                let before = written.load(Ordering::SeqCst);
                let listed = names(&**store, Level::ZERO, 0).await;
                let after = deleted.load(Ordering::SeqCst);
                let missing: Vec<u64> =
                    (after + 1..=before).filter(|txid| !listed.contains(&name(*txid, *txid))).collect();
                assert!(missing.is_empty(), "{missing:?} of {before}");
            }
        }
    };
    tokio::join!(write, look);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_objects_are_no_longer_listed() {
    let server = Nats::start(&with_password());
    let config = async_nats::jetstream::object_store::Config {
        bucket: "app".to_owned(),
        max_age: Duration::from_secs(1),
        ..Default::default()
    };
    let context = async_nats::jetstream::new(server.client().await);
    let objects = Objects(context.create_object_store(config).await.expect("a bucket"), 1000);
    let store = store_of(&server, "app");
    objects.put(Level::ZERO, &name(1, 1).to_string(), b"file").await;
    assert_eq!(names(&*store, Level::ZERO, 0).await, [name(1, 1)]);
    for _ in 0..500 {
        if names(&*store, Level::ZERO, 0).await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("an expired object is still listed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_authentication_and_missing_buckets_are_reported() {
    let server = Nats::start(&with_password());
    let host = server.host();
    let (kind, text) = complaint(&format!("nats://replica:hush@{host}/app"), nothing).await;
    assert_eq!(kind, StoreErrorKind::Denied);
    assert!(text.contains(&format!("{host} rejects the password of user replica")), "{text}");
    let (kind, text) = complaint(&format!("nats://{host}/app"), nothing).await;
    assert_eq!(kind, StoreErrorKind::Denied);
    assert!(text.contains(&format!("{host} requires credentials")), "{text}");
    let (kind, text) = complaint(&format!("nats://hush@{host}/app"), nothing).await;
    assert_eq!(kind, StoreErrorKind::Denied);
    assert!(text.contains("rejects the token"), "{text}");

    let from_the_environment = |name: &str| match name {
        "LITESTREAM_NATS_USERNAME" => Some("replica".into()),
        "LITESTREAM_NATS_PASSWORD" => Some(PASSWORD.into()),
        _ => None,
    };
    let (kind, text) = complaint(&format!("nats://{host}/app"), from_the_environment).await;
    assert_eq!(kind, StoreErrorKind::Config);
    assert!(text.ends_with("the bucket 'app' does not exist; create it with `nats object add app`"), "{text}");
    let (kind, text) = complaint("nats://127.0.0.1:1/app", nothing).await;
    assert_eq!(kind, StoreErrorKind::Unreachable);
    assert!(text.starts_with("nats://127.0.0.1:1/app: cannot connect to 127.0.0.1:1: "), "{text}");
}

/// Users with the permissions that reading and writing need, and users who lack one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_permissions_suffice_and_a_missing_one_is_named() {
    let needed = [
        "$JS.API.STREAM.INFO.OBJ_app",
        "$JS.API.STREAM.MSG.GET.OBJ_app",
        "$JS.API.DIRECT.GET.OBJ_app.>",
        "$JS.API.CONSUMER.CREATE.OBJ_app",
        "$JS.API.CONSUMER.MSG.NEXT.OBJ_app.>",
        "$JS.API.CONSUMER.DELETE.OBJ_app.>",
    ];
    let user = |name: &str, subjects: &[&str]| {
        format!(
            "{{user: {name}, password: {PASSWORD:?}, permissions: {{publish: {subjects:?}, subscribe: [\"_INBOX.>\"]}}}}"
        )
    };
    let users = [
        format!("{{user: replica, password: {PASSWORD:?}}}"),
        user("reader", &needed),
        user("stranger", &needed[1..]),
        user("blind", &[needed[0], needed[1], needed[2], needed[4]]),
        user("writer", &[&needed[..], &["$O.app.C.>", "$O.app.M.>", "$JS.API.STREAM.PURGE.OBJ_app"]].concat()),
    ];
    let server = Nats::start(&format!("authorization {{ users: [ {} ] }}", users.join(", ")));
    let objects = Objects(server.bucket("app").await, 1000);
    objects.put(Level::ZERO, &name(1, 1).to_string(), &content(5000, 1)).await;
    let url = |user: &str| format!("nats://{user}:p%40ss%2Fword@{}/app", server.host());
    let store = at(&url("reader"), nothing);
    assert_eq!(names(&*store, Level::ZERO, 0).await, [name(1, 1)]);
    let chunk = store.read(Level::ZERO, name(1, 1), 10..4000, None).await.expect("a file");
    assert!(chunk.bytes == content(5000, 1)[10..4000]);
    probe_create(&*at(&url("writer"), nothing)).await.expect("objects are created and deleted");
    for (user, subject) in [("stranger", "STREAM.INFO.OBJ_app"), ("blind", "CONSUMER.CREATE.OBJ_app")] {
        let (kind, text) = complaint(&url(user), nothing).await;
        assert_eq!(kind, StoreErrorKind::Denied, "{text}");
        assert!(text.contains("the server denies a permission") && text.contains(subject), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seeds_and_tokens_authenticate() {
    let key = nkeys::KeyPair::new_user();
    let seed = key.seed().expect("a seed");
    let settings = format!(
        "authorization {{ users: [ {{nkey: {}}}, {{user: replica, password: {PASSWORD:?}}} ] }}",
        key.public_key()
    );
    let server = Nats::start(&settings);
    server.bucket("app").await;
    let url = format!("nats://{}/app", server.host());
    let with = |seed: String| move |name: &str| (name == "LITESTREAM_NATS_SEED").then(|| seed.clone().into());
    assert_eq!(names(&*at(&url, with(seed)), Level::ZERO, 0).await, []);
    let stranger = nkeys::KeyPair::new_user().seed().expect("a seed");
    let (kind, text) = complaint(&url, with(stranger)).await;
    assert_eq!(kind, StoreErrorKind::Denied);
    assert!(text.contains("rejects the seed"), "{text}");
    let (kind, text) = complaint(&url, with("hush".to_owned())).await;
    assert_eq!(kind, StoreErrorKind::Config);
    assert!(text.contains("the setting seed does not contain the seed"), "{text}");
    let (kind, text) = complaint(&format!("{url}?creds=/no/such/file"), nothing).await;
    assert_eq!(kind, StoreErrorKind::Config);
    assert!(text.contains("/no/such/file: the file cannot be read"), "{text}");

    let server = Nats::start("authorization { token: hush }");
    let token = |name: &str| (name == "LITESTREAM_NATS_TOKEN").then(|| "hush".into());
    let (kind, text) = complaint(&format!("nats://{}/app", server.host()), token).await;
    assert_eq!((kind, text.contains("the bucket 'app' does not exist")), (StoreErrorKind::Config, true), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_jetstream_is_reported() {
    let server = Nats::start("accounts { A { users: [ {user: replica, password: x} ] } }");
    let (kind, text) = complaint(&format!("nats://replica:x@{}/app", server.host()), nothing).await;
    assert_eq!(kind, StoreErrorKind::Config);
    assert!(text.contains("JetStream is not enabled on the server"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tls_server_needs_a_known_authority() {
    let dir = tempfile::tempdir().expect("a directory");
    let (key, certificate) = (dir.path().join("key"), dir.path().join("certificate"));
    let mut openssl = Command::new(program("openssl"));
    openssl.args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=nats".split(' '));
    openssl.args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]);
    let made = run(openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate), Duration::from_secs(60));
    assert!(made.status.success(), "{made:?}");
    let (key, certificate) = (key.display(), certificate.display());
    let tls = format!("tls {{ cert_file: {:?}, key_file: {:?} }}", certificate.to_string(), key.to_string());
    let server = Nats::start(&format!("{tls}\n{}", with_password()));
    let url = format!("nats://replica:p%40ss%2Fword@{}/app?tls=true", server.host());
    let (kind, text) = complaint(&url, nothing).await;
    assert_eq!(kind, StoreErrorKind::Unreachable);
    assert!(text.contains("invalid peer certificate: UnknownIssuer"), "{text}");
    let (kind, text) = complaint(&format!("{url}&root-cas={certificate}"), nothing).await;
    assert_eq!((kind, text.contains("the bucket 'app' does not exist")), (StoreErrorKind::Config, true), "{text}");
}

/// Starts a server with a bucket for Litestream, which cannot take a user from a URL.
fn for_litestream() -> (Nats, Destination) {
    let server = Nats::start(&format!("{}\nno_auth_user: replica", with_password()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(server.bucket("app"));
    let url = format!("nats://{}/app", server.host());
    (server, Destination { url, environment: Vec::new() })
}

#[test]
fn forked_readers_of_a_bucket_follow_the_primary() {
    let (_server, destination) = for_litestream();
    forks(|_| destination);
}

#[test]
fn litestream_finds_the_times_of_objects_in_a_bucket() {
    let (_server, destination) = for_litestream();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async { creation::check_times(&*at(&destination.url, nothing), &destination).await });
}

#[test]
fn a_jetstream_replica_equals_its_restores() {
    let (_server, destination) = for_litestream();
    written::replicate_workload(&destination);
    let url = destination.url.replace("nats://", "nats://replica:p%40ss%2Fword@");
    let stderr = written::assert_served_as_restored(&Destination { url, ..destination.clone() }, &destination);
    assert!(stderr.contains("the password or token is sent unencrypted") && !stderr.contains("p%40ss"), "{stderr}");
}
