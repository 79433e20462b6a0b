//! Reads the headers and indexes of files, and recognizes files that were read before.
//!
//! | module | contents |
//! |---|---|
//! | `contents` | reads a whole small file, or the head and the tail of a large one |
//! | `partial_index` | begins to read an index in parts |
//! | `large_index` | reads an index that is too large to be in memory at once |
//! | `kept` | ensures that the cache directory has what a new process needs of a file |
//! | `journalled` | transactions in the journal of this process |
//! | `known_files` | the files that are in use, by level and name |
//! | `no_store` | a store that cannot be reached, for reading the cache directory only |

mod contents;
mod journalled;
mod kept;
mod known_files;
mod large_index;
mod no_store;
mod partial_index;

pub(in crate::replica) use journalled::journalled;

use crate::ltx::{self, FileName, Header, Level, Trailer};
use crate::replica::cache::persistent::CacheDirectory;
use crate::replica::files::damage::CheckedFiles;
use crate::replica::files::load_error::LoadError;
use crate::replica::files::ltx_file::{FetchSizes, LoadedFile, LtxFile};
use crate::store::{self, Chunk, Listed, Store, Version};
use known_files::KnownFiles;
use no_store::NoStore;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Reads the files of one store and recognizes those that it has read before.
pub(in crate::replica) struct FileLoader {
    pub(in crate::replica) store: Arc<dyn Store>,
    sizes: FetchSizes,
    known: Arc<KnownFiles>,
    /// Keeps what is read of files that are used by views.
    directory: Option<Arc<CacheDirectory>>,
    /// Whether listings show other versions of files than reads do, as some S3 gateways do.
    pub(in crate::replica) versions_differ: AtomicBool,
    /// The files that were read whole, with the results.
    pub(in crate::replica) checked: CheckedFiles,
    /// Whether every file is read whole before it is used.
    pub(in crate::replica) verifies: AtomicBool,
}

impl FileLoader {
    pub(in crate::replica) fn new(
        store: Arc<dyn Store>,
        sizes: FetchSizes,
        directory: Option<Arc<CacheDirectory>>,
    ) -> FileLoader {
        FileLoader {
            store,
            sizes,
            known: Arc::new(KnownFiles::new(directory.clone(), sizes.kept_sync)),
            directory,
            versions_differ: AtomicBool::new(false),
            checked: CheckedFiles::default(),
            verifies: AtomicBool::new(false),
        }
    }

    /// Reads the header and the index of a listed file.
    ///
    /// Takes one round trip, or two if the index is very large. Reads the whole file if it is small, if it was damaged
    /// before, or if every file is to be verified.
    ///
    /// Reads only the listed version. If listings show other versions than reads do, compares the length and the
    /// modification time instead.
    pub(in crate::replica) async fn read(&self, listed: &Listed) -> Result<LoadedFile, LoadError> {
        if listed.version.is_none() || listed.modified_ms == 0 {
            // Without a modification time only the version can be compared.
            return self.read_listed(listed, true).await;
        }
        let by_version = !self.versions_differ.load(Ordering::Relaxed);
        let loaded = match self.read_listed(listed, by_version).await {
            Err(LoadError::Moved) if by_version => self.read_listed(listed, false).await?,
            loaded => loaded?,
        };
        // The versions also differ if a file's modification time was set after it was listed. The next file resets
        // this.
        self.versions_differ.store(listed.version.as_ref() != Some(&loaded.file.version), Ordering::Relaxed);
        loaded.file.note_listed(listed.version.as_ref());
        Ok(loaded)
    }

    /// Reads a listed file. Compares its version with the listed one if `by_version` is set, otherwise its length and
    /// modification time.
    async fn read_listed(&self, listed: &Listed, by_version: bool) -> Result<LoadedFile, LoadError> {
        let max_whole = if listed.level == Level::ZERO { self.sizes.whole_sync } else { self.sizes.whole };
        let version = listed.version.as_ref().filter(|_| by_version);
        if listed.size <= max_whole {
            return match self.read_whole(listed, version).await {
                // The bytes may have been corrupted in transit.
                Err(error) if error.is_damage() => {
                    self.forget_parts(listed.level, listed.name);
                    self.read_whole(listed, version).await
                }
                loaded => loaded,
            };
        }
        if let Some(version) = &listed.version {
            self.refuse_damaged(listed, version)?;
        }
        let loaded = match self.read_ends(listed, version, false).await {
            Err(error) if error.is_damage() => {
                self.forget_parts(listed.level, listed.name);
                self.read_ends(listed, version, true).await
            }
            loaded => loaded,
        }?;
        self.refuse_damaged(listed, &loaded.file.version)?;
        self.verify_file(&loaded.file).await?;
        Ok(loaded)
    }

