//! The bytes of page 1 that say something about this file rather than about the data: the database header as a VFS
//! that has no WAL must give it.
//!
//! | offset | bytes | as served |
//! |---|---|---|
//! | 18, 19 | 1, 1 | write and read version 1, a rollback journal: the primary's says WAL, which nobody here keeps |
//! | 24 | 4 | file change counter: the number of the view, by which SQLite knows whether its own page cache still holds |
//! | 28 | 4 | size of the database in pages |
//! | 40 | 4 | schema cookie, by which SQLite knows whether its compiled statements still hold: equal for equal schemas alone, which the primary's is not once its file is replaced |
//! | 92 | 4 | version-valid-for: the counter again, without which SQLite does not believe the size |

use std::ops::Range;

/// What page 1 says about the file.
#[derive(Clone, Copy, Debug)]
pub struct Page1Header {
    /// The number of the view.
    pub counter: u32,
    /// Size of the database in pages.
    pub commit: u32,
    /// The schema cookie; None leaves the primary's.
    pub schema_cookie: Option<u32>,
}

/// Offset of the schema cookie.
const SCHEMA_COOKIE: usize = 40;

impl Page1Header {
    /// Whether these bytes of page 1 include some of the schema cookie.
    pub fn shows_schema_cookie(part: Range<usize>) -> bool {
        part.start < SCHEMA_COOKIE + 4 && SCHEMA_COOKIE < part.end
    }

    /// Puts the header into `part`, the bytes of page 1 from offset `start` on.
    pub fn patch(self, part: &mut [u8], start: usize) {
        let counter = self.counter.to_be_bytes();
        overlay(part, start, 18, &[1, 1]);
        overlay(part, start, 24, &counter);
        overlay(part, start, 28, &self.commit.to_be_bytes());
        overlay(part, start, 92, &counter);
        if let Some(cookie) = self.schema_cookie {
            overlay(part, start, SCHEMA_COOKIE, &cookie.to_be_bytes());
        }
    }
}

/// Writes those of `bytes`, which belong at offset `at` of the page, that `part` covers.
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
    fn every_part_of_the_page_is_what_the_whole_page_has_there() {
        let header = Page1Header { schema_cookie: Some(7), ..HEADER };
        let whole = whole(header);
        for start in 0..110 {
            for end in start..110 {
                let schema_cookie = header.schema_cookie.filter(|_| Page1Header::shows_schema_cookie(start..end));
                let mut part = vec![0xee; end - start];
                Page1Header { schema_cookie, ..header }.patch(&mut part, start);
                assert_eq!(part, whole[start..end], "bytes {start}..{end}");
            }
        }
    }
}
