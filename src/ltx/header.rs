//! The header of a file.

use super::checksum::FLAG;
use super::{FileName, LtxError, PageSize, Txid};

/// The header of a file: its transactions, the size of the database, and where the data came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// [`Header::NO_CHECKSUMS`] or 0.
    pub flags: u32,
    /// Page size of the database.
    pub page_size: PageSize,
    /// Size of the database after the file, in pages. 0 if the database is empty then.
    pub commit: u32,
    /// First transaction in the file, at least 1.
    pub min_txid: Txid,
    /// Last transaction in the file, at least `min_txid`.
    pub max_txid: Txid,
    /// Time at which the file was written, in milliseconds since 1970. For a compaction, the time of its newest input.
    pub timestamp_ms: i64,
    /// Checksum of the database before the file; 0 in files without checksums and in files that start at transaction 1.
    pub pre_apply_checksum: u64,
    /// Offset of the changes in the write-ahead log, in bytes; 0 after a compaction.
    pub wal_offset: i64,
    /// Length of the changes in the write-ahead log, in bytes; 0 after a compaction.
    pub wal_size: i64,
    /// Salts of that write-ahead log; 0 after a compaction.
    pub wal_salt: [u32; 2],
    /// The node that wrote the file; 0 if unknown, which is what Litestream writes.
    pub node_id: u64,
    /// Checksum of the file of the transaction before, which the writer of this file has read; 0 if unknown. Written by this
    /// library only: it is in bytes that the format reserves, where Litestream writes 0 and which it ignores.
    pub previous: u64,
}

impl Header {
    /// Length in bytes.
    pub const SIZE: usize = 100;
    /// The flag that means that the file has no checksums of the database. Litestream always sets it.
    pub const NO_CHECKSUMS: u32 = 1 << 1;
    /// The first four bytes of every file.
    const MAGIC: [u8; 4] = *b"LTX1";

    /// Returns the header of a file whose pages are not copied from a write-ahead log: without checksums of the database, and with 0 in all
    /// fields that are not given.
    pub fn plain(page_size: PageSize, commit: u32, name: FileName) -> Header {
        Header {
            flags: Header::NO_CHECKSUMS,
            page_size,
            commit,
            min_txid: name.min,
            max_txid: name.max,
            timestamp_ms: 0,
            pre_apply_checksum: 0,
            wal_offset: 0,
            wal_size: 0,
            wal_salt: [0, 0],
            node_id: 0,
            previous: 0,
        }
    }

    /// Parses the first [`Header::SIZE`] bytes of `bytes` and checks them as [`Header::validate`] does.
    ///
    /// The last 12 bytes are reserved. They are ignored, as Litestream does.
    pub fn parse(bytes: &[u8]) -> Result<Header, LtxError> {
        let bytes: &[u8; Header::SIZE] = bytes.first_chunk().ok_or(LtxError::TooShort(bytes.len() as u64))?;
        if !bytes.starts_with(&Self::MAGIC) {
            return Err(LtxError::Magic);
        }
        let page_size = u32::from_be_bytes(field(bytes, 8));
        let header = Header {
            flags: u32::from_be_bytes(field(bytes, 4)),
            page_size: PageSize::new(page_size).ok_or(LtxError::PageSize(page_size))?,
            commit: u32::from_be_bytes(field(bytes, 12)),
            min_txid: Txid(u64::from_be_bytes(field(bytes, 16))),
            max_txid: Txid(u64::from_be_bytes(field(bytes, 24))),
            timestamp_ms: i64::from_be_bytes(field(bytes, 32)),
            pre_apply_checksum: u64::from_be_bytes(field(bytes, 40)),
            wal_offset: i64::from_be_bytes(field(bytes, 48)),
            wal_size: i64::from_be_bytes(field(bytes, 56)),
            wal_salt: [u32::from_be_bytes(field(bytes, 64)), u32::from_be_bytes(field(bytes, 68))],
            node_id: u64::from_be_bytes(field(bytes, 72)),
            previous: u64::from_be_bytes(field(bytes, 80)),
        };
        header.validate().map(|()| header)
    }

    /// Returns the name of the file.
    pub fn name(&self) -> FileName {
        FileName { min: self.min_txid, max: self.max_txid }
    }

