//! Begins to read the index of a large file in parts.

use crate::ltx::{IndexEntry, LtxError, Outline};
use crate::replica::files::load_error::LoadError;
use crate::replica::files::loader::FileLoader;
use crate::replica::files::ltx_file::{FilePart, LtxFile};
use crate::replica::files::partial_index::PartialIndex;
use bytes::Bytes;
use futures_util::future::{try_join, try_join_all};
use std::ops::Range;

/// Why the parts that are read first cannot be used.
enum FirstPartsError {
    Load(LoadError),
    Unproven(LtxError),
}

impl From<LtxError> for FirstPartsError {
    fn from(cause: LtxError) -> FirstPartsError {
        FirstPartsError::Unproven(cause)
    }
}

impl FileLoader {
    /// Reads the beginning of an index and some samples of it, and takes the end from the tail of the file. This proves
    /// that its first and last entries are those of the first and the last page. Returns the entries of the pages in the
    /// parts of the file that have been fetched. Takes one round trip.
    ///
    /// Returns None if the whole index must be read: it is small, or its parts do not prove themselves, even at the
    /// `last_attempt`. Before that, this is an error.
    pub(super) async fn begin_partial_index(
        &self,
        file: &LtxFile,
        head: &FilePart,
        tail: &FilePart,
        last_attempt: bool,
    ) -> Result<Option<Vec<IndexEntry>>, LoadError> {
        let Some(index) = file.readable_index() else { return Ok(None) };
        match self.read_first_parts(file, index, head, tail).await {
            Ok(()) => {}
            Err(FirstPartsError::Load(error)) => return Err(error),
            Err(FirstPartsError::Unproven(cause)) if last_attempt => {
                tracing::debug!("the whole index of {} is read: {cause}", file.name);
                index.distrust();
                return Ok(None);
            }
            Err(FirstPartsError::Unproven(cause)) => {
                return Err(LoadError::damaged(&*self.store, file.level, file.name, cause));
            }
        }
        let mut entries = index.entries_in(&head.range());
        entries.extend(index.entries_in(&tail.range()));
        Ok(Some(entries))
    }

    async fn read_first_parts(
        &self,
        file: &LtxFile,
        index: &PartialIndex,
        head: &FilePart,
        tail: &FilePart,
    ) -> Result<(), FirstPartsError> {
        file.integrity.track(Outline::of_snapshot(&head.bytes, index.shape(), &tail.bytes)?);
        file.add_index_blocks(index.blocks_in(tail.range()), &tail.bytes, tail.offset)?;
        let ends = index.unknown_ends();
        if ends.is_empty() {
            // All of the index was in the tail, or the file was read before.
            return Ok(());
        }
        let blocks = ends.iter().map(|block| self.read_part(file, index.bytes_of(*block..*block + 1)));
        let samples = index.samples(self.sizes.index_sample).into_iter().map(|range| self.read_part(file, range));
        let (blocks, samples) = try_join(try_join_all(blocks), try_join_all(samples)).await?;
        for (block, (offset, bytes)) in ends.into_iter().zip(blocks) {
            file.add_index_blocks(block..block + 1, &bytes, offset)?;
        }
        samples.into_iter().try_for_each(|(offset, bytes)| Ok(index.add_sample(&bytes, offset)?))
    }

    /// Reads a part of a file. Returns its offset too.
    async fn read_part(&self, file: &LtxFile, range: Range<u64>) -> Result<(u64, Bytes), FirstPartsError> {
        let offset = range.start;
        let chunk = self.fetch(&file.as_listed(), range, Some(&file.version)).await;
        chunk.map(|chunk| (offset, chunk.bytes)).map_err(FirstPartsError::Load)
    }
}
