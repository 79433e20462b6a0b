//! The set of free pages of a database. SQLite does not read them, so they are not fetched along with other pages.
//!
//! The freelist is a linked list of trunk pages. A trunk page contains the number of the next one and the numbers of as
//! many free pages as fit.

use crate::replica::cache::PageKey;
use crate::replica::dbformat::btree;
use crate::replica::dbformat::page_set::PageSet;

/// Upper bound of the number of trunk pages that are read. With 4 KiB pages, a trunk page lists about a thousand pages.
const MAX_TRUNKS: usize = 1024;

/// The free pages that are known.
#[derive(Default)]
pub struct FreeList {
    /// The version of page 1 that the list starts at.
    page_1: Option<PageKey>,
    commit: u32,
    pages: PageSet,
    /// How many trunk pages have been read.
    trunks: usize,
    /// The next trunk page.
    next: Option<u32>,
}

impl FreeList {
    /// Creates an empty set for the freelist that starts at a version of page 1.
    pub(in crate::replica) fn begin(key: PageKey, page_1: &[u8], commit: u32) -> FreeList {
        FreeList { page_1: Some(key), ..FreeList::of(page_1, commit) }
    }

    /// Creates an empty set for the freelist that starts at a page 1.
    pub(in crate::replica) fn of(page_1: &[u8], commit: u32) -> FreeList {
        FreeList { commit, next: btree::first_trunk(page_1, commit), ..FreeList::default() }
    }

    /// Returns whether the list starts at this version of page 1.
    pub(in crate::replica) fn is_of(&self, key: PageKey) -> bool {
        self.page_1 == Some(key)
    }

    /// Returns the trunk page to pass to [`FreeList::take`] next, or None at the end of the list.
    pub(in crate::replica) fn next_trunk(&self) -> Option<u32> {
        // A list with a cycle is damaged.
        self.next.filter(|next| self.trunks < MAX_TRUNKS && !self.contains(*next))
    }

    /// Adds the next trunk page and the pages that it lists.
    pub(in crate::replica) fn take(&mut self, page: &[u8]) {
        let Some(trunk) = self.next else { return };
        let (next, listed) = btree::trunk(page, self.commit);
        self.pages.extend(listed.chain([trunk]));
        self.trunks += 1;
        self.next = next;
    }

    /// Returns whether a page is known to be free.
    pub fn contains(&self, pgno: u32) -> bool {
        self.pages.contains(pgno)
    }
}
