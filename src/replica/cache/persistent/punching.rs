//! Evicts single pages: the oldest ones are punched out of their files.

use super::eviction::{CachedFile, Contents};
use super::slots::{SlotTrailer, TRAILER, TRAILERS, group_size};
use crate::pread::{read_exact_at, write_all_at};
use crate::replica::folder;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;

impl Contents {
    /// Frees at least `bytes` of the oldest pages of the newest views. Where that is not possible, removes whole files.
    pub(super) fn punch(&mut self, bytes: u64) {
        let files: Vec<usize> = (0..self.files.len()).filter(|at| self.page_size(*at).is_some()).collect();
        let mut ages: BTreeMap<u32, u64> = BTreeMap::new();
        for at in &files {
            let Some((slots, page_size)) = self.open_slots(*at) else { continue };
            let _ = each_group(&slots, page_size, |_, trailers| {
                trailers
                    .iter()
                    .for_each(|(_, trailer)| *ages.entry(trailer.written).or_default() += u64::from(page_size));
                Ok(())
            });
        }
        let mut freed = 0;
        let oldest = ages.into_iter().take_while(|(_, size)| {
            freed += size;
            freed - size < bytes
        });
        let Some((until, _)) = oldest.last() else { return };
        for at in files {
            let Some((slots, page_size)) = self.open_slots(at) else { continue };
            let punched =
                each_group(&slots, page_size, |group, trailers| punch_group(&slots, page_size, group, trailers, until));
            if punched.is_err() && self.size > 0 {
                self.remove(at);
            } else if let Ok(metadata) = slots.metadata() {
                let now = folder::allocated(&metadata);
                self.size = self.size.saturating_sub(self.files[at].entry.allocated.saturating_sub(now));
            }
        }
    }

    /// Returns the page size of a file of pages. None for other files.
    fn page_size(&self, at: usize) -> Option<u32> {
        let (_, kind) = self.files[at].entry.name.split_once('.')?;
        let size = u32::from_str_radix(kind.strip_prefix("p-")?.rsplit('-').next()?, 16).ok()?;
        (512..=65536).contains(&size).then_some(size)
    }

    fn open_slots(&self, at: usize) -> Option<(File, u32)> {
        let CachedFile { folder, entry, .. } = &self.files[at];
        Some((self.folders[*folder].open_file(&entry.name).ok()??, self.page_size(at)?))
    }
}

/// Passes the offset of each group of a file of pages, and its slots that have a page, to `each`.
fn each_group(
    file: &File,
    page_size: u32,
    mut each: impl FnMut(u64, &[(usize, SlotTrailer)]) -> io::Result<()>,
) -> io::Result<()> {
    let (size, mut block) = (file.metadata()?.len(), [0; TRAILERS]);
    let mut group = 0;
    // Holes are skipped: the length of the file says nothing about its content.
    while let Some(data) = folder::next_data(file, group) {
        group = data / group_size(page_size) * group_size(page_size);
        if group + TRAILERS as u64 > size {
            break;
        }
        read_exact_at(file, &mut block, group)?;
        let (trailers, _) = block.as_chunks::<TRAILER>();
        let trailers: Vec<(usize, SlotTrailer)> = trailers.iter().map(SlotTrailer::parse).enumerate().collect();
        let used: Vec<(usize, SlotTrailer)> = trailers.into_iter().filter(|(_, trailer)| !trailer.is_empty()).collect();
        if !used.is_empty() {
            each(group, &used)?;
        }
        group += group_size(page_size);
    }
    Ok(())
}

/// Punches the pages of a group out of their file that were written at `until` or before.
fn punch_group(
    file: &File,
    page_size: u32,
    group: u64,
    trailers: &[(usize, SlotTrailer)],
    until: u32,
) -> io::Result<()> {
    let old: Vec<usize> =
        trailers.iter().filter(|(_, trailer)| trailer.written <= until).map(|(slot, _)| *slot).collect();
    for run in old.chunk_by(|one, other| one + 1 == *other) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let slots = *first as u64..*last as u64 + 1;
        let empty = vec![0; (slots.end - slots.start) as usize * TRAILER];
        write_all_at(file, &empty, group + slots.start * TRAILER as u64)?;
        let pages = group + TRAILERS as u64;
        let [start, end] = [slots.start, slots.end].map(|slot| pages + slot * u64::from(page_size));
        folder::punch_hole(file, start..end)?;
    }
    Ok(())
}
