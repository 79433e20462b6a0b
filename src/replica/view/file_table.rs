//! The table of the files that a view refers to.

use crate::replica::files::ltx_file::LtxFile;
use std::sync::Arc;

/// The files that a view refers to, by index. The index of a file that no longer contains any page of the view is
/// reused.
#[derive(Clone, Default)]
pub(super) struct FileTable {
    entries: Vec<FileTableEntry>,
    free: Vec<u32>,
}

#[derive(Clone)]
struct FileTableEntry {
    /// None if the entry is free.
    file: Option<Arc<LtxFile>>,
    /// How many pages of the view the file contains.
    pages: u32,
}

impl FileTable {
    /// Adds a file that contains no page of the view yet. Returns its index.
    pub(super) fn add(&mut self, file: Arc<LtxFile>) -> u32 {
        let entry = FileTableEntry { file: Some(file), pages: 0 };
        match self.free.pop() {
            Some(index) => {
                self.entries[index as usize] = entry;
                index
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        }
    }

    /// Returns the file at an index.
    pub(super) fn get(&self, index: u32) -> Option<&Arc<LtxFile>> {
        self.entries.get(index as usize)?.file.as_ref()
    }

    /// Returns the files that contain at least one page of the view.
    pub(super) fn files(&self) -> impl Iterator<Item = &Arc<LtxFile>> {
        self.entries.iter().filter_map(|entry| entry.file.as_ref())
    }

    /// Records that a file contains so many more pages of the view.
    pub(super) fn add_pages(&mut self, index: u32, pages: u32) {
        self.entries[index as usize].pages += pages;
    }

    /// Records that a file contains so many pages of the view less.
    pub(super) fn remove_pages(&mut self, index: u32, pages: u32) {
        self.entries[index as usize].pages -= pages;
        self.free_if_empty(index);
    }

    /// Frees the entry of a file that contains no page of the view.
    pub(super) fn free_if_empty(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        if entry.pages == 0 && entry.file.take().is_some() {
            self.free.push(index);
        }
    }
}
