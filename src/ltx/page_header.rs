//! The header of a page frame.

/// Length of a page header in bytes: page number and flags.
pub(super) const PAGE_HEADER: usize = 6;

/// The end mark, which follows the last page in place of a page header.
pub const END_OF_PAGES: [u8; PAGE_HEADER] = [0; PAGE_HEADER];
