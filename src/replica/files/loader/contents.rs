//! Reads a whole small file, or the head and the tail of a large one.

use crate::ltx::{self, Header, IndexEntry, Level, Outline, OutlineReader, SnapshotIndex, Trailer};
use crate::replica::files::load_error::{LoadError, named_header};
use crate::replica::files::loader::FileLoader;
use crate::replica::files::ltx_file::{FilePart, LoadedFile};
use crate::replica::files::partial_index::PartialIndex;
use crate::store::{Chunk, Listed, Version};
use bytes::Bytes;
use futures_util::future::try_join;
use std::ops::Range;

impl FileLoader {
    /// Reads a whole file and verifies its checksum.
    pub(super) async fn read_whole(&self, listed: &Listed, version: Option<&Version>) -> Result<LoadedFile, LoadError> {
        let chunk = self.fetch_listed(listed, 0..listed.size, version).await?;
        self.parse_whole(listed, chunk)
    }

    /// Returns a file that this process has written, with these bytes, and that is listed now.
    pub(in crate::replica) async fn written(&self, listed: &Listed, bytes: Bytes) -> Result<LoadedFile, LoadError> {
        let version = match &listed.version {
            Some(version) => version.clone(),
            None => self.store.read(listed.level, listed.name, 0..0, None).await?.version,
        };
        let (file_size, modified_ms) = (bytes.len() as u64, listed.modified_ms);
        let chunk = Chunk { bytes, file_size, version, modified_ms };
        self.keep(listed, &(0..file_size), &chunk);
        self.parse_whole(listed, chunk)
    }

    /// Parses and verifies a file of which `chunk` is the whole content.
    pub(super) fn parse_whole(&self, listed: &Listed, chunk: Chunk) -> Result<LoadedFile, LoadError> {
        let header = self.parse_header(listed, &chunk.bytes)?;
        let verified = ltx::verify(&chunk.bytes).map_err(|cause| self.damaged(listed, cause))?;
        let is_kept = listed.level == Level::ZERO && chunk.file_size <= self.sizes.whole_sync;
        let body = Some(chunk.bytes.clone()).filter(|_| is_kept);
        let file = self.known.find_or_insert(listed, &chunk, header, verified.trailer, body, None);
        file.integrity.mark_verified();
        if file.body.is_none() {
            let outline = outline(&chunk.bytes, &verified.entries);
            file.integrity.track(outline.map_err(|cause| self.damaged(listed, cause))?);
        }
        Ok(LoadedFile {
            file,
            entries: verified.entries,
            is_partial: false,
            deferred_index: None,
            parts: vec![FilePart { offset: 0, bytes: chunk.bytes }],
        })
    }

