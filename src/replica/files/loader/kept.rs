//! Ensures that a new process finds in the cache directory what it needs of a file to build a view: a small file, or a header and an index.

use super::known_files::KnownFiles;
use super::no_store::NoStore;
use super::{FileLoader, LoadError};
use crate::replica::files::ltx_file::{FileBody, LtxFile};
use crate::store::{Chunk, Listed, Store, Version};
use std::sync::Arc;

impl FileLoader {
    /// Writes what the cache directory lacks of a file except its pages: from memory, or as it is read from the store again. Returns whether the
    /// directory has everything then. It has not if it cannot be written.
    pub(in crate::replica) async fn keep_parts(&self, file: &LtxFile) -> Result<bool, LoadError> {
        if self.has_parts(file).await {
            return Ok(true);
        }
        match &file.body {
            Some(FileBody::Memory(bytes)) => {
                let (bytes, version) = (bytes.clone(), file.version.clone());
                let listed = Listed { version: Some(version.clone()), ..file.as_listed() };
                let chunk = Chunk { bytes, file_size: file.size, version, modified_ms: 0 };
                self.keep(&listed, &(0..file.size), &chunk);
            }
            _ => {
                self.read_anew(self.store.clone(), file, file.version.clone()).await?;
            }
        }
        Ok(self.has_parts(file).await)
    }

    /// Returns whether the directory has them, under either of the versions that a record names.
    async fn has_parts(&self, file: &LtxFile) -> bool {
        let listed_as = file.listed.lock().clone();
        for version in [file.version.clone()].into_iter().chain(listed_as) {
            let checksum = self.read_anew(Arc::new(NoStore), file, version).await;
            if checksum.is_ok_and(|checksum| checksum == file.checksum) {
                return true;
            }
        }
        false
    }

    /// Reads a file as a process does that does not know it, from the cache directory and this store. Returns its checksum.
    async fn read_anew(&self, store: Arc<dyn Store>, file: &LtxFile, version: Version) -> Result<u64, LoadError> {
        let loader = self.with_store(store, Arc::new(KnownFiles::new(None, 0)));
        let listed = Listed { version: Some(version), ..file.as_listed() };
        let mut loaded = loader.read(&listed).await?;
        loader.read_deferred_index(&mut loaded, |_| {}).await?;
        Ok(loaded.file.checksum)
    }
}
