//! Objects as far as they were read, kept for later reads.
//!
//! JetStream cannot return a range of an object: the object's messages have unknown lengths and arrive in order. So an object is
//! read from its beginning up to the end of the requested range, and kept; a later read continues where the last one stopped.
//! Otherwise each page of a snapshot would cost everything in front of it again. A small object is kept in memory, a large one in a
//! temporary file, because a snapshot can be larger than memory. The least recently used objects are dropped.

use super::connection::NatsConnection;
use super::error::NatsError;
use super::object::NatsObject;
use super::object_content::ObjectContent;
use crate::lock;
use crate::store::StoreErrorKind;
use bytes::Bytes;
use futures_util::future::{Either, select};
use std::collections::VecDeque;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

/// Total size of the objects in memory, in bytes.
const MEMORY_LIMIT: u64 = 16 << 20;

/// Total size of the objects in files, in bytes. A larger object is kept if it is the only one.
const FILE_LIMIT: u64 = 1 << 30;

/// The maximum number of objects in memory, and of those in files: each of these has a descriptor, and a bucket says itself how large its
/// objects are.
const MOST_OBJECTS: usize = 64;

/// Bytes that are written to the cache at once, if the range does not end before: pieces can be a few bytes long.
const WRITE_SIZE: usize = 256 * 1024;

/// The recently used objects of a store.
#[derive(Default)]
pub(super) struct ObjectCache {
    /// The most recently used object is the first.
    objects: lock::Mutex<VecDeque<Arc<CachedObject>>>,
}

/// The objects that are kept in memory, or in files.
struct KeptObjects {
    count: usize,
    size: u64,
    limit: u64,
}

impl KeptObjects {
    fn new(limit: u64) -> KeptObjects {
        KeptObjects { count: 0, size: 0, limit }
    }

    /// Adds an object of this size. Returns whether it is kept: if it is the first one, or within the limits.
    fn add(&mut self, size: u64) -> bool {
        self.count += 1;
        self.size = self.size.saturating_add(size);
        self.count == 1 || self.count <= MOST_OBJECTS && self.size <= self.limit
    }
}

impl ObjectCache {
    /// Returns the cached object, or a new empty one.
    pub fn get(&self, object: &NatsObject) -> Arc<CachedObject> {
        let mut objects = self.objects.lock();
        let at = objects.iter().position(|other| other.object.id == object.id);
        let found = at.and_then(|at| objects.remove(at));
        let found = found.unwrap_or_else(|| Arc::new(CachedObject::new(object.clone())));
        objects.push_front(found.clone());
        let (mut in_memory, mut in_files) = (KeptObjects::new(MEMORY_LIMIT), KeptObjects::new(FILE_LIMIT));
        let mut keeps = |cached: &CachedObject| {
            let kept = if cached.content.is_in_memory() { &mut in_memory } else { &mut in_files };
            kept.add(cached.object.size)
        };
        // From the most recently used object on, which is always kept.
        let (kept, dropped) =
            std::mem::take(&mut *objects).into_iter().partition::<VecDeque<_>, _>(|cached| keeps(cached));
        *objects = kept;
        drop(objects);
        // Files are closed after the lock was released, because a disk may hang.
        drop(dropped);
        found
    }

    /// Returns how many objects are in files.
    pub fn files(&self) -> u64 {
        let objects = self.objects.lock();
        objects.iter().filter(|cached| !cached.content.is_in_memory()).count() as u64
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

#[derive(Clone, Copy, Default)]
struct Position {
    /// Sequence number in the stream.
    sequence: u64,
    /// Number of pieces before it.
    pieces: u64,
}

impl CachedObject {
    fn new(object: NatsObject) -> CachedObject {
        let content = ObjectContent::of(object.size);
        CachedObject { object, content, length: watch::Sender::new(0), position: Mutex::default() }
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
        self.content.read(range)
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
                self.content.append(&bytes, length)?;
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::nats::object_content::LONGEST_IN_MEMORY;

    fn object(id: usize, size: u64) -> NatsObject {
        let id = id.to_string();
        NatsObject { name: id.clone(), id, size, pieces: 1, is_deleted: false, modified_ms: 0 }
    }

    /// Returns how many objects are kept of many with this size.
    fn kept_of_many(size: u64) -> usize {
        let cache = ObjectCache::default();
        (0..1500).for_each(|id| drop(cache.get(&object(id, size))));
        cache.objects.lock().len()
    }

    #[test]
    fn the_number_of_objects_is_bounded_whatever_their_size() {
        let sizes = [0, 1, LONGEST_IN_MEMORY, LONGEST_IN_MEMORY + 1, FILE_LIMIT / 4, FILE_LIMIT + 1, u64::MAX];
        assert_eq!(sizes.map(kept_of_many), [MOST_OBJECTS, MOST_OBJECTS, 16, MOST_OBJECTS, 4, 1, 1]);
    }

    #[test]
    fn a_large_object_stays_while_many_small_ones_are_read() {
        let (cache, large) = (ObjectCache::default(), object(0, FILE_LIMIT));
        let first = cache.get(&large);
        for id in 1..=2 * MOST_OBJECTS {
            cache.get(&object(id, 100));
        }
        assert!(Arc::ptr_eq(&first, &cache.get(&large)) && cache.files() == 1);
        cache.get(&object(2000, FILE_LIMIT));
        assert!(!Arc::ptr_eq(&first, &cache.get(&large)), "there is room for one");
    }
}
