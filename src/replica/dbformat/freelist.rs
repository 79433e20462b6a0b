//! The pages of a database that hold nothing: nobody reads them, so none is fetched beside others.
//!
//! SQLite keeps them in a list of trunk pages, each with the next one's number and up to a page full of free pages.

use crate::replica::cache::PageKey;
use crate::replica::dbformat::btree;

/// So many trunks are followed at the most. One lists about a thousand pages of 4 KiB.
const MOST_TRUNKS: usize = 1024;

/// Free pages, one bit each.
#[derive(Default)]
pub(in crate::replica) struct FreeList {
    /// The page 1 that the list begins on.
    of: Option<PageKey>,
    commit: u32,
    bits: Vec<u64>,
    trunks: usize,
    next: Option<u32>,
}

impl FreeList {
    /// The list of a database, before its first trunk is known.
    pub(in crate::replica) fn begin(key: PageKey, page_1: &[u8], commit: u32) -> FreeList {
        let next = btree::first_trunk(page_1, commit);
        FreeList { of: Some(key), commit, next, ..FreeList::default() }
    }

    /// Whether it was read from this page 1.
    pub(in crate::replica) fn is_of(&self, key: PageKey) -> bool {
        self.of == Some(key)
    }

    /// The trunk to give to [`FreeList::take`] next.
    pub(in crate::replica) fn next_trunk(&self) -> Option<u32> {
        // A list that comes back to itself is damaged.
        self.next.filter(|next| self.trunks < MOST_TRUNKS && !self.contains(*next))
    }

    /// Takes a trunk and what it lists.
    pub(in crate::replica) fn take(&mut self, page: &[u8]) {
        let Some(trunk) = self.next else { return };
        let (next, listed) = btree::trunk(page, self.commit);
        listed.chain([trunk]).for_each(|pgno| self.insert(pgno));
        self.trunks += 1;
        self.next = next;
    }

    fn insert(&mut self, pgno: u32) {
        let word = pgno as usize / 64;
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        self.bits[word] |= 1 << (pgno % 64);
    }

    /// Whether a page is free, as far as is known.
    pub(in crate::replica) fn contains(&self, pgno: u32) -> bool {
        self.bits.get(pgno as usize / 64).is_some_and(|word| word >> (pgno % 64) & 1 == 1)
    }
}
