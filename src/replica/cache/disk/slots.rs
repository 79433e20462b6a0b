//! The slots of the temporary file. Each contains one page. If all are in use, the oldest is overwritten.

use crate::pread::{temporary, write_all_at};
use crate::replica::cache::PageKey;
use foldhash::fast::FixedState;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::atomic::AtomicU32;

/// The temporary file and the pages in it.
#[derive(Default)]
pub(super) struct DiskState {
    /// None until the first page is written.
    pub(super) file: Option<File>,
    /// Size of each page in bytes.
    pub(super) page_size: usize,
    /// The position of each page that can be read.
    pub(super) positions: HashMap<PageKey, usize, FixedState>,
    /// The slots by position.
    pub(super) slots: Vec<DiskSlot>,
    /// The position to overwrite next once the file is full.
    pub(super) oldest: usize,
}

/// A slot that contains a page.
pub(super) struct DiskSlot {
    pub(super) key: PageKey,
    /// The page's [`unread_frame_size`](crate::replica::cache::Page::unread_frame_size).
    pub(super) unread: AtomicU32,
}

impl DiskState {
    /// Writes a page to the file. Creates the file if it does not exist.
    pub(super) fn write(&mut self, position: usize, page: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(temporary()?),
        };
        write_all_at(file, page, (position * self.page_size) as u64)
    }

    /// Appends a slot, or replaces the slot at a position.
    pub(super) fn set(&mut self, position: usize, slot: DiskSlot) {
        if position == self.slots.len() {
            self.positions.insert(slot.key, position);
            return self.slots.push(slot);
        }
        // A page that was forgotten may have been written again to another position.
        let before = self.slots[position].key;
        if self.positions.get(&before) == Some(&position) {
            self.positions.remove(&before);
        }
        self.positions.insert(slot.key, position);
        self.slots[position] = slot;
        self.oldest = (position + 1) % self.slots.len();
    }
}
