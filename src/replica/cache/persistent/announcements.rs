//! What the processes that share the directory fetch at the moment, so that they do not all fetch the same.
//!
//! A file is a table of parts of files of the replica, each at the place that follows from its hash. A process writes the parts that it
//! begins to fetch, and clears them when they are in the directory. There are no locks: what is overwritten, stale or damaged has a process
//! wait in vain for a moment, or fetch what another one fetches too.

use super::CacheDirectory;
use crate::lock::RwLock;
use crate::pread::{read_exact_at, write_all_at};
use crate::random;
use crate::replica::folder::{self, Folder};
use crate::time;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

const NAME: &str = "fetching";

/// The length of a part in bytes.
const PART: u64 = 64 << 10;

/// The number of parts that the table has room for.
const ENTRIES: u64 = 8192;

const ENTRY: usize = 16;

/// An announcement that ends later than this from now on is not one.
const LONGEST: Duration = Duration::from_secs(2);

/// A part that a process fetches.
#[derive(Clone, Copy, PartialEq, Eq)]
struct AnnouncedPart {
    part: u64,
    /// When it should have ended, in milliseconds since 1970.
    until_ms: u64,
    /// The replica of a process that fetches it.
    by: u16,
}

impl AnnouncedPart {
    const EMPTY: [u8; ENTRY] = [0; ENTRY];

    fn parse(bytes: &[u8; ENTRY]) -> AnnouncedPart {
        let [part, rest] = [0, 8].map(|at| bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes));
        AnnouncedPart { part, until_ms: rest >> 16, by: rest as u16 }
    }

    fn bytes(self) -> [u8; ENTRY] {
        let mut bytes = AnnouncedPart::EMPTY;
        bytes[..8].copy_from_slice(&self.part.to_le_bytes());
        bytes[8..].copy_from_slice(&(self.until_ms << 16 | u64::from(self.by)).to_le_bytes());
        bytes
    }

    /// Returns the time until the end of the announcement. None if it has ended, or is not plausible.
    fn remaining(self, now_ms: u64) -> Option<Duration> {
        let remaining = Duration::from_millis(self.until_ms.checked_sub(now_ms).filter(|ms| *ms > 0)?);
        (remaining <= LONGEST).then_some(remaining)
    }

    fn offset(part: u64) -> u64 {
        part % ENTRIES * ENTRY as u64
    }
}

/// The table of a cache directory.
pub(super) struct Announcements {
    file: RwLock<Option<Arc<File>>>,
    /// Random. Replicas of two processes with the same number do not wait for each other.
    number: u16,
}

impl Announcements {
    pub(super) fn new() -> Announcements {
        Announcements { file: RwLock::default(), number: random::number() as u16 }
    }

    fn file(&self, folder: &Folder) -> io::Result<Arc<File>> {
        if let Some(file) = self.file.read().clone().filter(|file| !folder::is_removed(file)) {
            return Ok(file);
        }
        let file = Arc::new(folder.create_file(NAME)?);
        *self.file.write() = Some(file.clone());
        Ok(file)
    }
}

/// Parts that this process fetches. They are no longer announced when this is dropped.
pub(in crate::replica) struct Announcement {
    file: Arc<File>,
    entries: Vec<AnnouncedPart>,
}

impl Drop for Announcement {
    fn drop(&mut self) {
        for entry in &self.entries {
            // Another process may have written its own there.
            if read(&self.file, entry.part) == Some(*entry) {
                let _ = write_all_at(&self.file, &AnnouncedPart::EMPTY, AnnouncedPart::offset(entry.part));
            }
        }
    }
}

impl CacheDirectory {
    /// Announces that this process fetches a range of a file, for about `duration`. None if that is not possible.
    pub(in crate::replica) fn announce(
        &self,
        file: u32,
        range: &Range<u64>,
        duration: Duration,
    ) -> Option<Announcement> {
        let parts = self.parts_of(file, range)?;
        let table = self.announcements.file(&self.folder).ok()?;
        let until_ms = now_ms() + duration.min(LONGEST).as_millis() as u64;
        let entries: Vec<AnnouncedPart> =
            parts.map(|part| AnnouncedPart { part, until_ms, by: self.announcements.number }).collect();
        let announcement = Announcement { file: table, entries };
        for entry in &announcement.entries {
            write_all_at(&announcement.file, &entry.bytes(), AnnouncedPart::offset(entry.part)).ok()?;
        }
        Some(announcement)
    }

    /// Returns for how long, at most, another process fetches bytes of a range of a file. None if none does.
    pub(in crate::replica) fn announced_for(&self, file: u32, range: &Range<u64>) -> Option<Duration> {
        let (parts, table) = (self.parts_of(file, range)?, self.announcements.file(&self.folder).ok()?);
        let now = now_ms();
        let remaining = parts.filter_map(|part| {
            let entry = read(&table, part)?;
            let is_of_another = entry.part == part && entry.by != self.announcements.number;
            entry.remaining(now).filter(|_| is_of_another)
        });
        remaining.max()
    }

    /// Returns the parts of a range. None if pages are not exchanged through the directory.
    fn parts_of(&self, file: u32, range: &Range<u64>) -> Option<impl Iterator<Item = u64> + use<>> {
        if !self.exchanges_pages() {
            return None;
        }
        let mask = self.slots_of(file)?.mask();
        let parts = range.start / PART..range.end.div_ceil(PART);
        Some(parts.map(move |part| (mask ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15)).max(1)))
    }
}

/// Returns the entry at the place of a part.
fn read(table: &File, part: u64) -> Option<AnnouncedPart> {
    let mut bytes = AnnouncedPart::EMPTY;
    read_exact_at(table, &mut bytes, AnnouncedPart::offset(part)).ok()?;
    Some(AnnouncedPart::parse(&bytes))
}

fn now_ms() -> u64 {
    u64::try_from(time::now_ms()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_ends_and_an_implausible_one_is_ignored() {
        let entry = AnnouncedPart { part: 7, until_ms: 10_000, by: 3 };
        assert!(AnnouncedPart::parse(&entry.bytes()) == entry);
        let remaining = |now_ms| entry.remaining(now_ms).map(|time| time.as_millis());
        assert_eq!([9_000, 9_999, 10_000, 10_001, 7_999].map(remaining), [Some(1_000), Some(1), None, None, None]);
        assert_eq!(AnnouncedPart::parse(&[0xff; ENTRY]).remaining(10_000), None, "a damaged table");
        assert_eq!(AnnouncedPart::parse(&AnnouncedPart::EMPTY).remaining(10_000), None);
    }
}
