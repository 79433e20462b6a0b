//! Takes back a file that was created when the replica had become another one.

use super::plan::Merge;
use crate::ltx::{FileName, Level, Trailer};
use crate::store::{ObjectName, Store, StoreError, StoreErrorKind};

/// The checksum of a file at the time at which it was read.
pub(super) struct FileChecksum {
    pub level: Level,
    pub name: FileName,
    pub checksum: u64,
}

impl FileChecksum {
    /// Whether the store has the file with this checksum now.
    async fn is_current(&self, store: &dyn Store) -> Result<bool, StoreError> {
        let FileChecksum { level, name, checksum } = *self;
        let read = async {
            let size = store.read(level, name, 0..0, None).await?.file_size;
            store.read(level, name, size.saturating_sub(Trailer::SIZE as u64)..size, None).await
        };
        match read.await {
            Ok(tail) => Ok(checksum_of(&tail.bytes) == Some(checksum)),
            Err(error) if error.kind() == StoreErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A merged file that may have been created, and what it was merged of.
pub(super) struct CreatedFile {
    file: FileChecksum,
    inputs: Vec<FileChecksum>,
}

impl CreatedFile {
    /// `bytes` are those of the merged file.
    pub(super) fn new(merge: &Merge, bytes: &[u8], inputs: Vec<FileChecksum>) -> CreatedFile {
        let checksum = checksum_of(bytes).unwrap_or_default();
        CreatedFile { file: FileChecksum { level: merge.level, name: merge.name, checksum }, inputs }
    }

    pub(super) fn identity(&self) -> (Level, FileName) {
        (self.file.level, self.file.name)
    }

    /// Deletes the file unless all its inputs are as they were: then it is right nevertheless. Returns whether it was deleted.
    ///
    /// Only for a replica that is not the listed one any more. In the listed one, the inputs may have been deleted because this file replaces
    /// them.
    pub(super) async fn take_back(&self, store: &dyn Store) -> Result<bool, StoreError> {
        let mut is_right = true;
        for input in &self.inputs {
            is_right = is_right && input.is_current(store).await?;
        }
        // Another process may have created its own file under this name.
        let is_wrong = !is_right && self.file.is_current(store).await?;
        if is_wrong {
            store.delete(ObjectName::File(self.file.level, self.file.name)).await?;
        }
        Ok(is_wrong)
    }
}

/// Returns the checksum in the trailer of a file, from its last bytes.
fn checksum_of(bytes: &[u8]) -> Option<u64> {
    Trailer::at_end(bytes).ok().map(|trailer| trailer.file_checksum)
}
