//! The page size of a database, and what follows from it.

use std::fmt;

/// A page size in bytes: a power of two from 512 to 65536.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageSize(u32);

impl PageSize {
    /// The first byte of the range that SQLite locks. The page around it has no content.
    const LOCK_BYTE: u32 = 1 << 30;

    /// A page size, if it is one.
    pub fn new(bytes: u32) -> Option<PageSize> {
        (bytes.is_power_of_two() && (512..=65536).contains(&bytes)).then_some(PageSize(bytes))
    }

    /// In bytes.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The number of the page that holds byte 2^30, which no file holds.
    pub fn lock_page(self) -> u32 {
        Self::LOCK_BYTE / self.0 + 1
    }

    /// The most bytes that the frame of a page can have.
    ///
    /// LZ4 makes incompressible data longer by one byte in 255 and 16 more. The page header and the size field are 10
    /// bytes; an LZ4 frame around the data has a header of up to 19 and an end of up to 8, and 8 bytes for each
    /// block, of which there is one, since a page is no longer than the shortest block maximum, 64 KiB. 64 bytes
    /// leave room for a writer that splits a page all the same.
    pub fn max_frame(self) -> u32 {
        const AROUND: u32 = 10 + 19 + 8 + 64;
        self.0 + self.0 / 255 + 16 + AROUND
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
    fn only_sqlites_page_sizes_are_page_sizes() {
        let sizes: Vec<u32> = (0..=1 << 17).filter_map(PageSize::new).map(PageSize::get).collect();
        assert_eq!(sizes, [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]);
        assert_eq!(PageSize::new(u32::MAX), None);
        assert_eq!(PageSize::new(1 << 31), None);
    }

    #[test]
    fn the_lock_page_holds_byte_two_to_the_thirty() {
        for bits in 9..=16 {
            let size = PageSize::new(1 << bits).expect("a page size");
            let first_byte = u64::from(size.lock_page() - 1) * u64::from(size.get());
            assert!((first_byte..first_byte + u64::from(size.get())).contains(&(1 << 30)), "{size}");
        }
    }
}
