use super::*;
use crate::store::Memory;
use std::sync::atomic::{AtomicI64, Ordering};

const SECOND: i64 = 1000;

struct Writers {
    store: Arc<Memory>,
    now: Arc<AtomicI64>,
}

impl Writers {
    fn new() -> Writers {
        Writers { store: Arc::new(Memory::new()), now: Arc::new(AtomicI64::new(1_700_000_000_000)) }
    }

    /// Returns the lease of a writer whose clock is ahead.
    fn lease(&self, owner: &str, ahead_ms: i64) -> Lease {
        let now = self.now.clone();
        Lease::with_clock(self.store.clone(), owner, move || now.load(Ordering::Relaxed) + ahead_ms)
    }

    async fn advance(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::Relaxed);
        tokio::time::advance(Duration::from_millis(ms.unsigned_abs())).await;
    }

    async fn content(&self) -> Option<String> {
        let bytes = self.store.read_object(ObjectName::Lease).await.expect("a response");
        bytes.map(|bytes| String::from_utf8(bytes.to_vec()).expect("text"))
    }
}

fn holder(state: Result<LeaseState, Error>) -> String {
    match state.expect("a response") {
        LeaseState::Held => "this one".to_owned(),
        LeaseState::HeldBy { owner, .. } => owner,
    }
}

#[tokio::test(start_paused = true)]
async fn one_writer_holds_the_lease_until_it_releases_it() {
    let writers = Writers::new();
    let (one, other) = (writers.lease("one", 0), writers.lease("other", 0));
    assert_eq!(holder(one.hold().await), "this one");
    let content = r#"{"expires_at":"2023-11-14T22:15:20.000Z","generation":1,"owner":"one"}"#;
    assert_eq!(writers.content().await.as_deref(), Some(content));
    let expires_ms = 1_700_000_120_000;
    assert_eq!(other.hold().await.expect("a response"), LeaseState::HeldBy { owner: "one".to_owned(), expires_ms });
    // It is renewed for as long as it is wanted.
    for _ in 0..10 {
        writers.advance(50 * SECOND).await;
        assert_eq!((holder(one.hold().await), holder(other.hold().await)), ("this one".into(), "one".into()));
    }
    other.release().await.expect("nothing to release");
    assert!(writers.content().await.is_some());
    one.release().await.expect("it is released");
    assert_eq!(writers.content().await, None);
    assert_eq!((holder(other.hold().await), holder(one.hold().await)), ("this one".into(), "other".into()));
}

#[tokio::test(start_paused = true)]
async fn an_expired_lease_is_taken_over_if_the_clocks_differ_by_less_than_the_grace() {
    let writers = Writers::new();
    let (one, ahead) = (writers.lease("one", 0), writers.lease("ahead", 25 * SECOND));
    assert_eq!(holder(one.hold().await), "this one");
    writers.advance(124 * SECOND).await;
    assert_eq!(holder(ahead.hold().await), "one", "its clock is ahead");
    writers.advance(2 * SECOND).await;
    assert_eq!(holder(ahead.hold().await), "this one");
    assert!(writers.content().await.expect("a lease").contains("\"generation\":2"));
    assert_eq!(holder(one.hold().await), "ahead");
    one.release().await.expect("a writer without a lease releases nothing");
    assert_eq!(holder(one.hold().await), "ahead");
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_litestream_is_respected() {
    let writers = Writers::new();
    let lease = writers.lease("one", 0);
    let litestream = r#"{"generation":7,"expires_at":"2023-11-14T22:13:50.123456789+01:00"}"#;
    assert_eq!(writers.store.create(ObjectName::Lease, litestream.into()).await.expect("new"), Creation::Created);
    assert_eq!(holder(lease.hold().await), "this one", "it ended an hour ago, by its time zone");
    assert!(writers.content().await.expect("a lease").contains("\"generation\":8"));

    writers.store.delete(ObjectName::Lease).await.expect("it is deleted");
    let litestream = litestream.replace("+01:00", "Z");
    assert_eq!(writers.store.create(ObjectName::Lease, litestream.into()).await.expect("new"), Creation::Created);
    let lease = writers.lease("two", 0);
    writers.advance(59 * SECOND).await;
    assert_eq!(holder(lease.hold().await), "an unnamed writer");
    writers.advance(2 * SECOND).await;
    assert_eq!(holder(lease.hold().await), "this one");

    writers.store.delete(ObjectName::Lease).await.expect("it is deleted");
    assert_eq!(writers.store.create(ObjectName::Lease, "{}".into()).await.expect("new"), Creation::Created);
    let error = writers.lease("three", 0).hold().await.expect_err("no lease").to_string();
    assert_eq!(error, "the object lock.json of memory: is not the lease of a writer; delete it if no program uses it");
}

/// The clock of the holder is wrong, or it was set while it held the lease.
#[tokio::test(start_paused = true)]
async fn a_lease_that_is_not_renewed_ends_whatever_its_time_is() {
    let writers = Writers::new();
    let (one, ahead) = (writers.lease("one", 0), writers.lease("ahead", 3600 * SECOND));
    assert_eq!((holder(ahead.hold().await), holder(one.hold().await)), ("this one".into(), "ahead".into()));
    // Its holder renews it, although its clock is set back meanwhile.
    for _ in 0..10 {
        writers.now.fetch_sub(70 * SECOND, Ordering::Relaxed);
        writers.advance(61 * SECOND).await;
        assert_eq!((holder(ahead.hold().await), holder(one.hold().await)), ("this one".into(), "ahead".into()));
    }
    writers.advance(149 * SECOND).await;
    assert_eq!(holder(one.hold().await), "ahead");
    writers.advance(2 * SECOND).await;
    assert_eq!(holder(one.hold().await), "this one");
}
