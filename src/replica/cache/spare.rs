//! Reuses the memory of evicted pages for new ones.
//!
//! Pages are allocated on one thread and freed on another. Allocators keep freed memory for the thread that freed it,
//! so that without reuse a full cache would take twice its memory.

use crate::lock::Mutex;
use crate::replica::cache::Page;

/// Upper bound of the number of pages that are kept for reuse.
const MAX_PAGES: usize = 256;

/// Pages that can be reused.
#[derive(Default)]
pub(super) struct Spare(Mutex<Vec<Page>>);

impl Spare {
    /// Keeps an evicted page for reuse, unless a reader still uses it.
    pub(super) fn give(&self, mut page: Page) {
        if page.is_unique() {
            let mut pages = self.0.lock();
            if pages.len() < MAX_PAGES {
                pages.push(page);
            }
        }
    }

    /// Returns a page of `size` bytes with content that `fill` writes. See [`Page::new`].
    pub(super) fn page<E>(
        &self,
        size: u32,
        unread: u32,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Page, E> {
        let spare = self.0.lock().pop();
        match spare.filter(|spare| spare.len() == size as usize) {
            Some(spare) => spare.refill(unread, fill),
            None => Page::new(size, unread, fill),
        }
    }
}
