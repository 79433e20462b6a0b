//! Tests of the whole module with whole files.

mod damage;
mod golden;
mod round_trip;
mod snapshot_index;
mod sums;

use super::*;
use std::path::Path;

/// A file written by a real Litestream, see `tests/golden/README.md`.
struct Golden {
    /// Version of Litestream, page size and kind of file.
    name: String,
    bytes: Vec<u8>,
    /// The output of `litestream restore`: TXID, page number, CRC-32 of the page.
    restored: Vec<(Txid, u32, u32)>,
}

impl Golden {
    /// Loads all golden files.
    fn all() -> Vec<Golden> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let versions = ["0.5.17", "0.5.5"];
        let kinds = ["level-0-first", "level-0-last", "level-1", "snapshot"];
        let mut all = Vec::new();
        for directory in versions.iter().flat_map(|version| [512, 4096, 65536].map(|size| format!("{version}-{size}")))
        {
            let restored = std::fs::read_to_string(root.join(&directory).join("pages.txt")).expect("pages.txt");
            for kind in kinds {
                let name = format!("{directory}/{kind}.ltx");
                let bytes = std::fs::read(root.join(&name)).expect("a golden file");
                let restored = restored.lines().map(restored_page).collect();
                all.push(Golden { name, bytes, restored });
            }
        }
        all
    }

    /// Returns the compression format, which ltx changed in 0.5.2, between these two versions of Litestream.
    fn form(&self) -> Form {
        if self.name.starts_with("0.5.5-") { Form::Frame } else { Form::Block }
    }

    /// Returns the pages that `litestream restore` writes at `txid`, with their CRC-32.
    fn restored_at(&self, txid: Txid) -> Vec<(u32, u32)> {
        let pages = self.restored.iter().filter(|(at, ..)| *at == txid);
        pages.map(|(_, pgno, crc)| (*pgno, *crc)).collect()
    }
}

fn restored_page(line: &str) -> (Txid, u32, u32) {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [txid, pgno, crc] = fields[..] else { panic!("{line:?}") };
    let crc = u32::from_str_radix(crc, 16).expect("a CRC-32");
    (txid.parse().expect("a TXID"), pgno.parse().expect("a page"), crc)
}

/// Decodes every page of a whole file.
fn pages(file: &[u8], header: &Header, entries: &[IndexEntry]) -> Result<Vec<(u32, Vec<u8>)>, LtxError> {
    let decode = |entry: &IndexEntry| {
        let mut page = vec![0; header.page_size.get() as usize];
        decode_page(&file[entry.offset as usize..entry.range().end as usize], entry.pgno, &mut page)?;
        Ok((entry.pgno, page))
    };
    entries.iter().map(decode).collect()
}

/// Creates a header without checksums and without a position in the write-ahead log.
pub(super) fn header(page_size: u32, commit: u32, min: u64, max: u64) -> Header {
    Header {
        timestamp_ms: 1_700_000_000_000,
        ..Header::plain(
            PageSize::new(page_size).expect("a page size"),
            commit,
            FileName { min: Txid(min), max: Txid(max) },
        )
    }
}
