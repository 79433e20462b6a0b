//! The ways in which a file can violate the format.

use super::Txid;

/// The fault of a file, as a clause that continues "the file … is damaged:".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LtxError {
    /// The file, or the part that was passed, is shorter than the format requires.
    #[error("it is truncated after {0} bytes")]
    TooShort(u64),
    /// The file does not start with the magic number.
    #[error("it does not start with LTX1, so it is not an LTX file")]
    Magic,
    /// The header has unknown flags: a later version of the format, or a flipped bit.
    #[error("its header has the flags {0:#010x}, some of which are unknown")]
    HeaderFlags(u32),
    /// The page size is not one of SQLite's.
    #[error("its header has a page size of {0} bytes, not a power of two from 512 to 65536")]
    PageSize(u32),
    /// The range of transactions is empty, reversed or starts at 0.
    #[error("its header has the transactions {min} to {max}, which is not a valid range")]
    Txids {
        /// First transaction.
        min: Txid,
        /// Last transaction.
        max: Txid,
    },
    /// The position in the write-ahead log is impossible.
    #[error("its header has {size} bytes of the write-ahead log from byte {offset} on, which is impossible")]
    WalRange {
        /// Start of the range.
        offset: i64,
        /// Length of the range.
        size: i64,
    },
    /// The checksum of the database before the file is set although it must not be, or the reverse.
    #[error("its header has {0:016x} as the checksum of the database before it, which is invalid for such a file")]
    PreApplyChecksum(u64),
    /// The index does not fit into the file.
    #[error("its page index has a length of {length} bytes, which does not fit into a file of {file_size}")]
    IndexLength {
        /// Length according to the file.
        length: u64,
        /// Length of the whole file.
        file_size: u64,
    },
    /// The index ends before its terminating 0.
    #[error("its page index is truncated")]
    IndexCut,
    /// A part of the index of a file with every page does not list the pages in order.
    #[error("its page index does not list every page in order at position {0}")]
    IndexPart(u64),
    /// The index continues after its terminating 0.
    #[error("its page index has {0} bytes after its end")]
    IndexLeftover(usize),
    /// A number in the index has more bits than allowed.
    #[error("its page index contains a number that is too large")]
    IndexNumber,
    /// Pages are not in ascending order.
    #[error("its page index lists page {pgno} after page {previous}")]
    IndexOrder {
        /// The previous page.
        previous: u32,
        /// The page after it.
        pgno: u32,
    },
    /// The index contains the page that SQLite reserves for its locks, which has no content and is never stored.
    #[error("its page index lists page {0}, which SQLite reserves for its locks")]
    LockPage(u32),
    /// A frame outside the page area, overlapping the previous frame, or of an impossible length.
    #[error("its page index has page {pgno} at byte {offset} with {size} bytes, which is impossible")]
    IndexFrame {
        /// The page.
        pgno: u32,
        /// Start of its frame according to the index.
        offset: u64,
        /// Length of its frame according to the index.
        size: u64,
    },
    /// A page cannot be decoded.
    #[error("page {pgno} cannot be decoded: {fault}")]
    Page {
        /// The page.
        pgno: u32,
        /// The reason.
        #[source]
        fault: PageFault,
    },
    /// Bytes that belong to no page, or a missing end mark after the last page.
    #[error("the bytes from {0} on do not match its page index")]
    Gap(u64),
    /// A file that starts at transaction 1 does not contain every page.
    #[error("it starts at the first transaction, but page {0} is missing or not part of the database")]
    Incomplete(u32),
    /// The content is not what was written.
    #[error("its checksum is {stored:016x}, but the checksum of its content is {computed:016x}")]
    FileChecksum {
        /// The checksum in the file.
        stored: u64,
        /// The checksum of the content.
        computed: u64,
    },
    /// A page was read twice with different content.
    #[error("page {0} was read twice with different content")]
    PageDiffers(u32),
    /// The checksum of the database after the file does not match the pages, or is set although it must not be.
    #[error("its trailer has {0:016x} as the checksum of the database after it, which is wrong")]
    PostApplyChecksum(u64),
}

/// The reason why a page cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageFault {
    /// The frame is shorter than the format requires.
    #[error("its frame is truncated")]
    Cut,
    /// The frame belongs to another page.
    #[error("its frame belongs to page {0}")]
    Pgno(u32),
    /// The frame has unknown flags: a later version of the format, or a flipped bit.
    #[error("its frame has the flags {0:#06x}, some of which are unknown")]
    Flags(u16),
    /// The size in the frame differs from the size of the frame.
    #[error("its frame has a size field of {said} bytes, but contains {real}")]
    Size {
        /// The size according to the frame.
        said: u32,
        /// The real size.
        real: usize,
    },
    /// An LZ4 frame with an unknown version, a reserved bit, a dictionary, or a flipped bit in its header.
    #[error("its LZ4 frame has an invalid header")]
    Lz4Header,
    /// LZ4 data with a reference to data that does not exist, or longer than a page when decompressed.
    #[error("its compressed data is invalid")]
    Lz4,
    /// The decompressed content is shorter than a page.
    #[error("its length is {0} bytes, which is not the page size")]
    Length(u64),
    /// The checksum of an LZ4 frame, or of a block in it, does not match the content.
    #[error("its content does not match its checksum")]
    Checksum,
    /// The page was decoded, but its content cannot be a page of a database.
    #[error("its content is not a page of a database")]
    Implausible,
    /// The LZ4 frame is followed by more bytes.
    #[error("its frame has {0} bytes after its end")]
    Leftover(usize),
}

impl PageFault {
    /// Returns the error for a file whose page `pgno` has this fault.
    pub(super) fn of(self, pgno: u32) -> LtxError {
        LtxError::Page { pgno, fault: self }
    }
}
