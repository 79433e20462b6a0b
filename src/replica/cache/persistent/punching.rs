//! Evicts single pages: the oldest ones are punched out of their files.

use super::contents::{CachedFile, Contents, NeededBy, seconds};
use super::eviction::target;
use super::slots::{SlotTrailer, TRAILER, TRAILERS, group_size};
use crate::pread::{read_exact_at, write_all_at};
use crate::replica::folder;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;

impl Contents<'_> {
    /// Removes the oldest pages of the newest views, until the size is that after eviction. Where no pages can be punched out, removes whole files.
    pub(super) fn punch(&mut self, bound: u64) -> io::Result<()> {
        let files: Vec<usize> = (0..self.files.len()).filter(|at| self.page_size(*at).is_some()).collect();
        let target = target(bound);
        let Some(until) = self.newest_excess(&files, self.size.saturating_sub(target)) else { return Ok(()) };
        for at in files {
            if self.size <= target {
                break;
            }
            let Some(slots) = self.open_slots(at) else { continue };
            let is_punched = slots.can_punch() && {
                self.mark.begin()?;
                slots.punch(until).is_ok()
            };
            if is_punched {
                self.shrunk(at, slots.allocated().unwrap_or(self.files[at].entry.allocated));
            } else if self.may_lose(at, bound) {
                self.remove(at)?;
            }
        }
        Ok(())
    }

    /// Returns when the newest of the oldest pages were written that have at least `bytes` together. None if there are no pages.
    fn newest_excess(&self, files: &[usize], bytes: u64) -> Option<u32> {
        let mut ages: BTreeMap<u32, u64> = BTreeMap::new();
        for slots in files.iter().filter_map(|at| self.open_slots(*at)) {
            let _ = slots.each_group(|_, trailers| {
                let used = trailers.iter().filter(|trailer| !trailer.is_empty());
                used.for_each(|trailer| *ages.entry(trailer.written).or_default() += u64::from(slots.page_size));
                Ok(())
            });
        }
        let mut older = 0;
        let oldest = ages.into_iter().take_while(|(_, size)| {
            older += size;
            older - size < bytes
        });
        oldest.last().map(|(written, _)| written)
    }

    /// Whether a file of pages may be removed as a whole. One that has just been written may if a record names it and the bound is exceeded:
    /// while a process writes to its only file, the directory would grow without end otherwise.
    fn may_lose(&self, at: usize, bound: u64) -> bool {
        let file = &self.files[at];
        !file.is_fresh(seconds()) || file.needed_by == NeededBy::Reader && self.size > bound
    }

    /// Returns the page size of a file of pages. None for other files.
    fn page_size(&self, at: usize) -> Option<u32> {
        let (_, kind) = self.files[at].entry.name.split_once('.')?;
        let size = u32::from_str_radix(kind.strip_prefix("p-")?.rsplit('-').next()?, 16).ok()?;
        (512..=65536).contains(&size).then_some(size)
    }

    fn open_slots(&self, at: usize) -> Option<OpenSlots> {
        let CachedFile { entry, .. } = &self.files[at];
        let file = self.folder_of(at)?.open_file(&entry.name).ok()??;
        Some(OpenSlots { file, page_size: self.page_size(at)? })
    }
}

/// A file of pages from which pages are removed.
struct OpenSlots {
    file: File,
    page_size: u32,
}

impl OpenSlots {
    fn allocated(&self) -> io::Result<u64> {
        Ok(folder::allocated(&self.file.metadata()?))
    }

    /// Whether pages can be punched out. This is tried behind the end, so that nothing is lost if they cannot.
    fn can_punch(&self) -> bool {
        let end = self.file.metadata().map(|metadata| metadata.len());
        end.and_then(|end| folder::punch_hole(&self.file, end..end.saturating_add(1))).is_ok()
    }

    /// Passes the offset of each group and its trailers to `each`.
    fn each_group(&self, mut each: impl FnMut(u64, &[SlotTrailer]) -> io::Result<()>) -> io::Result<()> {
        let (size, mut block) = (self.file.metadata()?.len(), [0; TRAILERS]);
        let (mut group, length) = (0, group_size(self.page_size));
        // Holes are skipped: the length of the file says nothing about its content.
        while let Some(data) = folder::next_data(&self.file, group) {
            group = data / length * length;
            if group + TRAILERS as u64 > size {
                break;
            }
            read_exact_at(&self.file, &mut block, group)?;
            let (trailers, _) = block.as_chunks::<TRAILER>();
            let trailers: Vec<SlotTrailer> = trailers.iter().map(SlotTrailer::parse).collect();
            each(group, &trailers)?;
            group += length;
        }
        Ok(())
    }

    /// Returns the range of the pages of some slots.
    fn pages(&self, group: u64, slots: &Range<usize>) -> Range<u64> {
        let offset = |slot: usize| group + TRAILERS as u64 + slot as u64 * u64::from(self.page_size);
        offset(slots.start)..offset(slots.end)
    }

    /// Punches out the pages that were written at `until` or before.
    fn punch(&self, until: u32) -> io::Result<()> {
        let block = folder::block_size(&self.file.metadata()?);
        self.each_group(|group, trailers| {
            let is_old = |slot: &usize| !trailers[*slot].is_empty() && trailers[*slot].written <= until;
            let is_removable = |slot: &usize| trailers[*slot].is_empty() || is_old(slot);
            let removable: Vec<usize> = (0..trailers.len()).filter(is_removable).collect();
            for run in removable.chunk_by(|one, other| one + 1 == *other) {
                let Some(old) = span(run.iter().copied().filter(is_old)) else { continue };
                let pages = self.pages(group, &old);
                // Only whole blocks are freed. So the empty slots around the old ones are punched too if they are in the same blocks.
                let blocks = pages.start / block * block..pages.end.next_multiple_of(block);
                let is_in_blocks = |slot: &usize| {
                    let page = self.pages(group, &(*slot..slot + 1));
                    page.start < blocks.end && blocks.start < page.end
                };
                if let Some(slots) = span(run.iter().copied().filter(is_in_blocks)) {
                    self.punch_slots(group, &slots)?;
                }
            }
            Ok(())
        })
    }

    fn punch_slots(&self, group: u64, slots: &Range<usize>) -> io::Result<()> {
        let empty = vec![0; slots.len() * TRAILER];
        let clear = || write_all_at(&self.file, &empty, group + (slots.start * TRAILER) as u64);
        clear()?;
        folder::punch_hole(&self.file, self.pages(group, slots))?;
        // What another process has written there meanwhile may be gone, too.
        clear()
    }
}

/// Returns the range from the first of these slots to the last one.
fn span(mut slots: impl Iterator<Item = usize>) -> Option<Range<usize>> {
    let first = slots.next()?;
    Some(first..slots.last().unwrap_or(first) + 1)
}
