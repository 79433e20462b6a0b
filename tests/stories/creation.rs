//! The requirements that every store must meet that can be written.

use crate::stories::conformance::{Bucket, at, content, name, names};
#[cfg(unix)]
use crate::support::litestream::Destination;
use crate::support::s3::{Manner, S3Server};
use bytes::Bytes;
use futures_util::future::join_all;
#[cfg(unix)]
use litestream_vfs::ltx::{Encoder, FileName, Form, Header, PageSize};
use litestream_vfs::ltx::{Level, Txid};
use litestream_vfs::store::{Creation, ObjectName, Store, StoreErrorKind, probe_create};
#[cfg(unix)]
use object_store::{Attribute, ObjectStore, ObjectStoreExt};
use std::sync::Arc;

/// Longer than the pieces in which any store writes.
const LENGTH: usize = 300_000;

pub(super) async fn check(store: &Arc<dyn Store>) {
    // Levels that the tests of reading do not use.
    let (level, other) = (Level::new(5).expect("a level"), Level::new(6).expect("a level"));
    creates_once(&**store, level).await;
    has_one_winner(store, other).await;
    probe_create(&**store).await.expect("the store refuses to create an object twice");
    reads_a_lease(&**store).await;
}

async fn reads_a_lease(store: &dyn Store) {
    let lease = async || store.read_object(ObjectName::Lease).await.expect("a response");
    assert_eq!(lease().await, None);
    let content = Bytes::from_static(b"{}");
    assert_eq!(store.create(ObjectName::Lease, content.clone()).await.expect("a response"), Creation::Created);
    assert_eq!(lease().await, Some(content.clone()));
    assert_eq!(store.create(ObjectName::Lease, Bytes::new()).await.expect("a response"), Creation::Exists);
    assert_eq!(lease().await, Some(content));
    store.delete(ObjectName::Lease).await.expect("it is deleted");
    assert_eq!(lease().await, None);
}

async fn read(store: &dyn Store, level: Level, txid: u64) -> Result<Bytes, StoreErrorKind> {
    let chunk = store.read(level, name(txid, txid), 0..u64::MAX, None).await.map_err(|error| error.kind())?;
    assert_eq!(chunk.file_size, chunk.bytes.len() as u64);
    Ok(chunk.bytes)
}

async fn creates_once(store: &dyn Store, level: Level) {
    let file = |txid| ObjectName::File(level, name(txid, txid));
    for (txid, length) in [(1, LENGTH), (2, 1), (3, 0)] {
        let bytes = Bytes::from(content(length, txid as u8));
        assert_eq!(store.create(file(txid), bytes.clone()).await.expect("it can be written"), Creation::Created);
        assert_eq!(read(store, level, txid).await, Ok(bytes.clone()));
        for second in [bytes.clone(), Bytes::from_static(b"other bytes")] {
            assert_eq!(store.create(file(txid), second).await.expect("a response"), Creation::Exists);
        }
        assert_eq!(read(store, level, txid).await, Ok(bytes));
    }
    let listed = store.list(level, Txid(0)).await.expect("a listing");
    assert_eq!(listed.iter().map(|file| file.name).collect::<Vec<_>>(), [name(1, 1), name(2, 2), name(3, 3)]);
    assert_eq!(listed.iter().map(|file| file.size).collect::<Vec<_>>(), [LENGTH as u64, 1, 0]);
    assert!(listed.iter().all(|file| file.modified_ms == 0 || file.modified_ms > 1_750_000_000_000), "{listed:?}");

    // A deleted name can be created again, and has the new bytes.
    store.delete(file(2)).await.expect("it is deleted");
    store.delete(file(2)).await.expect("a missing object is no error");
    assert_eq!(read(store, level, 2).await, Err(StoreErrorKind::NotFound));
    assert_eq!(names(store, level, 0).await, [name(1, 1), name(3, 3)]);
    let again = Bytes::from_static(b"again");
    assert_eq!(store.create(file(2), again.clone()).await.expect("it can be written"), Creation::Created);
    assert_eq!(read(store, level, 2).await, Ok(again));
}

/// Of several concurrent creators of one file, one wins, and the file has its bytes.
pub(super) async fn has_one_winner(store: &Arc<dyn Store>, level: Level) {
    const CREATORS: u8 = 8;
    for txid in 1..=3 {
        let creators = (0..CREATORS).map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let file = ObjectName::File(level, name(txid, txid));
                store.create(file, content(10_000, number).into()).await.expect("a response")
            })
        });
        let created: Vec<Creation> =
            join_all(creators).await.into_iter().map(|ended| ended.expect("no panic")).collect();
        let winners: Vec<usize> = created
            .iter()
            .enumerate()
            .filter(|(_, one)| **one == Creation::Created)
            .map(|(number, _)| number)
            .collect();
        assert_eq!(winners.len(), 1, "{created:?}");
        assert_eq!(read(&**store, level, txid).await, Ok(content(10_000, winners[0] as u8).into()));
    }
    assert_eq!(names(&**store, level, 0).await, [name(1, 1), name(2, 2), name(3, 3)]);
}

#[tokio::test]
async fn an_object_exists_after_the_response_to_its_creation_was_lost() {
    let server = S3Server::start_with(Manner { loses_responses: true, ..Manner::default() });
    let store = at(&server.url("app"), |name| server.variable(name));
    let file = ObjectName::File(Level::ZERO, name(1, 1));
    assert_eq!(store.create(file, content(100, 1).into()).await.expect("a response"), Creation::Exists);
    assert_eq!(read(&*store, Level::ZERO, 1).await, Ok(content(100, 1).into()));
    let puts = server.take_requests().into_iter().filter(|request| request.operation == "PutObject").count();
    assert_eq!(puts, 2, "the second try finds the object of the first");
}

