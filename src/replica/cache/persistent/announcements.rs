//! What the processes that share the directory fetch at the moment, so that they do not all fetch the same.
//!
//! A file is a table of parts of files of the replica, each at the place that follows from its hash. A process writes the parts that it
//! begins to fetch, and clears them when they are in the directory. There are no locks: what is overwritten, stale or damaged has a process
//! wait in vain for a moment, or fetch what another one fetches too.

use super::CacheDirectory;
use super::open_files::{OpenFile, OpenFiles};
use crate::pread::{read_exact_at, write_all_at};
use crate::random;
use crate::time;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The file that has the table.
pub(super) const FETCHING: &str = "fetching";

/// The length of a part in bytes.
const PART: u64 = 64 << 10;

/// The number of parts that the table has room for.
const ENTRIES: u64 = 8192;

const ENTRY: usize = 16;

/// How long an announcement holds. A process that ends or hangs does not renew it.
const HOLDS: Duration = Duration::from_secs(1);

/// How often a process renews what it has announced.
pub(in crate::replica) const RENEWAL: Duration = Duration::from_millis(250);

/// A part that a process fetches.
#[derive(Clone, Copy, PartialEq, Eq)]
struct AnnouncedPart {
    part: u64,
    /// Until when it holds, in milliseconds since 1970.
    until_ms: u64,
    /// The replica of a process that fetches it.
    by: u16,
}

impl AnnouncedPart {
    const EMPTY: [u8; ENTRY] = [0; ENTRY];

    fn parse(bytes: &[u8; ENTRY]) -> AnnouncedPart {
        let all = u128::from_le_bytes(*bytes);
        AnnouncedPart { part: all as u64, by: (all >> 64) as u16, until_ms: (all >> 80) as u64 }
    }

    fn bytes(self) -> [u8; ENTRY] {
        (u128::from(self.part) | u128::from(self.by) << 64 | u128::from(self.until_ms) << 80).to_le_bytes()
    }

    /// Returns false if it no longer holds, or is not plausible.
    fn holds(self, now_ms: u64) -> bool {
        let remaining = self.until_ms.saturating_sub(now_ms);
        remaining > 0 && remaining <= HOLDS.as_millis() as u64
    }

    fn offset(part: u64) -> u64 {
        part % ENTRIES * ENTRY as u64
    }

    /// Returns what the table has at the place of a part.
    fn read(table: &File, part: u64) -> Option<AnnouncedPart> {
        let mut bytes = AnnouncedPart::EMPTY;
        read_exact_at(table, &mut bytes, AnnouncedPart::offset(part)).ok()?;
        Some(AnnouncedPart::parse(&bytes))
    }

    /// Writes other bytes in its place, unless another process has written its own there.
    fn replace(self, table: &File, bytes: [u8; ENTRY]) {
        if AnnouncedPart::read(table, self.part) == Some(self) {
            let _ = write_all_at(table, &bytes, AnnouncedPart::offset(self.part));
        }
    }
}

/// The table of a cache directory.
pub(super) struct Announcements {
    table: OpenFile,
    /// Random. Replicas of two processes with the same number do not wait for each other.
    number: u16,
}

impl Announcements {
    pub(super) fn new(files: &Arc<OpenFiles>) -> Announcements {
        Announcements { table: files.file(FETCHING.to_owned()), number: random::number() as u16 }
    }
}

/// Parts that this process fetches. They are no longer announced when this is dropped.
pub(in crate::replica) struct Announcement {
    table: Arc<File>,
    entries: Vec<AnnouncedPart>,
}

impl Announcement {
    /// Has the announcement hold from now on.
    pub(in crate::replica) fn renew(&mut self) {
        let until_ms = end_ms();
        for entry in &mut self.entries {
            let renewed = AnnouncedPart { until_ms, ..*entry };
            entry.replace(&self.table, renewed.bytes());
            *entry = renewed;
        }
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        self.entries.iter().for_each(|entry| entry.replace(&self.table, AnnouncedPart::EMPTY));
    }
}

impl CacheDirectory {
    /// Announces that this process fetches a range of a file. This must be renewed every [`RENEWAL`]. None if nothing can be announced.
    pub(in crate::replica) fn announce(&self, file: u32, range: &Range<u64>) -> Option<Announcement> {
        let (parts, table) = (self.parts_of(file, range)?, self.announcements.table.current().ok()?);
        let (until_ms, by) = (end_ms(), self.announcements.number);
        let entries: Vec<AnnouncedPart> = parts.map(|part| AnnouncedPart { part, until_ms, by }).collect();
        let announcement = Announcement { table, entries };
        for entry in &announcement.entries {
            write_all_at(&announcement.table, &entry.bytes(), AnnouncedPart::offset(entry.part)).ok()?;
        }
        Some(announcement)
    }

    /// Returns whether another process fetches bytes of a range of a file.
    pub(in crate::replica) fn is_announced(&self, file: u32, range: &Range<u64>) -> bool {
        let Some(mut parts) = self.parts_of(file, range) else { return false };
        let (Ok(table), now) = (self.announcements.table.current(), now_ms()) else { return false };
        parts.any(|part| {
            let entry = AnnouncedPart::read(&table, part).filter(|entry| entry.part == part && entry.holds(now));
            entry.is_some_and(|entry| entry.by != self.announcements.number)
        })
    }

    /// Returns the parts of a range. None if pages are not exchanged through the directory.
    fn parts_of(&self, file: u32, range: &Range<u64>) -> Option<impl Iterator<Item = u64> + use<>> {
        if !self.exchanges_pages() {
            return None;
        }
        let mask = self.slots_of(file)?.mask();
        let parts = range.start / PART..range.end.div_ceil(PART);
        Some(parts.map(move |part| mask ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }
}

/// Returns until when an announcement of now holds.
fn end_ms() -> u64 {
    now_ms() + HOLDS.as_millis() as u64
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
        let holds = |now_ms| entry.holds(now_ms);
        assert_eq!([9_000, 9_999, 10_000, 10_001, 8_999].map(holds), [true, true, false, false, false]);
        assert!(!AnnouncedPart::parse(&[0xff; ENTRY]).holds(10_000), "a damaged table");
        assert!(!AnnouncedPart::parse(&AnnouncedPart::EMPTY).holds(10_000));
    }
}
