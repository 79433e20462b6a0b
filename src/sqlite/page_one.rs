//! The bytes of page 1 that say something about this file rather than about the data: the database header as a VFS
//! that has no WAL must give it.
//!
//! | offset | bytes | as served |
//! |---|---|---|
//! | 18, 19 | 1, 1 | write and read version 1, a rollback journal: the primary's says WAL, which nobody here keeps |
//! | 24 | 4 | file change counter: the number of the view, by which SQLite knows whether its own page cache still holds |
//! | 28 | 4 | size of the database in pages |
//! | 92 | 4 | version-valid-for: the counter again, without which SQLite does not believe the size |

use std::ops::Range;

/// Puts the header of a view into `part`, the bytes of page 1 from offset `start` on.
pub fn patch(part: &mut [u8], start: usize, counter: u32, commit: u32) {
    let counter = counter.to_be_bytes();
    overlay(part, start, 18, &[1, 1]);
    overlay(part, start, 24, &counter);
    overlay(part, start, 28, &commit.to_be_bytes());
    overlay(part, start, 92, &counter);
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

    const COUNTER: u32 = 0x0102_0304;
    const COMMIT: u32 = 0x0a0b_0c0d;

    fn whole() -> Vec<u8> {
        let mut page = vec![0xee; 512];
        patch(&mut page, 0, COUNTER, COMMIT);
        page
    }

    #[test]
    fn only_the_header_fields_change() {
        let mut expected = vec![0xee; 512];
        expected[18..20].copy_from_slice(&[1, 1]);
        expected[24..32].copy_from_slice(&[1, 2, 3, 4, 10, 11, 12, 13]);
        expected[92..96].copy_from_slice(&[1, 2, 3, 4]);
        assert_eq!(whole(), expected);
    }

    #[test]
    fn every_part_of_the_page_is_what_the_whole_page_has_there() {
        let whole = whole();
        for start in 0..110 {
            for end in start..110 {
                let mut part = vec![0xee; end - start];
                patch(&mut part, start, COUNTER, COMMIT);
                assert_eq!(part, whole[start..end], "bytes {start}..{end}");
            }
        }
    }
}
