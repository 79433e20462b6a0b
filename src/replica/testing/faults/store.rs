//! A store in memory of which chosen requests meet a fault.

use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid};
use crate::replica::testing::faults::fault::{Effect, Fault};
use crate::replica::testing::flaky::ROUND_TRIP;
use crate::store::{Chunk, Creation, Listed, Memory, ObjectName, Store, StoreError, StoreErrorKind, Version};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::sleep;

/// A kind of request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RequestKind {
    List,
    Read,
    Create,
    Delete,
    /// A read of an object that is not a file.
    ReadObject,
}

/// Which requests meet a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FaultPlan {
    pub fault: Fault,
    /// The first of them, counted from 1 among those that the fault concerns.
    pub first: u64,
    /// Whether all later requests meet it too.
    pub lasts: bool,
}

#[derive(Default, Debug)]
pub(super) struct Faulty {
    pub files: Memory,
    /// Whether listings show that all files are old. Otherwise their times are unknown.
    pub shows_times: AtomicBool,
    state: Mutex<FaultyState>,
}

#[derive(Default, Debug)]
struct FaultyState {
    plan: Option<FaultPlan>,
    /// The requests since the plan was made that its fault concerns, and those that met it.
    counted: u64,
    met: u64,
}

impl Faulty {
    /// Lets requests meet a fault from now on; none without a plan. Returns how many met the previous plan's.
    pub fn set_plan(&self, plan: Option<FaultPlan>) -> u64 {
        let mut state = self.state.lock();
        (state.plan, state.counted) = (plan, 0);
        std::mem::take(&mut state.met)
    }

    /// Returns whether no listing shows all files.
    pub fn hides_files(&self) -> bool {
        let hides = |fault| matches!(fault, Fault::Status404 | Fault::StaleListing | Fault::TornListing);
        self.state.lock().plan.is_some_and(|plan| plan.lasts && hides(plan.fault))
    }

    /// Counts a request. Returns the fault that it meets.
    fn count(&self, request: RequestKind) -> Option<Fault> {
        let mut state = self.state.lock();
        let plan = state.plan.filter(|plan| plan.fault.concerns(request))?;
        state.counted += 1;
        let meets = state.counted == plan.first || plan.lasts && state.counted > plan.first;
        state.met += u64::from(meets);
        meets.then_some(plan.fault)
    }

    /// Carries out a request. `carry_out` gets the fault that may change the response.
    async fn respond<T, F: Future<Output = Result<T, StoreError>> + Send>(
        &self,
        request: RequestKind,
        carry_out: impl FnOnce(Option<Fault>) -> F + Send,
    ) -> Result<T, StoreError> {
        let fault = self.count(request);
        sleep(ROUND_TRIP).await;
        let effect = match fault {
            Some(fault) => fault.happen(request).await,
            None => Effect::CarriedOut,
        };
        match effect {
            Effect::Fails(error) => Err(error),
            Effect::ResponseLost(error) => {
                carry_out(None).await?;
                Err(error)
            }
            Effect::CarriedOut => carry_out(fault).await,
        }
    }
}

fn other(version: &Version) -> Version {
    Version(format!("other {}", version.0).into())
}

/// Changes a listing.
fn change_listing(files: &mut Vec<Listed>, fault: Fault) {
    match fault {
        Fault::Status404 => files.clear(),
        Fault::StaleListing => drop(files.pop()),
        Fault::TornListing => {
            let mut positions = 0..;
            files.retain(|_| positions.next().is_some_and(|position| position % 2 == 1));
        }
        Fault::OtherVersion => files.iter_mut().for_each(|file| file.version = file.version.as_ref().map(other)),
        _ => {}
    }
}

/// Changes what was read. `is_conditional` says whether one version was requested.
fn change_chunk(chunk: &mut Chunk, fault: Fault, is_conditional: bool) -> Result<(), StoreError> {
    match fault {
        Fault::OtherVersion if is_conditional => {
            return Err(StoreError::new(StoreErrorKind::Changed, "memory://faulty", "the file was replaced"));
        }
        Fault::OtherVersion => chunk.version = other(&chunk.version),
        Fault::WrongBytes => chunk.bytes = chunk.bytes.iter().map(|byte| !byte).collect(),
        Fault::WrongBit => {
            let mut bytes = chunk.bytes.to_vec();
            let middle = bytes.len() / 2;
            bytes.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 1);
            chunk.bytes = bytes.into();
        }
        _ => {}
    }
    Ok(())
}

#[async_trait]
impl Store for Faulty {
    async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, StoreError> {
        let list = |fault: Option<Fault>| async move {
            let mut files = self.files.list(level, from).await?;
            let modified_ms = i64::from(self.shows_times.load(Ordering::Relaxed));
            files.iter_mut().for_each(|file| file.modified_ms = modified_ms);
            fault.into_iter().for_each(|fault| change_listing(&mut files, fault));
            Ok(files)
        };
        self.respond(RequestKind::List, list).await
    }

    async fn read(
        &self,
        level: Level,
        name: FileName,
        range: Range<u64>,
        expected: Option<&Version>,
    ) -> Result<Chunk, StoreError> {
        let read = |fault: Option<Fault>| async move {
            let mut chunk = self.files.read(level, name, range, expected).await?;
            fault.map_or(Ok(()), |fault| change_chunk(&mut chunk, fault, expected.is_some()))?;
            Ok(chunk)
        };
        self.respond(RequestKind::Read, read).await
    }

    async fn create(&self, object: ObjectName, bytes: Bytes) -> Result<Creation, StoreError> {
        let create = |fault| async move {
            match fault {
                Some(Fault::Status412) => Ok(Creation::Exists),
                _ => self.files.create(object, bytes).await,
            }
        };
        self.respond(RequestKind::Create, create).await
    }

    async fn delete(&self, object: ObjectName) -> Result<(), StoreError> {
        self.respond(RequestKind::Delete, |_| self.files.delete(object)).await
    }

    async fn read_object(&self, object: ObjectName) -> Result<Option<Bytes>, StoreError> {
        let read = |fault| async move {
            match fault {
                Some(Fault::Status404) => Ok(None),
                _ => self.files.read_object(object).await,
            }
        };
        self.respond(RequestKind::ReadObject, read).await
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory://faulty")
    }
}
