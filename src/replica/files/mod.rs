//! The LTX files of a replica: lists them, selects those that make up a state, reads their headers and indexes, and
//! verifies their checksums.
//!
//! | module | contents |
//! |---|---|
//! | `listing` | lists the files of all levels |
//! | `plan` | selects the files that make up a state; a pure function of a listing |
//! | `ltx_file` | a file whose header and index have been read, and how many bytes a first request reads |
//! | `load_error` | why a file could not be read |
//! | `loader` | reads headers and indexes, and recognizes files that were read before |
//! | `partial_index` | the index of a large file with every page, as far as it has been read |
//! | `integrity` | compares the pages that have been fetched with the checksum of their file |
//! | `whole`, `checked` | reads a file from start to end to verify it |
//! | `damage` | remembers damaged files, so that `plan` can avoid them |

mod checked;
pub(in crate::replica) mod damage;
pub(in crate::replica) mod integrity;
pub(in crate::replica) mod listing;
pub(in crate::replica) mod load_error;
pub(in crate::replica) mod loader;
pub(in crate::replica) mod ltx_file;
pub(in crate::replica) mod partial_index;
pub(in crate::replica) mod plan;
pub(in crate::replica) mod whole;

use crate::error::{Error, ErrorKind};
use crate::replica::cache::persistent::CacheDirectory;
use crate::replica::files::load_error::LoadError;
use crate::replica::files::loader::FileLoader;
use crate::store::{Counting, Store};
use ltx_file::FetchSizes;
use std::sync::Arc;

/// How often a listing is repeated if files that it showed have vanished by the time they are read.
pub(in crate::replica) const STALE_LISTINGS: usize = 5;

/// The store of a replica, and the headers and indexes that were read from it.
pub(in crate::replica) struct Files {
    pub store: Arc<Counting>,
    pub loader: FileLoader,
}

impl Files {
    pub(in crate::replica) fn new(
        store: Arc<dyn Store>,
        sizes: FetchSizes,
        directory: Option<Arc<CacheDirectory>>,
    ) -> Files {
        let store = Arc::new(Counting::new(store));
        Files { loader: FileLoader::new(store.clone(), sizes, directory), store }
    }

    /// The error if every listing was out of date by the time its files were read.
    pub(in crate::replica) fn too_fast(&self) -> Error {
        Error::new(ErrorKind::Unreachable, format!("the files of {} change faster than they can be read", self.store))
            .remedy("lengthen the retention of Litestream's level 0")
    }

    /// Converts the failure of a read. A file that has vanished is one that changes too fast.
    pub(in crate::replica) fn failure(&self, error: LoadError) -> Error {
        match error {
            LoadError::Other(error) => error,
            LoadError::Moved => self.too_fast(),
        }
    }

    /// The error if the replica holds no database.
    pub(in crate::replica) fn empty(&self) -> Error {
        Error::new(ErrorKind::Empty, format!("no backup is found at {}", self.store))
            .remedy("check the URL, and that `litestream replicate` is running and has finished its first sync")
    }

    /// As [`Files::empty`], after a check whether a replica of an older format is there.
    pub(in crate::replica) async fn why_empty(&self) -> Error {
        if !matches!(self.store.holds_older_format().await, Ok(true)) {
            return self.empty();
        }
        let message = format!("{} holds a replica of Litestream 0.3 (generations), which cannot be read", self.store);
        Error::new(ErrorKind::Empty, message)
            .remedy("replicate the database with Litestream 0.5 or newer; to get at the old replica, restore it with Litestream 0.3")
    }
}

/// Counts the listings that were out of date by the time their files were read.
#[derive(Default)]
pub(in crate::replica) struct StaleListings(usize);

impl StaleListings {
    /// Returns whether no listing was out of date so far.
    pub(in crate::replica) fn is_first(&self) -> bool {
        self.0 == 0
    }

    /// Returns the result of an attempt that began with a new listing, or None if it has to be repeated because files of that listing
    /// have vanished. After [`STALE_LISTINGS`] such attempts the result is the error `exhausted`.
    pub(in crate::replica) fn settle<T>(
        &mut self,
        attempt: Result<T, LoadError>,
        exhausted: impl FnOnce() -> Error,
    ) -> Option<Result<T, Error>> {
        match attempt {
            Ok(done) => Some(Ok(done)),
            Err(LoadError::Other(error)) => Some(Err(error)),
            Err(LoadError::Moved) => {
                self.0 += 1;
                (self.0 >= STALE_LISTINGS).then(|| Err(exhausted()))
            }
        }
    }
}
