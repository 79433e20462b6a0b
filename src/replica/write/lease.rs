//! The lease of a writer: an object `lock.json` in the format of Litestream's leaser.
//!
//! It tells writers of one replica of each other, so that only one compacts it, and so that the others can wait instead of losing their
//! transactions to conflicts. Nothing else depends on it. A store can create and delete an object, but cannot replace one on condition that
//! it is unchanged. So a lease is replaced by a deletion and a creation, and two writers that replace the same expired lease may both hold
//! it until one of them renews it. This is harmless: files are only created under free names, and deleted only if others contain them.

use crate::error::{Error, ErrorKind};
use crate::lock::Mutex;
use crate::store::{Creation, ObjectName, Store};
use crate::time;
use bytes::Bytes;
use chrono::DateTime;
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long a lease lasts. It is renewed when half of that time is over.
const DURATION: Duration = Duration::from_secs(120);

/// How long after its end a lease of another writer counts as held, because clocks differ. As long as a lease of Litestream lasts.
const GRACE: Duration = Duration::from_secs(30);

/// Who holds a lease.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LeaseState {
    /// This writer.
    Held,
    /// Another writer.
    HeldBy {
        /// How it calls itself.
        owner: String,
        /// The end of the lease, in milliseconds since 1970.
        expires_ms: i64,
    },
}

/// The content of the object.
#[derive(Clone, PartialEq, Eq, Debug)]
struct LeaseRecord {
    /// Counts the holders.
    generation: i64,
    owner: String,
    expires_ms: i64,
}

impl LeaseRecord {
    fn parse(bytes: &[u8]) -> Option<LeaseRecord> {
        let lease: Value = serde_json::from_slice(bytes).ok()?;
        let expires = DateTime::parse_from_rfc3339(lease.get("expires_at")?.as_str()?).ok()?;
        let owner = lease.get("owner").and_then(Value::as_str).unwrap_or("an unnamed writer");
        let generation = lease.get("generation")?.as_i64()?;
        Some(LeaseRecord { generation, owner: owner.to_owned(), expires_ms: expires.timestamp_millis() })
    }

    fn encode(&self) -> Bytes {
        let (generation, owner, expires_at) = (self.generation, &self.owner, time::format(self.expires_ms));
        json!({ "generation": generation, "expires_at": expires_at, "owner": owner }).to_string().into()
    }

    fn state(self) -> LeaseState {
        LeaseState::HeldBy { owner: self.owner, expires_ms: self.expires_ms }
    }
}

/// The lease of one writer of a replica.
pub struct Lease {
    store: Arc<dyn Store>,
    owner: String,
    /// Returns the time in milliseconds since 1970.
    clock: Box<dyn Fn() -> i64 + Send + Sync>,
    /// The lease that this writer wrote last.
    own: Mutex<Option<LeaseRecord>>,
    /// Who held it when it was acquired or renewed last.
    known: Mutex<Option<LeaseState>>,
}

impl Lease {
    /// Creates the lease of a writer, which does not hold it yet. No other writer may have the same name.
    pub fn new(store: Arc<dyn Store>, owner: impl Into<String>) -> Lease {
        Lease::with_clock(store, owner, time::now_ms)
    }

