//! The LTX file format: bytes in, values out, and back. No I/O, no async, no SQLite.
//!
//! `docs/format.md` shows the format as tables. Everything here takes bytes as they come from storage and trusts none
//! of them: a file that breaks the format gives an [`LtxError`], never a panic, and no number read from a file decides
//! how much memory is taken.

mod checksum;
mod encoder;
mod error;
mod frame;
mod header;
mod index;
mod lz4_frame;
mod name;
mod page_size;
mod sums;
#[cfg(test)]
mod tests;
mod trailer;
mod txid;
mod verify;
mod xxh32;

pub use checksum::page_checksum;
pub use encoder::{Encoder, Form};
pub use error::{LtxError, PageFault};
pub use frame::{END_OF_PAGES, decode_and_sum, decode_page};
pub use header::Header;
pub use index::{IndexEntry, IndexReader, index_range, parse_index};
pub use name::{FileName, Level};
pub use page_size::PageSize;
pub use sums::{FileSums, Outline, OutlineReader, PageSum, PagesInOrder};
pub use trailer::Trailer;
pub use txid::Txid;
pub use verify::{Verified, verify};
