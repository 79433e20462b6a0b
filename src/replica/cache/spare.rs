//! Memory of pages that left, for those that come.
//!
//! Pages come on one thread and leave on another. Allocators keep what a thread frees for that thread, so that without
//! this a cache at its bound takes twice the memory.

use crate::lock::Mutex;
use crate::replica::cache::Page;

/// More pages than this are given back.
const MOST: usize = 256;

/// Pages that nobody holds.
#[derive(Default)]
pub(super) struct Spare(Mutex<Vec<Page>>);

impl Spare {
    /// Takes a page that left, unless somebody reads it still.
    pub(super) fn give(&self, mut page: Page) {
        if page.is_alone() {
            let mut pages = self.0.lock();
            if pages.len() < MOST {
                pages.push(page);
            }
        }
    }

    /// A page of `size` bytes, which `fill` writes; `guess` as in [`Page::new`].
    pub(super) fn page<E>(
        &self,
        size: u32,
        guess: u32,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Page, E> {
        let spare = self.0.lock().pop();
        match spare.filter(|spare| spare.len() == size as usize) {
            Some(spare) => spare.refill(guess, fill),
            None => Page::new(size, guess, fill),
        }
    }
}
