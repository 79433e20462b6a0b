//! The numbers in an index: unsigned LEB128, which is seven bits per byte, lowest first, with bit 7 set in all bytes but the last.

use crate::ltx::LtxError;

/// Takes a number from the start of `bytes`.
pub(super) fn take_number(bytes: &mut &[u8]) -> Result<u64, LtxError> {
    const CONTINUED: u64 = 0x8080_8080_8080_8080;
    if let Some(eight) = bytes.first_chunk() {
        let eight = u64::from_le_bytes(*eight);
        let last = !eight & CONTINUED;
        if last != 0 {
            let number = join_sevens(eight & (last ^ (last - 1)) & !CONTINUED);
            *bytes = &bytes[last.trailing_zeros() as usize / 8 + 1..];
            return Ok(number);
        }
    }
    take_long_number(bytes)
}

/// Joins the seven low bits of each of eight bytes. This needs one branch per number instead of one per byte: the index of a large
/// database has tens of millions of numbers.
fn join_sevens(bytes: u64) -> u64 {
    let pairs = bytes & 0x007f_007f_007f_007f | (bytes & 0x7f00_7f00_7f00_7f00) >> 1;
    let fours = pairs & 0x0000_3fff_0000_3fff | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    fours & 0x0fff_ffff | (fours & 0x0fff_ffff_0000_0000) >> 4
}

/// As [`take_number`], for numbers of nine or ten bytes and for those near the end of the input.
fn take_long_number(bytes: &mut &[u8]) -> Result<u64, LtxError> {
    const MAX_LENGTH: usize = 10;
    let mut number = 0;
    for (i, byte) in bytes.iter().take(MAX_LENGTH).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * i);
        if *byte < 0x80 {
            // The tenth byte holds bit 63 only.
            let fits = i + 1 < MAX_LENGTH || *byte <= 1;
            *bytes = &bytes[i + 1..];
            return if fits { Ok(number) } else { Err(LtxError::IndexNumber) };
        }
    }
    Err(if bytes.len() < MAX_LENGTH { LtxError::IndexCut } else { LtxError::IndexNumber })
}

/// Returns how many bytes the shortest form of a number has.
pub(super) fn number_length(number: u64) -> u64 {
    u64::from(64 - (number | 1).leading_zeros()).div_ceil(7)
}

/// Appends a number.
pub(super) fn put_number(mut number: u64, file: &mut Vec<u8>) {
    while number >= 0x80 {
        file.push(number as u8 | 0x80);
        number >>= 7;
    }
    file.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_round_trip() {
        let mut numbers: Vec<u64> = (0..64).flat_map(|bits| [(1 << bits) - 1, 1 << bits]).collect();
        numbers.push(u64::MAX);
        for number in numbers {
            let mut bytes = Vec::new();
            put_number(number, &mut bytes);
            assert_eq!(number_length(number), bytes.len() as u64);
            for length in 0..bytes.len() {
                assert_eq!(take_number(&mut &bytes[..length]), Err(LtxError::IndexCut));
            }
            for following in [&[0xaa][..], &[0xff; 9], &[0; 9]] {
                let bytes = [&bytes, following].concat();
                let mut rest = &bytes[..];
                assert_eq!((take_number(&mut rest), rest), (Ok(number), following));
            }
        }
    }

    #[test]
    fn numbers_above_64_bits_are_rejected_and_padded_ones_are_not() {
        let beyond = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        assert_eq!(take_number(&mut &beyond[..]), Err(LtxError::IndexNumber));
        assert_eq!(take_number(&mut &[0x80; 12][..]), Err(LtxError::IndexNumber));
        assert_eq!(take_number(&mut &[0x85, 0x80, 0x00][..]), Ok(5));
        assert_eq!(take_number(&mut &[0x85, 0x80, 0x00, 9, 9, 9, 9, 9, 9][..]), Ok(5));
    }
}
