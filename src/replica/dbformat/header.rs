//! The fields of the database header, which is the beginning of page 1.

/// Offset of the page size, which has two bytes.
pub(crate) const PAGE_SIZE: usize = 16;
/// Offset of the write and the read version of the format, which have one byte each.
pub(crate) const VERSIONS: usize = 18;
/// Offset of the number of bytes that are reserved at the end of each page, which has one byte.
pub(crate) const RESERVED: usize = 20;
/// Offset of the change counter.
pub(crate) const COUNTER: usize = 24;
/// Offset of the size of the database in pages.
pub(crate) const COMMIT: usize = 28;
/// Offset of the number of the first trunk page of the freelist.
pub(crate) const FIRST_TRUNK: usize = 32;
/// Offset of the schema cookie.
pub(crate) const SCHEMA_COOKIE: usize = 40;
/// Offset of the schema format. The default cache size, the largest root page and the text encoding follow.
pub(crate) const SCHEMA_FORMAT: usize = 44;
/// Offset of the largest root page. It is zero in a database without pointer maps.
pub(crate) const LARGEST_ROOT: usize = 52;
/// Offset of the text encoding.
pub(crate) const TEXT_ENCODING: usize = 56;
/// Offset of the change counter for which the size is valid. The version of SQLite follows.
pub(crate) const VALID_FOR: usize = 92;
/// Size of the header in bytes.
pub(crate) const SIZE: usize = 100;

/// The smallest number of usable bytes per page that SQLite allows.
pub(crate) const MIN_USABLE: usize = 480;

/// Returns how many bytes of each page SQLite uses: all but the reserved ones. None if page 1 is not that of a database.
pub(crate) fn usable(page_1: &[u8]) -> Option<usize> {
    let reserved = usize::from(*page_1.get(RESERVED)?);
    page_1.len().checked_sub(reserved).filter(|usable| *usable >= MIN_USABLE)
}
