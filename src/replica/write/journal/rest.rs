//! Keeps what follows the last complete entry of a journal, before it is cut off.
//!
//! After a crash, that is a part of a transaction that was not acknowledged. Where it can be one that was, and of which something has changed
//! on the disk since, the bytes are kept beside the journal: nobody else has them.

use super::failure::StorageFailure;
use super::format::{self, JournalContent, JournalRest};
use super::storage::{DISCARDED, JOURNAL, JournalStorage, stamp};
use std::io;
use std::path::PathBuf;

/// What the names of the kept files end with.
const ENDING: &str = ".tail";

/// How many of them there are at most. A computer that often loses power would fill its disk with them otherwise.
const MOST: usize = 4;

impl JournalStorage {
    /// Copies what follows the last complete entry to a file of its own if it can have been acknowledged, durably, and logs what it is.
    pub(super) fn keep_rest(&self, journal: &[u8], content: &JournalContent) -> io::Result<()> {
        let (rest, path) = (&journal[content.end..], self.path().join(JOURNAL));
        let (path, length) = (path.display(), rest.len());
        match format::rest(journal, content) {
            JournalRest::Nothing => {}
            JournalRest::Torn => tracing::warn!(
                "the last {length} bytes of {path} are a part of a transaction that was being written when its process ended, and are \
                 removed"
            ),
            JournalRest::Unknown => {
                let kept = self.keep(rest)?;
                tracing::warn!(
                    "the last {length} bytes of {path} are no transaction, and are now in {}: a crash has left them, or a transaction that was \
                     acknowledged is damaged",
                    kept.display()
                );
            }
            JournalRest::Whole => {
                let kept = self.keep(rest)?;
                tracing::error!(
                    "the last transaction of {path} is damaged although all of its {length} bytes are there, and is now in {}; if it was \
                     acknowledged, it is missing, so read the data, and repeat what is not there",
                    kept.display()
                );
            }
        }
        Ok(())
    }

    /// Writes a file with these bytes, unless an earlier try to open the journal has written it. Returns where it is.
    fn keep(&self, bytes: &[u8]) -> io::Result<PathBuf> {
        let kept = self.kept()?;
        if let Some(last) = kept.last()
            && self.folder.read(last, bytes.len() as u64)?.is_some_and(|found| found == bytes)
        {
            return Ok(self.path().join(last));
        }
        let name = format!("{DISCARDED}{}{ENDING}", stamp());
        self.place(&name, bytes).map_err(StorageFailure::into_cause)?;
        for oldest in &kept[..(kept.len() + 1).saturating_sub(MOST)] {
            self.folder.remove(oldest)?;
        }
        Ok(self.path().join(name))
    }

    /// Returns the names of the files that were kept, the oldest first.
    fn kept(&self) -> io::Result<Vec<String>> {
        let names = self.folder.entries()?.into_iter().map(|entry| entry.name);
        let mut kept: Vec<_> = names.filter(|name| name.starts_with(DISCARDED) && name.ends_with(ENDING)).collect();
        kept.sort_unstable();
        Ok(kept)
    }
}
