//! The checksums of the format: CRC-64/GO-ISO with bit 63 set, so that a checksum is never 0.

use crc_fast::{CrcAlgorithm, Digest};

/// The bit that is set in every checksum. The checksum of an empty database is this bit alone.
pub(super) const FLAG: u64 = 1 << 63;

/// An incremental checksum.
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

    /// Returns the CRC without the flag. CRCs can be combined, see [`CrcShift`].
    pub(super) fn crc(&self) -> u64 {
        self.0.finalize()
    }
}

/// The polynomial of the CRC without x^64. The lowest power of x is in the highest bit.
const POLYNOMIAL: u64 = 0xd800_0000_0000_0000;

/// x^(8 · 2^n) modulo the polynomial, for each n.
const POWERS: [u64; 64] = {
    let mut powers = [1 << 55; 64];
    let mut n = 1;
    while n < powers.len() {
        powers[n] = multiply(powers[n - 1], powers[n - 1]);
        n += 1;
    }
    powers
};

/// Multiplies two polynomials modulo the polynomial of the CRC, without branches that depend on their bits.
const fn multiply(a: u64, mut b: u64) -> u64 {
    let (mut product, mut bit) = (0, 64);
    while bit > 0 {
        bit -= 1;
        product ^= b & (a >> bit & 1).wrapping_neg();
        b = b >> 1 ^ POLYNOMIAL & (b & 1).wrapping_neg();
    }
    product
}

/// The factor that shifts a CRC past `count` bytes that follow: the CRC of *a* followed by *b* is the CRC of *a*,
/// [shifted](CrcShift::apply) by the length of *b*, exclusive-or the CRC of *b*.
#[derive(Clone, Copy, Debug)]
pub(super) struct CrcShift(u64);

impl CrcShift {
    pub(super) fn by(count: u64) -> CrcShift {
        let set_bits = (0..64).filter(|bit| count >> bit & 1 == 1);
        CrcShift(set_bits.fold(1 << 63, |power, bit| multiply(power, POWERS[bit])))
    }

    pub(super) fn apply(self, crc: u64) -> u64 {
        multiply(self.0, crc)
    }
}

/// Returns the checksum of a page: its number as four bytes, big-endian, followed by its content.
///
/// The checksum of a database is the exclusive-or of the checksums of all pages except the lock page, with bit 63 set.
pub fn page_checksum(pgno: u32, page: &[u8]) -> u64 {
    let mut checksum = Checksum::new();
    checksum.update(&pgno.to_be_bytes());
    checksum.update(page);
    checksum.finish()
}

/// Returns the checksum of a database after a page is added. Since exclusive-or is its own inverse, this also removes a page.
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
        fn the_crcs_of_two_parts_are_combined(bytes in prop::collection::vec(any::<u8>(), 0..5000), at: prop::sample::Index) {
            let (first, second) = bytes.split_at(at.index(bytes.len() + 1));
            prop_assert_eq!(CrcShift::by(second.len() as u64).apply(crc(first)) ^ crc(second), crc(&bytes));
        }

        #[test]
        fn shifts_add_up(one in 0u64..1 << 50, other in 0u64..1 << 50, crc: u64) {
            prop_assert_eq!(CrcShift::by(one).apply(CrcShift::by(other).apply(crc)), CrcShift::by(one + other).apply(crc));
        }
    }

    /// The check value of CRC-64/GO-ISO in the catalogue of CRC algorithms.
    #[test]
    fn the_check_value_is_correct() {
        let mut checksum = Checksum::new();
        checksum.update(b"1234");
        checksum.update(b"56789");
        assert_eq!(checksum.finish(), 0xb909_56c7_75a4_1001);
    }

    #[test]
    fn the_checksum_of_a_page_includes_its_number() {
        let mut by_hand = Checksum::new();
        by_hand.update(&[0, 0, 1, 2, 7, 7, 7]);
        assert_eq!(page_checksum(258, &[7, 7, 7]), by_hand.finish());
        assert_ne!(page_checksum(258, &[7, 7, 7]), page_checksum(259, &[7, 7, 7]));
    }

    #[test]
    fn removing_a_page_restores_the_checksum_without_it() {
        let one = with_page(FLAG, 1, b"one");
        assert_eq!(with_page(with_page(one, 2, b"two"), 2, b"two"), one);
    }
}
