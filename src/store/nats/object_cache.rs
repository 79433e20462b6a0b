//! Objects as far as they were read, kept for later reads.
//!
//! JetStream cannot return a range of an object: the object's messages have unknown lengths and arrive in order. So an object is
//! read from its beginning up to the end of the requested range, and kept; a later read continues where the last one stopped.
//! Otherwise each page of a snapshot would cost everything in front of it again. A small object is kept in memory, a large one in a
//! temporary file, because a snapshot can be larger than memory. The least recently used objects are dropped.

use super::connection::NatsConnection;
use super::error::NatsError;
use super::object::NatsObject;
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

/// Objects that are longer, in bytes, are kept in files.
const LONGEST_IN_MEMORY: u64 = 1 << 20;

/// Total size of the objects in memory, in bytes.
const MEMORY_LIMIT: u64 = 16 << 20;

/// Total size of the objects in files, in bytes. A larger object is kept if it is the only one.
const FILE_LIMIT: u64 = 1 << 30;

/// Bytes that are written to the cache at once, if the range does not end before: pieces can be a few bytes long.
const WRITE_SIZE: usize = 256 * 1024;

/// The recently used objects of a store.
#[derive(Default)]
pub(super) struct ObjectCache {
    /// The most recently used object is the last.
    objects: lock::Mutex<Vec<Arc<CachedObject>>>,
}

impl ObjectCache {
    /// Returns the cached object, or a new empty one.
    pub fn get(&self, object: &NatsObject) -> Result<Arc<CachedObject>, NatsError> {
        let mut objects = self.objects.lock();
        let found = objects.iter().position(|other| other.object.id == object.id).map(|index| objects.remove(index));
        let found = found.map_or_else(|| CachedObject::new(object.clone()).map(Arc::new), Ok)?;
        objects.push(found.clone());
        let (mut in_memory, mut in_files) = (0u64, 0u64);
        // From the most recently used object on, which is always kept.
        let kept = objects.iter().rev().take_while(|cached| {
            let (sum, limit) =
                if cached.is_in_memory() { (&mut in_memory, MEMORY_LIMIT) } else { (&mut in_files, FILE_LIMIT) };
            let is_first = *sum == 0;
            *sum = sum.saturating_add(cached.object.size);
            is_first || *sum <= limit
        });
        let dropped = objects.len() - kept.count();
        objects.drain(..dropped);
        Ok(found)
    }
}

/// An object whose first bytes are cached.
pub(super) struct CachedObject {
    object: NatsObject,
    content: ObjectContent,
    /// Number of cached bytes.
    length: watch::Sender<u64>,
    /// Where the next message is read. Whoever holds the lock extends the content.
    position: Mutex<Position>,
}

enum ObjectContent {
    Memory(RwLock<Vec<u8>>),
    File(File),
}

#[derive(Clone, Copy, Default)]
struct Position {
    /// Sequence number in the stream.
    sequence: u64,
    /// Number of pieces before it.
    pieces: u64,
}

impl CachedObject {
    fn new(object: NatsObject) -> Result<CachedObject, NatsError> {
        let content = if object.size <= LONGEST_IN_MEMORY {
            ObjectContent::Memory(RwLock::new(Vec::with_capacity(object.size as usize)))
        } else {
            ObjectContent::File(pread::temporary().map_err(|error| temporary_file_error(&error))?)
        };
        Ok(CachedObject { object, content, length: watch::Sender::new(0), position: Mutex::default() })
    }

    fn is_in_memory(&self) -> bool {
        matches!(self.content, ObjectContent::Memory(_))
    }

    /// Returns how many bytes before `end` are not cached yet.
    pub fn missing(&self, end: u64) -> u64 {
        end.saturating_sub(*self.length.borrow())
    }

