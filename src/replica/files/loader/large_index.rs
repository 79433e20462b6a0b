//! Reads an index that is too large to be in memory at once.

use crate::ltx::{IndexEntry, IndexReader, OutlineReader};
use crate::replica::files::load_error::LoadError;
use crate::replica::files::loader::FileLoader;
use crate::replica::files::ltx_file::{FilePart, LoadedFile};
use futures_util::stream::{self, StreamExt};

/// Requests for pieces of an index in flight at once.
const PIECES_IN_FLIGHT: usize = 4;

impl FileLoader {
    /// Reads a deferred index and passes its entries to `each` in pieces. `loaded` keeps the entries whose frames have
    /// been fetched. Does nothing if the index has been read.
    pub(in crate::replica) async fn read_deferred_index(
        &self,
        loaded: &mut LoadedFile,
        mut each: impl FnMut(&[IndexEntry]),
    ) -> Result<(), LoadError> {
        let Some(range) = loaded.deferred_index.take() else { return Ok(()) };
        let file = loaded.file.clone();
        let damaged = |cause| LoadError::damaged(&*self.store, file.level, file.name, cause);
        let listed = file.as_listed();
        let piece_size = (self.sizes.index / 2).max(1);
        let pieces = (range.start..range.end).step_by(piece_size as usize).map(|start| {
            let piece = start..(start + piece_size).min(range.end);
            self.fetch(&listed, piece, Some(&file.version))
        });
        let mut pieces = stream::iter(pieces.collect::<Vec<_>>()).buffered(PIECES_IN_FLIGHT);
        let mut reader = IndexReader::new(&file.header, range.start);
        let bytes_of = |part: Option<&FilePart>| part.map(|part| part.bytes.clone()).unwrap_or_default();
        let (head, tail) = (bytes_of(loaded.parts.first()), bytes_of(loaded.parts.last()));
        let mut outline = OutlineReader::new(&head).map_err(damaged)?;
        while let Some(piece) = pieces.next().await {
            let (piece, mut entries) = (piece?.bytes, Vec::new());
            reader.read(&piece, |entry| entries.push(entry)).map_err(damaged)?;
            outline.index(&piece, &entries);
            each(&entries);
            loaded.add_fetched_entries(entries.into_iter());
        }
        reader.finish().map_err(damaged)?;
        file.integrity.track(outline.finish(&tail).map_err(damaged)?);
        Ok(())
    }
}
