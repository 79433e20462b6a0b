//! What the page cache keeps in the cache directory.

use crate::replica::cache::persistent::{CacheDirectory, StoredForm};
use crate::replica::cache::{Page, PageCache, PageKey};
use std::sync::Arc;

impl PageCache {
    /// Checks that the cache directory can keep a whole database of `size` bytes. Fails with the reason.
    pub(in crate::replica) fn check_keeps(&self, size: u64) -> Result<(), String> {
        self.directory
            .as_ref()
            .map_or_else(|| Err("there is no cache directory".to_owned()), |found| found.check_keeps(size))
    }

    /// Returns the cache directory, if there is one.
    pub(in crate::replica) fn directory(&self) -> Option<&Arc<CacheDirectory>> {
        self.directory.as_ref()
    }

    pub(super) fn get_from_directory(&self, directory: &CacheDirectory, key: PageKey) -> Option<Page> {
        directory.get(key, |size, fill| self.spare.page(size, 0, |bytes| fill(bytes)))
    }

    /// Returns whether the cache directory has a page. The page may still be damaged.
    pub(in crate::replica) fn is_kept(&self, key: PageKey) -> bool {
        self.directory.as_ref().is_some_and(|directory| directory.contains(key))
    }

    /// Reads a page from the cache directory. Returns whether it is there and not damaged.
    pub(in crate::replica) fn is_intact(&self, key: PageKey) -> bool {
        let page = self.directory.as_ref().and_then(|directory| self.get_from_directory(directory, key));
        page.map(|page| self.spare.give(page)).is_some()
    }

    /// Writes a page to the cache directory, if there is one. `form` is how its file contains it. Returns whether it was written.
    pub(in crate::replica) fn keep(&self, key: PageKey, page: &Page, form: StoredForm) -> bool {
        self.directory.as_ref().is_some_and(|directory| directory.put(key, page, form))
    }

    /// Moves a page to another file that is proven to have the same version of it.
    pub(in crate::replica) fn carry(&self, from: PageKey, to: PageKey) {
        let in_memory = self.pages.remove(&from).map(|(_, page)| page);
        if let Some(directory) = &self.directory {
            let on_disk = || self.get_from_directory(directory, from);
            // What was read from the new file is better than what is carried over to it.
            if !directory.contains(to)
                && let Some(page) = in_memory.clone().or_else(on_disk)
            {
                directory.put(to, &page, StoredForm::Carried);
            }
        } else {
            self.disk.rename(from, to);
        }
        if let Some(page) = in_memory {
            self.insert(to, page);
        }
    }
}