    /// Returns a range of the object, which must end within it, and reads what is missing.
    pub async fn read(&self, range: Range<u64>, connection: &NatsConnection) -> Result<Bytes, NatsError> {
        let end = range.end;
        let mut length = self.length.subscribe();
        // Another caller that extends the content may pass the end of this range long before it finishes.
        let is_cached = pin!(async { length.wait_for(|length| *length >= end).await.map(drop) });
        let position = pin!(self.position.lock());
        if let Either::Right((mut position, _)) = select(is_cached, position).await {
            self.extend(end, &mut position, connection).await?;
        }
        self.cached(range)
    }

    /// Reads pieces until all bytes before `end` are cached.
    async fn extend(&self, end: u64, position: &mut Position, connection: &NatsConnection) -> Result<(), NatsError> {
        /// Attempts in a row that may receive nothing. Each waits for a second.
        const MOST_EMPTY_ATTEMPTS: u64 = 5;
        let mut empty_attempts = 0;
        while *self.length.borrow() < end {
            let before = position.pieces;
            self.receive_pieces(end, position, connection).await?;
            empty_attempts = if position.pieces > before { 0 } else { empty_attempts + 1 };
            if empty_attempts == MOST_EMPTY_ATTEMPTS {
                return Err(NatsError::timed_out(MOST_EMPTY_ATTEMPTS));
            }
        }
        Ok(())
    }

    /// Receives pieces until all bytes before `end` are cached, or no piece arrives for a second.
    async fn receive_pieces(
        &self,
        end: u64,
        position: &mut Position,
        connection: &NatsConnection,
    ) -> Result<(), NatsError> {
        let mut pieces = connection.pieces_from(&self.object, position.sequence).await?;
        if position.pieces.checked_add(pieces.count) != Some(self.object.pieces) {
            return Err(NatsError::new(
                StoreErrorKind::Changed,
                "some pieces of the object are missing: it was deleted or rewritten",
            ));
        }
        let (mut length, mut reached, mut bytes) = (*self.length.borrow(), *position, Vec::new());
        while length < end {
            if reached.pieces == self.object.pieces {
                return Err(NatsError::invalid_response("an object shorter than its metadata says"));
            }
            let piece = pieces.next().await?;
            if let Some(piece) = &piece {
                bytes.extend_from_slice(&piece.bytes);
                reached = Position { sequence: piece.sequence.saturating_add(1), pieces: reached.pieces + 1 };
            }
            let received = length + bytes.len() as u64;
            if received > self.object.size {
                return Err(NatsError::invalid_response("an object longer than its metadata says"));
            }
            if received >= end || bytes.len() >= WRITE_SIZE || piece.is_none() {
                self.append(&bytes, length)?;
                bytes.clear();
                (length, *position) = (received, reached);
                self.length.send_replace(length);
            }
            if piece.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Appends bytes to the content, whose length is `length`.
    fn append(&self, bytes: &[u8], length: u64) -> Result<(), NatsError> {
        match &self.content {
            ObjectContent::Memory(content) => content.write().extend_from_slice(bytes),
            ObjectContent::File(file) => {
                pread::write_all_at(file, bytes, length).map_err(|error| temporary_file_error(&error))?;
            }
        }
        Ok(())
    }

    fn cached(&self, range: Range<u64>) -> Result<Bytes, NatsError> {
        match &self.content {
            ObjectContent::Memory(content) => {
                let content = content.read();
                Ok(Bytes::copy_from_slice(&content[range.start as usize..range.end as usize]))
            }
            ObjectContent::File(file) => {
                let mut bytes = vec![0; (range.end - range.start) as usize];
                pread::read_exact_at(file, &mut bytes, range.start).map_err(|error| temporary_file_error(&error))?;
                Ok(bytes.into())
            }
        }
    }
}

fn temporary_file_error(error: &std::io::Error) -> NatsError {
    let cause = format!("a temporary file is needed to read a part of this object, and it fails: {error}");
    NatsError::new(StoreErrorKind::Config, cause)
}
