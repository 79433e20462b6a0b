//! What can be wrong with a file.

use super::Txid;

/// What is wrong with a file, as a clause that fits behind "the file … is damaged:".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LtxError {
    /// Fewer bytes than the part that was to be read has, or than any file has.
    #[error("it breaks off after {0} bytes")]
    TooShort(u64),
    /// Another kind of file.
    #[error("it does not begin with LTX1, so it is no LTX file")]
    Magic,
    /// A later version of the format, or a flipped bit.
    #[error("its header has the flags {0:#010x}, of which some are unknown")]
    HeaderFlags(u32),
    /// The page size is none of SQLite's.
    #[error("its header gives a page size of {0} bytes, not a power of two from 512 to 65536")]
    PageSize(u32),
    /// The range of transactions is empty, reversed or begins at 0.
    #[error("its header gives the transactions {min} to {max}, which is no range")]
    Txids {
        /// First transaction.
        min: Txid,
        /// Last transaction.
        max: Txid,
    },
    /// The place in the write-ahead log cannot be one.
    #[error("its header gives {size} bytes of a write-ahead log from byte {offset}, which cannot be")]
    WalRange {
        /// Where the range begins.
        offset: i64,
        /// How long it is.
        size: i64,
    },
    /// The checksum of the database before the file is there where it must not be, or the other way around.
    #[error("its header gives {0:016x} as the checksum of the database before it, which such a file cannot have")]
    PreApplyChecksum(u64),
    /// The index does not fit into the file.
    #[error("its page index claims {length} bytes, which do not fit into its {file_size}")]
    IndexLength {
        /// Length the file gives.
        length: u64,
        /// Length of the whole file.
        file_size: u64,
    },
    /// The index ends before its closing 0.
    #[error("its page index breaks off")]
    IndexCut,
    /// The index goes on behind its closing 0.
    #[error("its page index goes on for {0} bytes behind its end")]
    IndexLeftover(usize),
    /// A number in the index needs more bits than it can have.
    #[error("its page index holds a number that is too large")]
    IndexNumber,
    /// Pages are not in ascending order.
    #[error("its page index lists page {pgno} behind page {previous}")]
    IndexOrder {
        /// The page listed before.
        previous: u32,
        /// The page listed.
        pgno: u32,
    },
    /// The page that SQLite locks bytes of has no content and is never stored.
    #[error("its page index lists page {0}, which SQLite keeps for its locks")]
    LockPage(u32),
    /// A frame outside of the file's pages, inside the frame before, or of an impossible length.
    #[error("its page index puts page {pgno} into {size} bytes from byte {offset}, where it cannot be")]
    IndexFrame {
        /// The page listed.
        pgno: u32,
        /// Where its frame is said to begin.
        offset: u64,
        /// How long its frame is said to be.
        size: u64,
    },
    /// One page cannot be had.
    #[error("page {pgno} cannot be decoded: {fault}")]
    Page {
        /// The page.
        pgno: u32,
        /// Why not.
        fault: PageFault,
    },
    /// Bytes that belong to no page, or no end mark behind the last page.
    #[error("the bytes from {0} on are not what its page index says")]
    Gap(u64),
    /// A file that starts at transaction 1 holds every page.
    #[error("it begins at the first transaction, but page {0} is not where it must be")]
    Incomplete(u32),
    /// The content is not what was written.
    #[error("its checksum is {stored:016x}, but its content gives {computed:016x}")]
    FileChecksum {
        /// As the file has it.
        stored: u64,
        /// As its content gives it.
        computed: u64,
    },
    /// A page came twice, and its content was not the same.
    #[error("page {0} was read twice with different content")]
    PageDiffers(u32),
    /// The checksum of the database after the file is not what the pages give, or is there where it must not be.
    #[error("its trailer gives {0:016x} as the checksum of the database after it, which is not right")]
    PostApplyChecksum(u64),
}

/// Why one page cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageFault {
    /// Fewer bytes than the frame has.
    #[error("its frame breaks off")]
    Cut,
    /// The frame of another page.
    #[error("its frame belongs to page {0}")]
    Pgno(u32),
    /// A later version of the format, or a flipped bit.
    #[error("its frame has the flags {0:#06x}, of which some are unknown")]
    Flags(u16),
    /// The size in the frame does not agree with the frame.
    #[error("its frame gives a size of {said} bytes where there are {real}")]
    Size {
        /// As the frame gives it.
        said: u32,
        /// As it is.
        real: usize,
    },
    /// An LZ4 frame with an unknown version, a reserved bit, a dictionary, or a flipped bit in its header.
    #[error("its LZ4 frame has a header that cannot be read")]
    Lz4Header,
    /// LZ4 data that refers to what is not there, or gives more than a page.
    #[error("its compressed data is not valid")]
    Lz4,
    /// Too little comes out.
    #[error("it has {0} bytes, not a page's")]
    Length(u64),
    /// The checksum of an LZ4 frame or of a block in it is not that of its content.
    #[error("its content does not have its checksum")]
    Checksum,
    /// It decodes, and what comes out looks like no page of a database.
    #[error("its content looks like no page of a database")]
    Implausible,
    /// Bytes behind the end of an LZ4 frame.
    #[error("its frame goes on for {0} bytes behind its end")]
    Leftover(usize),
}

impl PageFault {
    /// The error of a file whose page `pgno` has this fault.
    pub(super) fn of(self, pgno: u32) -> LtxError {
        LtxError::Page { pgno, fault: self }
    }
}
