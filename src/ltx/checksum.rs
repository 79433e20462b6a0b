//! The CRC of the format: CRC-64/GO-ISO with bit 63 set, so that a checksum is never 0.

use crc_fast::{CrcAlgorithm, Digest};

/// Set in every checksum. The checksum of an empty database is this bit alone.
pub(super) const FLAG: u64 = 1 << 63;

/// A checksum over bytes that come in pieces.
#[derive(Debug)]
pub(super) struct Checksum(Digest);

impl Checksum {
    pub(super) fn new() -> Checksum {
        Checksum(Digest::new(CrcAlgorithm::Crc64GoIso))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(&self) -> u64 {
        self.0.finalize() | FLAG
    }
}

/// The checksum of one page: of its number as four bytes, big-endian, and its content.
///
/// The checksum of a database is the exclusive or of those of all its pages but the lock page, with bit 63 set.
pub fn page_checksum(pgno: u32, page: &[u8]) -> u64 {
    let mut checksum = Checksum::new();
    checksum.update(&pgno.to_be_bytes());
    checksum.update(page);
    checksum.finish()
}

/// The checksum of a database with one more page (or, since exclusive or undoes itself, with one page less).
pub(super) fn with_page(database: u64, pgno: u32, page: &[u8]) -> u64 {
    (database ^ page_checksum(pgno, page)) | FLAG
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value that the catalogue of CRCs gives for CRC-64/GO-ISO.
    #[test]
    fn the_polynomial_is_that_of_the_format() {
        let mut checksum = Checksum::new();
        checksum.update(b"1234");
        checksum.update(b"56789");
        assert_eq!(checksum.finish(), 0xb909_56c7_75a4_1001);
    }

    #[test]
    fn a_page_counts_with_its_number() {
        let mut by_hand = Checksum::new();
        by_hand.update(&[0, 0, 1, 2, 7, 7, 7]);
        assert_eq!(page_checksum(258, &[7, 7, 7]), by_hand.finish());
        assert_ne!(page_checksum(258, &[7, 7, 7]), page_checksum(259, &[7, 7, 7]));
    }

    #[test]
    fn a_page_taken_out_leaves_the_checksum_of_the_others() {
        let one = with_page(FLAG, 1, b"one");
        assert_eq!(with_page(with_page(one, 2, b"two"), 2, b"two"), one);
    }
}