    /// Reads the head and the tail of a large file concurrently. Leaves a large index to be read in parts, if that is
    /// possible. Otherwise defers reading an index that is too large to be in memory at once.
    ///
    /// If a part that is read first is not as expected, fails, or at the `last_attempt` reads the whole index.
    pub(super) async fn read_ends(
        &self,
        listed: &Listed,
        version: Option<&Version>,
        last_attempt: bool,
    ) -> Result<LoadedFile, LoadError> {
        let tail_start = listed.size.saturating_sub(self.sizes.tail_of(listed.name, listed.size));
        let head = self.fetch_listed(listed, 0..self.sizes.head.min(listed.size), version);
        let tail = self.fetch_listed(listed, tail_start..listed.size, version);
        let (head, tail) = try_join(head, tail).await?;
        let is_whole = tail.file_size == listed.size && tail.bytes.len() as u64 == listed.size - tail_start;
        if head.version != tail.version || head.file_size != listed.size || !is_whole {
            return Err(LoadError::Moved);
        }
        let header = self.parse_header(listed, &head.bytes)?;
        let damaged = |cause| self.damaged(listed, cause);
        let range = ltx::index_range(listed.size, &tail.bytes).map_err(damaged)?;
        let trailer = Trailer::at_end(&tail.bytes).map_err(damaged)?;
        let length = range.end - range.start;
        let shape = SnapshotIndex::new(&header, &range).filter(|_| length > self.sizes.partial_index);
        let partial = shape.map(|shape| PartialIndex::new(shape, range.start, self.sizes.index_block));
        let file = self.known.find_or_insert(listed, &head, header, trailer, None, partial);
        let [head_part, tail_part] = [(0, &head.bytes), (tail_start, &tail.bytes)]
            .map(|(offset, bytes)| FilePart { offset, bytes: bytes.clone() });
        if let Some(entries) = self.begin_partial_index(&file, &head_part, &tail_part, last_attempt).await? {
            let parts = vec![head_part, tail_part];
            return Ok(LoadedFile { file, entries, is_partial: true, deferred_index: None, parts });
        }
        let is_deferred = length > self.sizes.index;
        let index =
            if is_deferred { Bytes::new() } else { self.index_bytes(listed, &tail, tail_start, range.clone()).await? };
        let entries =
            if is_deferred { Vec::new() } else { ltx::parse_index(&index, &header, range.start).map_err(damaged)? };
        if !is_deferred {
            let mut outline = OutlineReader::new(&head.bytes).map_err(damaged)?;
            outline.index(&index, &entries);
            file.integrity.track(outline.finish(&tail.bytes).map_err(damaged)?);
        }
        let (deferred_index, parts) = (is_deferred.then_some(range), vec![head_part, tail_part]);
        Ok(LoadedFile { file, entries, is_partial: false, deferred_index, parts })
    }

    /// Returns the bytes of the index. Fetches those that lie before the tail.
    async fn index_bytes(
        &self,
        listed: &Listed,
        tail: &Chunk,
        tail_start: u64,
        range: Range<u64>,
    ) -> Result<Bytes, LoadError> {
        let offset_in_tail = |offset: u64| offset.saturating_sub(tail_start) as usize;
        let fetched = tail.bytes.slice(offset_in_tail(range.start)..offset_in_tail(range.end));
        if range.start >= tail_start {
            return Ok(fetched);
        }
        let missing = range.start..tail_start.min(range.end);
        let missing = self.fetch(listed, missing, Some(&tail.version)).await?;
        Ok([missing.bytes, fetched].concat().into())
    }

    /// Reads a range of a listed file: of `version` if that is given. If it is not but the listing has a version, fails
    /// with [`LoadError::Moved`] unless length and modification time are the listed ones. What the cache directory has under the listed version
    /// was compared before it was written.
    async fn fetch_listed(
        &self,
        listed: &Listed,
        range: Range<u64>,
        version: Option<&Version>,
    ) -> Result<Chunk, LoadError> {
        if version.is_some() || listed.version.is_none() {
            return self.fetch(listed, range, version).await;
        }
        if let Some(chunk) = self.kept_part(listed, &range, None) {
            return Ok(chunk);
        }
        let chunk = self.store.read(listed.level, listed.name, range.clone(), None).await?;
        // Reads return the time in whole seconds, listings in smaller units.
        let is_same = chunk.file_size == listed.size && chunk.modified_ms.abs_diff(listed.modified_ms) < 1000;
        if !is_same {
            return Err(LoadError::Moved);
        }
        self.keep(listed, &range, &chunk);
        Ok(chunk)
    }

    /// Parses a header and checks that it belongs to the name of the file.
    pub(super) fn parse_header(&self, listed: &Listed, bytes: &[u8]) -> Result<Header, LoadError> {
        named_header(&*self.store, listed, bytes).map_err(LoadError::Other)
    }
}

/// Returns the outline of a whole file.
fn outline(bytes: &[u8], entries: &[IndexEntry]) -> Result<Outline, ltx::LtxError> {
    let index = ltx::index_range(bytes.len() as u64, bytes)?;
    let mut outline = OutlineReader::new(bytes)?;
    outline.index(&bytes[index.start as usize..index.end as usize], entries);
    outline.finish(bytes)
}
