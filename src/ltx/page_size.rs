//! The page size of a database and values derived from it.

use std::fmt;

/// A page size in bytes: a power of two from 512 to 65536.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageSize(u32);

impl PageSize {
    /// The first byte of the range that SQLite uses for locks. The page that contains it has no content.
    const LOCK_BYTE: u32 = 1 << 30;

    /// Creates a page size. Returns None if SQLite does not support it.
    pub fn new(bytes: u32) -> Option<PageSize> {
        (bytes.is_power_of_two() && (512..=65536).contains(&bytes)).then_some(PageSize(bytes))
    }

    /// Returns the size in bytes.
    pub fn get(self) -> u32 {
        self.0
    }

    /// Returns the number of the page that contains byte 2^30. No LTX file contains this page.
    pub fn lock_page(self) -> u32 {
        Self::LOCK_BYTE / self.0 + 1
    }

    /// Returns the maximum length of a page's frame in bytes.
    ///
    /// LZ4 extends incompressible data by one byte in 255, plus 16 bytes. The page header and the size field have 10 bytes. An LZ4 frame
    /// has a header of up to 19 bytes, an end of up to 8 bytes, and 8 bytes per block. There is one block, because a page is not longer
    /// than the smallest maximum block size, 64 KiB. The last 64 bytes allow for a writer that nevertheless uses several blocks.
    pub fn max_frame(self) -> u32 {
        const OVERHEAD: u32 = 10 + 19 + 8 + 64;
        self.0 + self.0 / 255 + 16 + OVERHEAD
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_page_sizes_of_sqlite_are_accepted() {
        let sizes: Vec<u32> = (0..=1 << 17).filter_map(PageSize::new).map(PageSize::get).collect();
        assert_eq!(sizes, [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]);
        assert_eq!(PageSize::new(u32::MAX), None);
        assert_eq!(PageSize::new(1 << 31), None);
    }

    #[test]
    fn the_lock_page_contains_byte_two_to_the_thirty() {
        for bits in 9..=16 {
            let size = PageSize::new(1 << bits).expect("a page size");
            let first_byte = u64::from(size.lock_page() - 1) * u64::from(size.get());
            assert!((first_byte..first_byte + u64::from(size.get())).contains(&(1 << 30)), "{size}");
        }
    }
}