    /// Creates a lease with a clock of the caller, which returns the time in milliseconds since 1970.
    pub fn with_clock(
        store: Arc<dyn Store>,
        owner: impl Into<String>,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Lease {
        Lease { store, owner: owner.into(), clock: Box::new(clock), own: Mutex::default(), known: Mutex::default() }
    }

    /// Acquires the lease if it is free, or renews it if it is held and half of its time is over. Returns who holds it.
    ///
    /// Sends no request in the first half. The future may be dropped at any time.
    pub async fn hold(&self) -> Result<LeaseState, Error> {
        let state = self.try_hold().await?;
        *self.known.lock() = Some(state.clone());
        Ok(state)
    }

    /// Returns who held the lease when [`Lease::hold`] last returned that; None before.
    pub fn known(&self) -> Option<LeaseState> {
        self.known.lock().clone()
    }

    async fn try_hold(&self) -> Result<LeaseState, Error> {
        let now = (self.clock)();
        let own = self.own.lock().clone();
        if own.is_some_and(|own| now < own.expires_ms - milliseconds(DURATION) / 2) {
            return Ok(LeaseState::Held);
        }
        match self.read().await? {
            None => self.create(1, now).await,
            Some(found) if found.owner == self.owner => self.replace(found.generation, now).await,
            Some(found) if now <= found.expires_ms.saturating_add(milliseconds(GRACE)) => {
                *self.own.lock() = None;
                Ok(found.state())
            }
            Some(expired) => self.replace(expired.generation.saturating_add(1), now).await,
        }
    }

    /// Ends the lease, if this writer holds it.
    pub async fn release(&self) -> Result<(), Error> {
        if self.own.lock().take().is_none() {
            return Ok(());
        }
        if self.read().await?.is_some_and(|found| found.owner == self.owner) {
            self.store.delete(ObjectName::Lease).await?;
        }
        Ok(())
    }

    async fn replace(&self, generation: i64, now: i64) -> Result<LeaseState, Error> {
        self.store.delete(ObjectName::Lease).await?;
        self.create(generation, now).await
    }

    async fn create(&self, generation: i64, now: i64) -> Result<LeaseState, Error> {
        let expires_ms = now.saturating_add(milliseconds(DURATION));
        let record = LeaseRecord { generation, owner: self.owner.clone(), expires_ms };
        let created = self.store.create(ObjectName::Lease, record.encode()).await?;
        // If the response to the first try was lost, the existing lease is this one. If none exists, another writer just released its.
        let winner = match created {
            Creation::Created => None,
            Creation::Exists => self.read().await?.filter(|found| *found != record),
        };
        *self.own.lock() = winner.is_none().then_some(record);
        Ok(winner.map_or(LeaseState::Held, LeaseRecord::state))
    }

    async fn read(&self) -> Result<Option<LeaseRecord>, Error> {
        let Some(bytes) = self.store.read_object(ObjectName::Lease).await? else { return Ok(None) };
        let message = || format!("the object lock.json of {} is not the lease of a writer", self.store);
        let invalid = || Error::new(ErrorKind::Config, message()).remedy("delete it if no program uses it");
        LeaseRecord::parse(&bytes).map(Some).ok_or_else(invalid)
    }
}

fn milliseconds(duration: Duration) -> i64 {
    duration.as_millis() as i64
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({} of {})", self.owner, self.store)
    }
}

#[cfg(test)]
mod tests {
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

        fn advance(&self, ms: i64) {
            self.now.fetch_add(ms, Ordering::Relaxed);
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

    #[tokio::test]
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
            writers.advance(50 * SECOND);
            assert_eq!((holder(one.hold().await), holder(other.hold().await)), ("this one".into(), "one".into()));
        }
        other.release().await.expect("nothing to release");
        assert!(writers.content().await.is_some());
        one.release().await.expect("it is released");
        assert_eq!(writers.content().await, None);
        assert_eq!((holder(other.hold().await), holder(one.hold().await)), ("this one".into(), "other".into()));
    }

    #[tokio::test]
    async fn an_expired_lease_is_taken_over_if_the_clocks_differ_by_less_than_the_grace() {
        let writers = Writers::new();
        let (one, ahead) = (writers.lease("one", 0), writers.lease("ahead", 25 * SECOND));
        assert_eq!(holder(one.hold().await), "this one");
        writers.advance(124 * SECOND);
        assert_eq!(holder(ahead.hold().await), "one", "its clock is ahead");
        writers.advance(2 * SECOND);
        assert_eq!(holder(ahead.hold().await), "this one");
        assert!(writers.content().await.expect("a lease").contains("\"generation\":2"));
        assert_eq!(holder(one.hold().await), "ahead");
        one.release().await.expect("a writer without a lease releases nothing");
        assert_eq!(holder(one.hold().await), "ahead");
    }

    #[tokio::test]
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
        writers.advance(59 * SECOND);
        assert_eq!(holder(lease.hold().await), "an unnamed writer");
        writers.advance(2 * SECOND);
        assert_eq!(holder(lease.hold().await), "this one");

        writers.store.delete(ObjectName::Lease).await.expect("it is deleted");
        assert_eq!(writers.store.create(ObjectName::Lease, "{}".into()).await.expect("new"), Creation::Created);
        let error = writers.lease("three", 0).hold().await.expect_err("no lease").to_string();
        assert_eq!(
            error,
            "the object lock.json of memory: is not the lease of a writer; delete it if no program uses it"
        );
    }
}