/// Creates files of three transactions with times in the past. Litestream then restores the states in between.
#[cfg(unix)]
pub(super) async fn check_times(store: &dyn Store, destination: &Destination) {
    const FIRST_MS: i64 = 1_750_000_000_000;
    for txid in [1, 2, 3] {
        let file = ObjectName::File(Level::ZERO, name(txid, txid));
        let bytes = transaction(txid, FIRST_MS + (txid as i64 - 1) * 3_600_000);
        assert_eq!(store.create(file, bytes.into()).await.expect("it can be written"), Creation::Created);
    }
    let dir = tempfile::tempdir().expect("a directory");
    let restored = dir.path().join("restored.db");
    for (time, expected) in [("2025-06-15T15:30:00Z", 1), ("2025-06-15T16:30:00Z", 2)] {
        assert!(destination.restore_with(&["-timestamp", time], &restored), "nothing at {time}");
        assert_eq!(std::fs::read(&restored).expect("a database"), page(expected), "{time}");
    }
}

/// Returns the file of a transaction that writes the only page of a database.
#[cfg(unix)]
fn transaction(txid: u64, timestamp_ms: i64) -> Vec<u8> {
    let header = Header {
        timestamp_ms,
        wal_offset: 32,
        node_id: 1,
        ..Header::plain(PageSize::new(512).expect("a page size"), 1, FileName { min: Txid(txid), max: Txid(txid) })
    };
    let mut encoder = Encoder::new(header, Form::Block);
    encoder.page(1, &page(txid));
    encoder.finish()
}

#[cfg(unix)]
fn page(txid: u64) -> [u8; 512] {
    [txid as u8; 512]
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn litestream_finds_the_times_of_files_in_a_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let destination = Destination::directory(&dir.path().join("replica"));
    check_times(&*at(&destination.url, |_| None), &destination).await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_s3_object_has_the_time_of_its_transaction_where_litestream_looks_for_it() {
    let server = S3Server::start();
    let store = at(&server.url("app"), |name| server.variable(name));
    check_timestamp(&*store, &*Bucket::of(&server).objects, "app/0000", "litestream-timestamp").await;
}

/// Creates a file, whose object must then have its time in the metadata of this name. For stores of which Litestream restores no times in the
/// past: in S3 it compares the time that it is given with those of the uploads, and it does not reach an emulator of Azure.
#[cfg(unix)]
pub(super) async fn check_timestamp(store: &dyn Store, objects: &dyn ObjectStore, level: &str, metadata: &str) {
    let file = ObjectName::File(Level::ZERO, name(1, 1));
    store.create(file, transaction(1, 1_750_000_000_123).into()).await.expect("it can be written");
    let object = objects.get(&format!("{level}/{}", name(1, 1)).into()).await.expect("an object");
    let timestamp = object.attributes.get(&Attribute::Metadata(metadata.to_owned().into()));
    assert_eq!(timestamp.map(AsRef::as_ref), Some("2025-06-15T15:06:40.123Z"));
}

/// `through` is the same store as `direct`, over a connection that breaks before the response to the creation. `has_lost` tells whether that
/// has happened.
#[cfg(unix)]
pub(super) async fn check_lost_response(through: &dyn Store, has_lost: impl Fn() -> bool, direct: &dyn Store) {
    assert_eq!(names(through, Level::ZERO, 0).await, [], "the connection exists, as that of a store in use");
    let (file, bytes) = (ObjectName::File(Level::ZERO, name(1, 1)), Bytes::from(content(1000, 1)));
    assert_eq!(through.create(file, bytes.clone()).await.expect("a response"), Creation::Exists);
    assert!(has_lost());
    assert_eq!(read(direct, Level::ZERO, 1).await, Ok(bytes));
    assert_eq!(names(direct, Level::ZERO, 0).await, [name(1, 1)]);
}

#[tokio::test]
async fn a_server_that_ignores_conditions_is_found() {
    let server = S3Server::start_with(Manner { unconditional: true, ..Manner::default() });
    let store = at(&server.url("app"), |name| server.variable(name));
    let error = probe_create(&*store).await.expect_err("the second object replaced the first");
    assert_eq!(error.kind(), StoreErrorKind::Config);
    assert!(error.to_string().contains("replaces objects although it is told not to"), "{error}");
    assert_eq!(names(&*store, Level::ZERO, 0).await, []);
    assert!(!server.path("app/0000").read_dir().is_ok_and(|mut left| left.next().is_some()), "the probe is deleted");
}

#[cfg(all(unix, feature = "http"))]
#[tokio::test]
async fn a_plain_web_server_is_read_only() {
    let store = at("http://127.0.0.1:1/app", |_| None);
    let file = ObjectName::File(Level::ZERO, name(1, 1));
    for error in [
        store.create(file, Bytes::new()).await.expect_err("read-only"),
        store.delete(file).await.expect_err("read-only"),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::ReadOnly);
        assert_eq!(error.to_string(), "http://127.0.0.1:1/app: replicas of this kind can only be read");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_directory_that_cannot_be_written_says_why() {
    use std::fs;
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("ltx"), "a file").expect("a file");
    let store = at(&format!("file://{}", dir.path().display()), |_| None);
    let error =
        store.create(ObjectName::File(Level::ZERO, name(1, 1)), Bytes::new()).await.expect_err("not a directory");
    assert!(error.to_string().contains("a part of the path is a file and not a directory"), "{error}");
}
