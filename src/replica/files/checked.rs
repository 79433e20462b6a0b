//! Files that are read whole before they are used.

use super::ltx_file::{LoadedFile, LtxFile};
use super::whole;
use crate::error::ErrorKind;
use crate::ltx::{FileName, Level};
use crate::replica::files::load_error::LoadError;
use crate::replica::files::loader::FileLoader;
use crate::store::{Listed, Version};
use std::sync::atomic::Ordering;

impl FileLoader {
    /// Whether every file is to be read whole before it is used.
    pub(in crate::replica) fn verify(&self, verifies: bool) {
        if let Some(directory) = self.directory() {
            directory.serve_pages(!verifies);
        }
        self.verifies.store(verifies, Ordering::Relaxed);
    }

    /// Whether every file is read whole before it is used.
    pub(in crate::replica) fn verifies_all(&self) -> bool {
        self.verifies.load(Ordering::Relaxed)
    }

    /// Returns an error if a version of a file is known to be damaged.
    pub(in crate::replica) fn refuse_damaged(&self, listed: &Listed, version: &Version) -> Result<(), LoadError> {
        self.checked.damage(listed.level, listed.name, version).map_or(Ok(()), |error| Err(LoadError::Other(error)))
    }

    /// Reads a file whole if there is a reason to.
    pub(in crate::replica) async fn verify_file(&self, file: &LtxFile) -> Result<(), LoadError> {
        let was_right = self.checked.was_right(file.level, file.name, &file.version);
        if file.integrity.is_doubted() || was_right == Some(false) {
            // If the index was wrong, the next view must not be built from it again.
            self.forget_parts(file.level, file.name);
            return self.check_whole(file).await;
        }
        if was_right == Some(true) {
            file.integrity.mark_verified();
        }
        if file.integrity.is_verified() || !self.verifies_all() {
            return Ok(());
        }
        self.check_whole(file).await
    }

    /// As [`FileLoader::load_by_name`], and verifies the checksum of the whole file.
    pub(in crate::replica) async fn load_verified(
        &self,
        level: Level,
        name: FileName,
    ) -> Result<Option<LoadedFile>, LoadError> {
        let loaded = self.load_by_name(level, name).await?;
        if let Some(loaded) = loaded.as_ref().filter(|loaded| !loaded.file.integrity.is_verified()) {
            self.check_whole(&loaded.file).await?;
        }
        Ok(loaded)
    }

    /// Reads a file whole and remembers how it was found.
    pub(in crate::replica) async fn check_whole(&self, file: &LtxFile) -> Result<(), LoadError> {
        let checked = whole::check(&*self.store, file).await;
        let damage = match &checked {
            Ok(()) => {
                file.integrity.mark_verified();
                None
            }
            Err(LoadError::Other(error)) if error.kind() == ErrorKind::Damaged => Some(error.clone()),
            Err(_) => return checked,
        };
        self.checked.note(file.level, file.name, file.version.clone(), damage);
        checked
    }
}
