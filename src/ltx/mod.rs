//! The LTX file format: parsing and encoding. No I/O, no async, no SQLite.
//!
//! `docs/format.md` describes the format. The functions of this module accept untrusted bytes: a file that violates the format results in
//! an [`LtxError`], never in a panic, and no number in a file determines how much memory is allocated.

mod checksum;
mod encoder;
mod error;
mod frame;
mod header;
mod index;
mod lz4_frame;
mod name;
mod outline;
mod page_header;
mod page_size;
mod sums;
#[cfg(test)]
mod tests;
mod trailer;
mod txid;
mod verify;
mod xxh32;

pub use checksum::page_checksum;
pub use encoder::Encoder;
pub use error::{LtxError, PageFault};
pub use frame::{Form, decode_and_sum, decode_page, page_sum};
pub use header::Header;
pub(crate) use index::AFTER_INDEX;
pub use index::{EntryBounds, IndexEntry, IndexMark, IndexPart, IndexReader, SnapshotIndex, index_range, parse_index};
pub use name::{FileName, Level};
pub use outline::{IndexSum, Outline, OutlineReader};
pub use page_header::END_OF_PAGES;
pub use page_size::PageSize;
pub use sums::{FileSums, PageSum, PagesInOrder};
pub use trailer::Trailer;
pub use txid::Txid;
pub use verify::{FileParts, parse, verify};
