//! Listings of buckets that are large, or change meanwhile.

use super::server::{FakeBucket, Manner, start, store_of, subject_of};
use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid};
use crate::store::bounds::MOST_NAMES;
use crate::store::nats::NatsStore;
use crate::store::nats::connection::NatsConnection;
use crate::store::nats::subjects::SubjectSet;
use crate::store::reconnect::StoreConnection;
use crate::store::{Store, StoreErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

fn path(txid: usize) -> String {
    let txid = Txid(txid as u64);
    format!("ltx/0/{}", FileName { min: txid, max: txid })
}

/// Returns a bucket in which the first of these objects were deleted by Litestream, and the others exist.
fn bucket(deleted: usize, existing: usize) -> Arc<Mutex<FakeBucket>> {
    let mut bucket = FakeBucket::default();
    (1..=deleted + existing).for_each(|txid| bucket.put(&path(txid), txid <= deleted));
    Arc::new(Mutex::new(bucket))
}

async fn listed(store: &NatsStore) -> Vec<u64> {
    let files = store.list(Level::ZERO, Txid(0)).await.expect("a listing");
    files.into_iter().map(|file| file.name.min.0).collect()
}

#[tokio::test]
async fn deleted_objects_do_not_count_as_names_of_a_listing() {
    let last = MOST_NAMES as u64 + 2;
    let bucket = bucket(MOST_NAMES + 1, 1);
    let store = store_of(&bucket).await;
    assert_eq!(listed(&store).await, [last]);
    bucket.lock().put(&path(last as usize + 1), false);
    assert_eq!(listed(&store).await, [last, last + 1], "an update");
    assert_eq!(bucket.lock().lists, 1);
}

#[tokio::test]
async fn too_many_existing_objects_are_an_error_until_some_are_deleted() {
    let bucket = bucket(1, MOST_NAMES);
    let store = store_of(&bucket).await;
    assert_eq!(listed(&store).await.len(), MOST_NAMES);
    bucket.lock().put(&path(1), false);
    for _ in 0..2 {
        let error = store.list(Level::ZERO, Txid(0)).await.expect_err("too many names");
        assert_eq!(error.kind(), StoreErrorKind::Protocol);
        assert!(error.to_string().contains("turn Litestream's retention on"), "{error}");
    }
    bucket.lock().purge(&subject_of(&path(2)), u64::MAX);
    assert_eq!(listed(&store).await.len(), MOST_NAMES);
}

#[test]
fn the_number_of_deleted_objects_is_limited_too() {
    let mut subjects = SubjectSet::default();
    let full = (0..8 * MOST_NAMES).try_for_each(|number| subjects.insert(&number.to_string()));
    full.expect("not too many");
    subjects.insert("0").expect("the same subject again");
    let error = subjects.insert("x").expect_err("too many");
    assert!(error.at("nats://h/b").to_string().ends_with("move the replica to a new bucket"));
}

/// The next listing continues where a failed or cancelled update ended, and does not begin again with a complete list.
#[tokio::test]
async fn an_update_that_fails_or_is_cancelled_keeps_the_listing() {
    let bucket = bucket(0, 5);
    let store = store_of(&bucket).await;
    assert_eq!(listed(&store).await, [1, 2, 3, 4, 5]);
    bucket.lock().put(&path(6), false);

    bucket.lock().manner = Manner::Refuses;
    store.list(Level::ZERO, Txid(0)).await.expect_err("a refusal");
    bucket.lock().manner = Manner::IsSilent;
    let list = timeout(Duration::from_millis(100), store.list(Level::ZERO, Txid(0)));
    assert!(list.await.is_err(), "the server is silent");
    bucket.lock().manner = Manner::Responds;
    assert_eq!(listed(&store).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(bucket.lock().lists, 1);
}

#[tokio::test]
async fn objects_that_disappear_without_a_message_are_not_listed_and_others_stay() {
    let bucket = bucket(0, 5);
    let store = store_of(&bucket).await;
    assert_eq!(listed(&store).await, [1, 2, 3, 4, 5]);
    for txid in [2, 4] {
        bucket.lock().purge(&subject_of(&path(txid)), u64::MAX);
    }
    bucket.lock().put(&path(6), false);
    assert_eq!(listed(&store).await, [1, 3, 5, 6]);
    assert_eq!(listed(&store).await, [1, 3, 5, 6]);
    assert_eq!(bucket.lock().lists, 2, "the second listing needs no list of subjects");
}

/// A deletion may be repeated after its response was lost, when another writer has created the name again.
#[tokio::test]
async fn a_repeated_deletion_keeps_an_object_that_was_created_since() {
    let bucket = bucket(0, 2);
    let connection = NatsConnection::open(&start(&bucket).await).await.expect("a connection");
    let deletion = connection.deletion(&path(1)).await.expect("a response").expect("an object");
    connection.purge_deleted(&deletion).await.expect("a response");
    let store = store_of(&bucket).await;
    assert_eq!(listed(&store).await, [2]);
    bucket.lock().put(&path(1), false);
    connection.purge_deleted(&deletion).await.expect("a response");
    assert_eq!(listed(&store).await, [1, 2]);

    // The creator of an object expects the marker that it has read.
    bucket.lock().put(&path(1), true);
    for missing in [1, 3] {
        assert!(connection.deletion(&path(missing)).await.expect("a response").is_none(), "{missing}");
    }
}
