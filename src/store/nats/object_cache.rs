//! Objects that were read, kept for whoever reads more of them.
//!
//! Nobody can ask for a range of an object: it comes in pieces of unknown lengths, in their order. So it is read from its
//! beginning up to what was asked for, and kept: who wants more of it goes on where the last one ended. A small object
//! is kept in memory, a large one in a temporary file, since a snapshot may be larger than memory and each page
//! of it would cost its whole way there again. Those that were read last stay, within bounds.

use super::bucket::NatsObject;
use super::connection::NatsConnection;
use super::error::NatsError;
use crate::lock::{self, RwLock};
use crate::pread;
use crate::store::StoreErrorKind;
use bytes::Bytes;
use futures_util::future::{Either, select};
use std::fs::File;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

/// Longer objects are kept in files.
const LONGEST_IN_MEMORY: u64 = 1 << 20;

/// Bytes of objects that are kept in memory.
const MEMORY: u64 = 16 << 20;

/// Bytes of objects that are kept in files. One that is longer is kept alone.
const FILES: u64 = 1 << 30;

/// The objects that are kept.
#[derive(Default)]
pub(super) struct ObjectCache {
    /// The last one was asked for last.
    kept: lock::Mutex<Vec<Arc<Kept>>>,
}

impl ObjectCache {
    /// An object that may have been read before.
    pub fn object(&self, object: &NatsObject) -> Result<Arc<Kept>, NatsError> {
        let mut kept = self.kept.lock();
        let found = kept.iter().position(|other| other.object.id == object.id).map(|at| kept.remove(at));
        let found = found.map_or_else(|| Kept::new(object.clone()).map(Arc::new), Ok)?;
        kept.push(found.clone());
        let (mut in_memory, mut in_files) = (0, 0);
        // From the newest on, which always stays.
        let stays = kept.iter().rev().take_while(|kept| {
            let (sum, bound) = if kept.is_in_memory() { (&mut in_memory, MEMORY) } else { (&mut in_files, FILES) };
            let is_first = *sum == 0;
            *sum += kept.object.size;
            is_first || *sum <= bound
        });
        let gone = kept.len() - stays.count();
        kept.drain(..gone);
        Ok(found)
    }
}

/// An object, as far as it was read.
pub(super) struct Kept {
    object: NatsObject,
    content: ObjectContent,
    /// How many of its bytes are here.
    here: watch::Sender<u64>,
    /// One reads on at a time.
    turn: Mutex<Next>,
}

enum ObjectContent {
    Memory(RwLock<Vec<u8>>),
    File(File),
}

/// Where to read on.
#[derive(Clone, Copy, Default)]
struct Next {
    /// The place in the stream.
    sequence: u64,
    /// Pieces that are here.
    pieces: u64,
}

impl Kept {
    fn new(object: NatsObject) -> Result<Kept, NatsError> {
        let content = if object.size <= LONGEST_IN_MEMORY {
            ObjectContent::Memory(RwLock::new(Vec::with_capacity(object.size as usize)))
        } else {
            ObjectContent::File(pread::temporary().map_err(|error| unkept(&error))?)
        };
        Ok(Kept { object, content, here: watch::Sender::new(0), turn: Mutex::default() })
    }

    fn is_in_memory(&self) -> bool {
        matches!(self.content, ObjectContent::Memory(_))
    }

    /// How many bytes have to come before all up to `end` are here.
    pub fn missing(&self, end: u64) -> u64 {
        end.saturating_sub(*self.here.borrow())
    }

    /// Bytes of the object; `range` ends within it.
    pub async fn range(&self, range: Range<u64>, connection: &NatsConnection) -> Result<Bytes, NatsError> {
        let end = range.end;
        let mut here = self.here.subscribe();
        // Another who reads on may come by what is asked for long before he is done.
        let comes_by = pin!(async { here.wait_for(|here| *here >= end).await.map(drop) });
        let turn = pin!(self.turn.lock());
        if let Either::Right((mut next, _)) = select(comes_by, turn).await {
            self.read_on(end, &mut next, connection).await?;
        }
        self.content(range)
    }

    async fn read_on(&self, end: u64, next: &mut Next, connection: &NatsConnection) -> Result<(), NatsError> {
        const IN_VAIN: u64 = 5;
        let mut in_vain = 0;
        while *self.here.borrow() < end {
            let before = next.pieces;
            self.read_some(end, next, connection).await?;
            in_vain = if next.pieces > before { 0 } else { in_vain + 1 };
            if in_vain == IN_VAIN {
                return Err(NatsError::late(IN_VAIN));
            }
        }
        Ok(())
    }

    /// Reads on up to `end`, or until nothing comes for a while.
    async fn read_some(&self, end: u64, next: &mut Next, connection: &NatsConnection) -> Result<(), NatsError> {
        let mut pieces = connection.pieces_from(&self.object, next.sequence).await?;
        if next.pieces.checked_add(pieces.count) != Some(self.object.pieces) {
            return Err(NatsError::new(
                StoreErrorKind::Changed,
                "some of its pieces are gone: it was deleted or rewritten",
            ));
        }
        let (mut here, mut reached, mut bytes) = (*self.here.borrow(), *next, Vec::new());
        while here < end {
            if reached.pieces == self.object.pieces {
                return Err(NatsError::nonsense("an object shorter than it is said to be"));
            }
            let piece = pieces.next().await?;
            if let Some(piece) = &piece {
                bytes.extend_from_slice(&piece.bytes);
                reached = Next { sequence: piece.sequence + 1, pieces: reached.pieces + 1 };
            }
            let through = here + bytes.len() as u64;
            if through > self.object.size {
                return Err(NatsError::nonsense("an object longer than it is said to be"));
            }
            // Pieces of a few bytes are put down together.
            if through >= end || bytes.len() >= AT_ONCE || piece.is_none() {
                self.put(&bytes, here)?;
                bytes.clear();
                (here, *next) = (through, reached);
                self.here.send_replace(here);
            }
            if piece.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn put(&self, bytes: &[u8], at: u64) -> Result<(), NatsError> {
        match &self.content {
            ObjectContent::Memory(content) => content.write().extend_from_slice(bytes),
            ObjectContent::File(file) => pread::write_all_at(file, bytes, at).map_err(|error| unkept(&error))?,
        }
        Ok(())
    }

    fn content(&self, range: Range<u64>) -> Result<Bytes, NatsError> {
        match &self.content {
            ObjectContent::Memory(content) => {
                let content = content.read();
                Ok(Bytes::copy_from_slice(&content[range.start as usize..range.end as usize]))
            }
            ObjectContent::File(file) => {
                let mut bytes = vec![0; (range.end - range.start) as usize];
                pread::read_exact_at(file, &mut bytes, range.start).map_err(|error| unkept(&error))?;
                Ok(bytes.into())
            }
        }
    }
}

/// Bytes that are put down together.
const AT_ONCE: usize = 256 * 1024;

fn unkept(error: &std::io::Error) -> NatsError {
    let cause = format!("it cannot be kept in a temporary file, which reading a part of it takes: {error}");
    NatsError::new(StoreErrorKind::Config, cause)
}