    /// Returns the header as bytes.
    pub fn encode(&self) -> [u8; Header::SIZE] {
        let mut bytes = [0; Header::SIZE];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &Self::MAGIC);
        put(4, &self.flags.to_be_bytes());
        put(8, &self.page_size.get().to_be_bytes());
        put(12, &self.commit.to_be_bytes());
        put(16, &self.min_txid.0.to_be_bytes());
        put(24, &self.max_txid.0.to_be_bytes());
        put(32, &self.timestamp_ms.to_be_bytes());
        put(40, &self.pre_apply_checksum.to_be_bytes());
        put(48, &self.wal_offset.to_be_bytes());
        put(56, &self.wal_size.to_be_bytes());
        put(64, &self.wal_salt[0].to_be_bytes());
        put(68, &self.wal_salt[1].to_be_bytes());
        put(72, &self.node_id.to_be_bytes());
        put(80, &self.previous.to_be_bytes());
        bytes
    }

    /// Returns whether this file starts where `previous` ends in the same write-ahead log. Compactions have no position in a log, so this
    /// is false if one of the two is a compaction.
    pub fn continues(&self, previous: &Header) -> bool {
        let end = previous.wal_offset.checked_add(previous.wal_size);
        self.wal_salt != [0, 0] && self.wal_salt == previous.wal_salt && end == Some(self.wal_offset)
    }

    /// Returns whether the writer of this file has read the file with this header and checksum as that of the transaction before. None if
    /// this file does not say: only those of this library do.
    pub fn follows(&self, before: &Header, checksum: u64) -> Option<bool> {
        let says = self.previous != 0 && self.min_txid == before.max_txid.next();
        says.then_some(self.previous == checksum)
    }

    /// Checks that the fields are consistent. These are the checks of Litestream for a file that it reads completely.
    pub fn validate(&self) -> Result<(), LtxError> {
        if self.flags & !Self::NO_CHECKSUMS != 0 {
            return Err(LtxError::HeaderFlags(self.flags));
        }
        if self.min_txid.0 == 0 || self.min_txid > self.max_txid {
            return Err(LtxError::Txids { min: self.min_txid, max: self.max_txid });
        }
        if !self.wal_range_is_valid() {
            return Err(LtxError::WalRange { offset: self.wal_offset, size: self.wal_size });
        }
        if !self.pre_apply_checksum_is_valid() {
            return Err(LtxError::PreApplyChecksum(self.pre_apply_checksum));
        }
        Ok(())
    }

    /// Returns whether the file has checksums of the database.
    pub fn has_checksums(&self) -> bool {
        self.flags & Self::NO_CHECKSUMS == 0
    }

    /// Returns whether the file starts at transaction 1 and therefore contains every page. Other files may contain every page too.
    pub fn is_snapshot(&self) -> bool {
        self.min_txid == Txid(1)
    }

    fn wal_range_is_valid(&self) -> bool {
        let has_range = self.wal_size != 0 || self.wal_salt != [0, 0];
        self.wal_offset >= 0 && self.wal_size >= 0 && (self.wal_offset != 0 || !has_range)
    }

    fn pre_apply_checksum_is_valid(&self) -> bool {
        if self.is_snapshot() || !self.has_checksums() {
            self.pre_apply_checksum == 0
        } else {
            self.pre_apply_checksum & FLAG != 0
        }
    }
}

/// Returns the `N` bytes from `at` on, which must be within the header.
fn field<const N: usize>(bytes: &[u8; Header::SIZE], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[at + i])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            flags: Header::NO_CHECKSUMS,
            page_size: PageSize::new(4096).expect("a page size"),
            commit: 5,
            min_txid: Txid(2),
            max_txid: Txid(4),
            timestamp_ms: -1,
            pre_apply_checksum: 0,
            wal_offset: 32,
            wal_size: 4120,
            wal_salt: [0x0102_0304, 0x0506_0708],
            node_id: 9,
            previous: 10,
        }
    }

    /// Asserts the error for a header with changed fields.
    fn assert_rejected(change: impl FnOnce(&mut Header), error: LtxError) {
        let mut bad = header();
        change(&mut bad);
        assert_eq!(Header::parse(&bad.encode()), Err(error));
    }

    #[test]
    fn headers_round_trip_and_reserved_bytes_are_ignored() {
        let mut bytes = header().encode();
        assert_eq!(bytes[88..], [0; 12]);
        bytes[88..].fill(0xff);
        assert_eq!(Header::parse(&bytes), Ok(header()));
        assert_eq!(Header::parse(&[&bytes[..], b"pages"].concat()), Ok(header()));
    }

    #[test]
    fn a_truncated_header_and_another_kind_of_file_are_rejected() {
        let bytes = header().encode();
        for length in 0..Header::SIZE {
            assert_eq!(Header::parse(&bytes[..length]), Err(LtxError::TooShort(length as u64)));
        }
        assert_eq!(Header::parse(&[0; Header::SIZE]), Err(LtxError::Magic));
        let mut other = bytes;
        other[8..12].copy_from_slice(&4097u32.to_be_bytes());
        assert_eq!(Header::parse(&other), Err(LtxError::PageSize(4097)));
    }

    #[test]
    fn invalid_flags_and_transactions_are_rejected() {
        assert_rejected(|header| header.flags = 3, LtxError::HeaderFlags(3));
        assert_rejected(|header| header.min_txid = Txid(0), LtxError::Txids { min: Txid(0), max: Txid(4) });
        assert_rejected(|header| header.min_txid = Txid(5), LtxError::Txids { min: Txid(5), max: Txid(4) });
    }

    #[test]
    fn an_impossible_wal_range_is_rejected() {
        assert_rejected(|header| header.wal_offset = -1, LtxError::WalRange { offset: -1, size: 4120 });
        assert_rejected(|header| header.wal_size = -1, LtxError::WalRange { offset: 32, size: -1 });
        assert_rejected(|header| header.wal_offset = 0, LtxError::WalRange { offset: 0, size: 4120 });
        assert_rejected(
            |header| (header.wal_offset, header.wal_size) = (0, 0),
            LtxError::WalRange { offset: 0, size: 0 },
        );
        let compaction = Header { wal_offset: 0, wal_size: 0, wal_salt: [0, 0], ..header() };
        assert_eq!(compaction.validate(), Ok(()));
    }

    #[test]
    fn the_checksum_before_the_file_is_set_if_and_only_if_required() {
        let checksum = FLAG | 7;
        assert_rejected(|header| header.pre_apply_checksum = checksum, LtxError::PreApplyChecksum(checksum));
        assert_rejected(|header| header.flags = 0, LtxError::PreApplyChecksum(0));
        assert_rejected(|header| (header.flags, header.pre_apply_checksum) = (0, 7), LtxError::PreApplyChecksum(7));
        let with_checksum = Header { flags: 0, pre_apply_checksum: checksum, ..header() };
        assert_eq!(Header::parse(&with_checksum.encode()), Ok(with_checksum));
        let snapshot = Header { min_txid: Txid(1), ..with_checksum };
        assert_eq!(snapshot.validate(), Err(LtxError::PreApplyChecksum(checksum)));
        assert_eq!(Header { pre_apply_checksum: 0, ..snapshot }.validate(), Ok(()));
    }
}
