//! The trailer of a file.

use super::LtxError;

/// The trailer of a file, which is its last bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trailer {
    /// Checksum of the database after the file; 0 in files without checksums, such as Litestream's.
    pub post_apply_checksum: u64,
    /// Checksum of the file with uncompressed pages.
    pub file_checksum: u64,
}

impl Trailer {
    /// Length in bytes.
    pub const SIZE: usize = 16;

    /// Parses a trailer, which is exactly the last [`Trailer::SIZE`] bytes of a file.
    pub fn parse(bytes: &[u8]) -> Result<Trailer, LtxError> {
        let Ok(bytes) = <&[u8; Trailer::SIZE]>::try_from(bytes) else {
            return Err(LtxError::TooShort(bytes.len() as u64));
        };
        let (halves, _) = bytes.as_chunks::<8>();
        let [post_apply_checksum, file_checksum] = [halves[0], halves[1]].map(u64::from_be_bytes);
        Ok(Trailer { post_apply_checksum, file_checksum })
    }

    /// Parses the trailer at the end of a file, of which these are the last bytes.
    pub fn at_end(bytes: &[u8]) -> Result<Trailer, LtxError> {
        Trailer::parse(bytes.last_chunk::<{ Trailer::SIZE }>().map_or(bytes, |last| last))
    }

    /// Returns the trailer as bytes.
    pub fn encode(&self) -> [u8; Trailer::SIZE] {
        let mut bytes = [0; Trailer::SIZE];
        bytes[..8].copy_from_slice(&self.post_apply_checksum.to_be_bytes());
        bytes[8..].copy_from_slice(&self.file_checksum.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailer_is_two_big_endian_numbers() {
        let trailer = Trailer { post_apply_checksum: 0x8000_0000_0000_0102, file_checksum: 0x8102_0304_0506_0708 };
        let bytes = [0x80, 0, 0, 0, 0, 0, 1, 2, 0x81, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(trailer.encode(), bytes);
        assert_eq!(Trailer::parse(&bytes), Ok(trailer));
        assert_eq!(Trailer::parse(&bytes[1..]), Err(LtxError::TooShort(15)));
        assert_eq!(Trailer::parse(&[]), Err(LtxError::TooShort(0)));
        assert_eq!(Trailer::at_end(&[&[7, 7][..], &bytes].concat()), Ok(trailer));
        assert_eq!(Trailer::at_end(&bytes[1..]), Err(LtxError::TooShort(15)));
    }
}
