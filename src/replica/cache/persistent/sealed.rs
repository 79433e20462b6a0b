//! Files of the cache directory that are written at once: a mark, a checksum and fields.
//!
//! A file that is damaged, cut off, or of another format opens as None.

use crate::ltx;

/// The first bytes of every sealed file: the format and its version.
const MARK: [u8; 8] = *b"LSVFS\0\0\x01";

/// Bytes before the fields: the mark and a checksum of the fields.
const HEAD: usize = 16;

/// Fields that are being written.
#[derive(Default)]
pub(in crate::replica) struct SealedFields(Vec<u8>);

impl SealedFields {
    pub(in crate::replica) fn number(&mut self, number: u64) -> &mut SealedFields {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub(in crate::replica) fn bytes(&mut self, bytes: &[u8]) -> &mut SealedFields {
        self.number(bytes.len() as u64).0.extend_from_slice(bytes);
        self
    }

    pub(in crate::replica) fn text(&mut self, text: &str) -> &mut SealedFields {
        self.bytes(text.as_bytes())
    }

    /// Returns the part of the file before the fields, and the fields.
    pub(super) fn seal(&self) -> ([u8; HEAD], &[u8]) {
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&MARK);
        head[8..].copy_from_slice(&ltx::page_checksum(0, &self.0).to_le_bytes());
        (head, &self.0)
    }
}

/// Fields that are being read. Each method returns None if the fields end before.
#[derive(Clone, Copy)]
pub(in crate::replica) struct FieldReader<'a>(&'a [u8]);

impl<'a> FieldReader<'a> {
    /// Opens a sealed file. Returns None if it is damaged or has another format.
    pub(in crate::replica) fn open(file: &'a [u8]) -> Option<FieldReader<'a>> {
        let (head, fields) = file.split_first_chunk::<HEAD>()?;
        let checksum = ltx::page_checksum(0, fields).to_le_bytes();
        (head[..8] == MARK && head[8..] == checksum).then_some(FieldReader(fields))
    }

    pub(in crate::replica) fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    pub(in crate::replica) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(in crate::replica) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_written_and_every_change_of_a_byte_is_noticed() {
        let mut fields = SealedFields::default();
        fields.number(7).text("one").bytes(b"\0\xff").text("");
        let (head, body) = fields.seal();
        let file = [&head[..], body].concat();
        let mut reader = FieldReader::open(&file).expect("a sealed file");
        assert_eq!(
            (reader.number(), reader.text(), reader.bytes(), reader.text()),
            (Some(7), Some("one"), Some(&b"\0\xff"[..]), Some(""))
        );
        assert_eq!(reader.number(), None);
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(FieldReader::open(&changed).is_none(), "byte {at}");
            assert!(FieldReader::open(&file[..at]).is_none(), "{at} bytes");
        }
    }
}
