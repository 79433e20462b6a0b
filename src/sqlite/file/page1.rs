//! The header fields of page 1 that describe the file rather than its content. They are replaced by the values for this VFS.
//!
//! | offset | bytes | value |
//! |---|---|---|
//! | 18, 19 | 1, 1 | write and read version 1, which means a rollback journal. The primary's value means WAL, which a replica does not have |
//! | 24 | 4 | file change counter: the number of the view. SQLite keeps its page cache as long as this number stays the same |
//! | 28 | 4 | size of the database in pages |
//! | 40 | 4 | schema cookie. SQLite keeps its compiled statements as long as the cookie stays the same, so it is equal only for equal schemas. The primary's cookie is not, once the database file was replaced |
//! | 92 | 4 | version-valid-for: the change counter again. SQLite ignores the size if it differs |

use crate::replica::header::{COMMIT, COUNTER, SCHEMA_COOKIE, VALID_FOR, VERSIONS};
use std::ops::Range;

/// The versions of a file with a rollback journal, and of one with a WAL.
pub(super) const ROLLBACK: [u8; 2] = [1, 1];
pub(super) const WAL: [u8; 2] = [2, 2];

/// The header fields that are replaced.
#[derive(Clone, Copy, Debug)]
pub struct Page1Header {
    /// The number of the view.
    pub counter: u32,
    /// Size of the database in pages.
    pub commit: u32,
    /// The schema cookie. None keeps the primary's.
    pub schema_cookie: Option<u32>,
}

impl Page1Header {
    /// Whether a part of page 1 includes any byte of the schema cookie.
    pub fn includes_schema_cookie(part: Range<usize>) -> bool {
        part.start < SCHEMA_COOKIE + 4 && SCHEMA_COOKIE < part.end
    }

    /// Writes the fields into `part`, which is the bytes of page 1 from offset `start` on.
    pub fn patch(self, part: &mut [u8], start: usize) {
        let counter = self.counter.to_be_bytes();
        overlay(part, start, VERSIONS, &ROLLBACK);
        overlay(part, start, COUNTER, &counter);
        overlay(part, start, COMMIT, &self.commit.to_be_bytes());
        overlay(part, start, VALID_FOR, &counter);
        if let Some(cookie) = self.schema_cookie {
            overlay(part, start, SCHEMA_COOKIE, &cookie.to_be_bytes());
        }
    }
}

/// Writes `bytes`, which belong at offset `at` of the page, into `part`, as far as it covers them.
fn overlay(part: &mut [u8], start: usize, at: usize, bytes: &[u8]) {
    let covered: Range<usize> = at.max(start)..(at + bytes.len()).min(start + part.len());
    if !covered.is_empty() {
        part[covered.start - start..covered.end - start].copy_from_slice(&bytes[covered.start - at..covered.end - at]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Page1Header = Page1Header { counter: 0x0102_0304, commit: 0x0a0b_0c0d, schema_cookie: None };

    fn whole(header: Page1Header) -> Vec<u8> {
        let mut page = vec![0xee; 512];
        header.patch(&mut page, 0);
        page
    }

    #[test]
    fn only_the_header_fields_change() {
        let mut expected = vec![0xee; 512];
        expected[18..20].copy_from_slice(&[1, 1]);
        expected[24..32].copy_from_slice(&[1, 2, 3, 4, 10, 11, 12, 13]);
        expected[92..96].copy_from_slice(&[1, 2, 3, 4]);
        assert_eq!(whole(HEADER), expected);
        expected[40..44].copy_from_slice(&[9, 8, 7, 6]);
        assert_eq!(whole(Page1Header { schema_cookie: Some(0x0908_0706), ..HEADER }), expected);
    }

    #[test]
    fn a_part_equals_the_same_part_of_the_whole_page() {
        let header = Page1Header { schema_cookie: Some(7), ..HEADER };
        let whole = whole(header);
        for start in 0..110 {
            for end in start..110 {
                let schema_cookie = header.schema_cookie.filter(|_| Page1Header::includes_schema_cookie(start..end));
                let mut part = vec![0xee; end - start];
                Page1Header { schema_cookie, ..header }.patch(&mut part, start);
                assert_eq!(part, whole[start..end], "bytes {start}..{end}");
            }
        }
    }
}
