//! The lease of a writer: an object `lock.json` in the format of Litestream's leaser.
//!
//! It tells writers of one replica of each other, so that only one compacts it, and so that the others can wait instead of losing their
//! transactions to conflicts. Nothing else depends on it. A store can create and delete an object, but cannot replace one on condition that
//! it is unchanged. So a lease is replaced by a deletion and a creation, and two writers that replace the same expired lease may both hold
//! it until one of them renews it. This is harmless: files are only created under free names, and deleted only if others contain them.
//!
//! The end of a lease is a time of its holder's clock, which can be wrong or be set. So each writer counts the time of its own lease by the
//! monotonic clock. A lease of another one has ended as well if this writer has seen no renewal for the time that a lease lasts.

use crate::error::{Error, ErrorKind};
use crate::lock::Mutex;
use crate::store::{Creation, ObjectName, Store};
use crate::time::{self, Stamp, milliseconds};
use bytes::Bytes;
use chrono::DateTime;
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// How long a lease lasts. It is renewed when half of that time is over.
const DURATION: Duration = Duration::from_secs(120);

/// How long after its end a lease of another writer counts as held, because clocks differ and renewals take time. As long as a lease of
/// Litestream lasts.
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
    /// When this writer wrote its lease, if it holds it.
    own: Mutex<Option<Stamp>>,
    /// The lease of another writer that was read last, and when it was read first.
    other: Mutex<Option<(LeaseRecord, Stamp)>>,
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
        let (own, other, known) = (Mutex::default(), Mutex::default(), Mutex::default());
        Lease { store, owner: owner.into(), clock: Box::new(clock), own, other, known }
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
        if self.own.lock().is_some_and(|written| written.age() < DURATION / 2) {
            return Ok(LeaseState::Held);
        }
        let now = (self.clock)();
        match self.read().await? {
            None => self.create(1, now).await,
            Some(found) if found.owner == self.owner => self.replace(found.generation, now).await,
            Some(found) if self.is_held(&found, now) => {
                *self.own.lock() = None;
                Ok(found.state())
            }
            Some(expired) => self.replace(expired.generation.saturating_add(1), now).await,
        }
    }

    /// Returns whether the lease of another writer has not ended.
    fn is_held(&self, found: &LeaseRecord, now: i64) -> bool {
        let mut other = self.other.lock();
        let (_, since) = other.take_if(|(last, _)| last == found).unwrap_or_else(|| (found.clone(), Stamp::now()));
        *other = Some((found.clone(), since));
        now <= found.expires_ms.saturating_add(milliseconds(GRACE)) && since.age() <= DURATION + GRACE
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
        let (written, expires_ms) = (Stamp::now(), now.saturating_add(milliseconds(DURATION)));
        let record = LeaseRecord { generation, owner: self.owner.clone(), expires_ms };
        let created = self.store.create(ObjectName::Lease, record.encode()).await?;
        // If the response to the first try was lost, the existing lease is this one. If none exists, another writer just released its.
        let winner = match created {
            Creation::Created => None,
            Creation::Exists => self.read().await?.filter(|found| *found != record),
        };
        *self.own.lock() = winner.is_none().then_some(written);
        Ok(winner.map_or(LeaseState::Held, LeaseRecord::state))
    }

    async fn read(&self) -> Result<Option<LeaseRecord>, Error> {
        let Some(bytes) = self.store.read_object(ObjectName::Lease).await? else { return Ok(None) };
        let message = || format!("the object lock.json of {} is not the lease of a writer", self.store);
        let invalid = || Error::new(ErrorKind::Config, message()).remedy("delete it if no program uses it");
        LeaseRecord::parse(&bytes).map(Some).ok_or_else(invalid)
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({} of {})", self.owner, self.store)
    }
}
