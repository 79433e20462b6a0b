//! Byte ranges of files of the replica: small files, headers and indexes. They are stored as they were read.

use super::CacheDirectory;
use super::sealed::{FieldReader, SealedFields};
use super::slots::stem;
use crate::ltx::{self, FileName, Level};
use crate::store::{Chunk, Listed, Version};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// Bytes in the file of a part in addition to those of the part, at most.
const MAX_OVERHEAD: u64 = 64 << 10;

/// The kind of these files in the cache directory.
const PART: &str = "r";

/// Returns the file of a part. Its content says which part it really is.
fn part_name(listed: &Listed, version: &Version, range: &Range<u64>) -> String {
    let version = ltx::page_checksum(2, version.0.as_bytes());
    let stem = stem(listed.level, listed.name);
    format!("{stem}.{PART}-{:x}-{version:x}-{:x}-{:x}", listed.size, range.start, range.end)
}

impl CacheDirectory {
    /// Returns a range of a listed file. `expected` is the version that the range must have: the listed one, or the one
    /// that a read of the listed one returned. Some stores list other versions than they return.
    pub(in crate::replica) fn part(
        &self,
        listed: &Listed,
        range: &Range<u64>,
        expected: Option<&Version>,
    ) -> Option<Chunk> {
        let seen = listed.version.as_ref()?;
        let max = range.end.saturating_sub(range.start).saturating_add(MAX_OVERHEAD);
        let file = Bytes::from(self.folder.read(&part_name(listed, seen, range), max).ok()??);
        let mut fields = FieldReader::open(&file)?;
        let is_same = fields.text()? == &*seen.0
            && (fields.number()?, fields.number()?, fields.number()?) == (listed.size, range.start, range.end);
        let version = Version(fields.text()?.into());
        let (file_size, modified_ms) = (fields.number()?, fields.number()? as i64);
        let bytes = file.slice_ref(fields.bytes()?);
        let is_expected = expected.is_none_or(|expected| *expected == version || expected == seen);
        (is_same && is_expected).then_some(Chunk { bytes, file_size, version, modified_ms })
    }

    /// Stores a range of a listed file, unless it is there. A damaged one is replaced.
    pub(in crate::replica) fn keep_part(self: &Arc<Self>, listed: &Listed, range: &Range<u64>, chunk: &Chunk) {
        let Some(seen) = listed.version.as_ref().filter(|_| self.may_write()) else { return };
        if self.part(listed, range, Some(&chunk.version)).is_some() {
            return;
        }
        let mut fields = SealedFields::default();
        fields.text(&seen.0).number(listed.size).number(range.start).number(range.end);
        fields.text(&chunk.version.0).number(chunk.file_size).number(chunk.modified_ms as u64).bytes(&chunk.bytes);
        let (head, body) = fields.seal();
        self.after(self.folder.write(&part_name(listed, seen, range), &[&head, body]), body.len());
    }

    /// Removes all parts of a file.
    pub(in crate::replica) fn forget_parts(&self, level: Level, name: FileName) {
        let prefix = format!("{}.{PART}-", stem(level, name));
        for entry in self.folder.entries().unwrap_or_default() {
            if entry.name.starts_with(&prefix) {
                let _ = self.folder.remove(&entry.name);
            }
        }
    }
}
