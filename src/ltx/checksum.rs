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
        self.crc() | FLAG
    }

    /// The CRC itself, which can be combined with others.
    pub(super) fn crc(&self) -> u64 {
        self.0.finalize()
    }
}

/// The polynomial of the CRC, lowest power of x in the highest bit, without x^64.
const POLYNOMIAL: u64 = 0xd800_0000_0000_0000;

/// x^(8 * 2^n) modulo the polynomial, for each n.
const POWERS: [u64; 64] = {
    let mut powers = [1 << 55; 64];
    let mut n = 1;
    while n < powers.len() {
        powers[n] = multiply(powers[n - 1], powers[n - 1]);
        n += 1;
    }
    powers
};

/// The product of two polynomials modulo that of the CRC. It does not branch on their bits.
const fn multiply(a: u64, mut b: u64) -> u64 {
    let (mut product, mut bit) = (0, 64);
    while bit > 0 {
        bit -= 1;
        product ^= b & (a >> bit & 1).wrapping_neg();
        b = b >> 1 ^ POLYNOMIAL & (b & 1).wrapping_neg();
    }
    product
}

/// By what the CRC of some bytes is multiplied when `count` other bytes follow them:
/// the CRC of *a* followed by *b* is that of *a*, [moved](Move::crc) by the length of *b*, exclusive or that of *b*.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move(u64);

impl Move {
    pub(super) fn by(count: u64) -> Move {
        let set = (0..64).filter(|bit| count >> bit & 1 == 1);
        Move(set.fold(1 << 63, |power, bit| multiply(power, POWERS[bit])))
    }

    pub(super) fn crc(self, crc: u64) -> u64 {
        multiply(self.0, crc)
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
    use proptest::prelude::*;

    fn crc(bytes: &[u8]) -> u64 {
        let mut checksum = Checksum::new();
        checksum.update(bytes);
        checksum.crc()
    }

    proptest! {
        #[test]
        fn the_crc_of_two_parts_is_made_of_theirs(bytes in prop::collection::vec(any::<u8>(), 0..5000), at: prop::sample::Index) {
            let (first, second) = bytes.split_at(at.index(bytes.len() + 1));
            prop_assert_eq!(Move::by(second.len() as u64).crc(crc(first)) ^ crc(second), crc(&bytes));
        }

        #[test]
        fn moves_add_up(one in 0u64..1 << 50, other in 0u64..1 << 50, crc: u64) {
            prop_assert_eq!(Move::by(one).crc(Move::by(other).crc(crc)), Move::by(one + other).crc(crc));
        }
    }

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