    /// Reads the header and the index of a file that has not been listed. Takes one round trip if the file is small.
    /// Returns None if it does not exist.
    pub(in crate::replica) async fn load_by_name(
        &self,
        level: Level,
        name: FileName,
    ) -> Result<Option<LoadedFile>, LoadError> {
        let chunk = match self.store.read(level, name, 0..self.sizes.probe, None).await {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == store::StoreErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (size, version) = (chunk.file_size, Some(chunk.version.clone()));
        let listed = Listed { level, name, size, version, modified_ms: chunk.modified_ms };
        if size <= self.sizes.probe {
            let loaded = self.parse_whole(&listed, chunk.clone())?;
            self.keep(&listed, &(0..size), &chunk);
            Ok(Some(loaded))
        } else {
            // This version comes from a read, so a different version means a different file.
            self.read_listed(&listed, true).await.map(Some)
        }
    }

    /// Reads only the header of a listed file, whatever its version.
    pub(in crate::replica) async fn header(&self, listed: &Listed) -> Result<Header, LoadError> {
        let chunk = self.store.read(listed.level, listed.name, 0..Header::SIZE as u64, None).await?;
        self.parse_header(listed, &chunk.bytes)
    }

    /// Returns whether a file that is now listed with another version still has the same content, by its checksum.
    pub(in crate::replica) async fn is_unchanged(&self, file: &LtxFile, now: &Listed) -> Result<bool, LoadError> {
        let tail = self.fetch(now, now.size.saturating_sub(Trailer::SIZE as u64)..now.size, None).await?;
        let trailer = Trailer::parse(&tail.bytes).map_err(|cause| self.damaged(now, cause))?;
        let is_unchanged = trailer.file_checksum == file.checksum;
        if is_unchanged {
            file.note_listed(now.version.as_ref());
        }
        Ok(is_unchanged)
    }

    /// Reads a range of a listed file, of the version `expected` if that is given: from the cache directory, or from the
    /// store.
    async fn fetch(&self, listed: &Listed, range: Range<u64>, expected: Option<&Version>) -> Result<Chunk, LoadError> {
        if let Some(chunk) = self.kept_part(listed, &range, expected) {
            return Ok(chunk);
        }
        let chunk = self.store.read(listed.level, listed.name, range.clone(), expected).await?;
        // Otherwise the file may not be the listed one.
        if expected.is_some() || listed.version.as_ref() == Some(&chunk.version) {
            self.keep(listed, &range, &chunk);
        }
        Ok(chunk)
    }

    /// Returns a range of a listed file from the cache directory, see [`CacheDirectory::part`].
    pub(super) fn kept_part(&self, listed: &Listed, range: &Range<u64>, expected: Option<&Version>) -> Option<Chunk> {
        self.directory.as_ref()?.part(listed, range, expected)
    }

    /// Writes a range of a listed file to the cache directory, if there is one.
    pub(super) fn keep(&self, listed: &Listed, range: &Range<u64>, chunk: &Chunk) {
        if let Some(directory) = &self.directory {
            directory.keep_part(listed, range, chunk);
        }
    }

    /// Removes what the cache directory has of a file except decoded pages, because it may be damaged.
    pub(in crate::replica) fn forget_parts(&self, level: Level, name: FileName) {
        if let Some(directory) = &self.directory {
            directory.forget_parts(level, name);
        }
    }

    /// Returns the cache directory, if there is one.
    pub(in crate::replica) fn directory(&self) -> Option<&Arc<CacheDirectory>> {
        self.directory.as_ref()
    }

    /// Returns a loader that reads the cache directory only. None if there is no directory.
    pub(in crate::replica) fn offline(&self) -> Option<FileLoader> {
        self.directory.as_ref()?;
        Some(self.with_store(Arc::new(NoStore), self.known.clone()))
    }

    /// Returns a loader that reads what the cache directory lacks from this store. Of other files than the `known` ones, it reads everything.
    fn with_store(&self, store: Arc<dyn Store>, known: Arc<KnownFiles>) -> FileLoader {
        FileLoader { known, ..FileLoader::new(store, self.sizes, self.directory.clone()) }
    }

    fn damaged(&self, listed: &Listed, cause: ltx::LtxError) -> LoadError {
        LoadError::damaged(&*self.store, listed.level, listed.name, cause)
    }
}

impl fmt::Debug for FileLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileLoader({})", self.store)
    }
}
