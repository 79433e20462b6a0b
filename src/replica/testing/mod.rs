//! Tests of a replica as a whole, and what they share.

mod authors;
mod behind;
mod budgets;
mod compaction;
mod cycles;
mod damaged;
mod faults;
mod flaky;
mod half_written;
mod holes;
mod idle;
mod listed_versions;
#[cfg(shuttle)]
mod models;
mod noisy;
pub(in crate::replica) mod one_page;
mod outage;
mod partial_index;
mod piled_up;
mod row_history;
mod simulation;
#[cfg(unix)]
mod warm;
mod writers;

use crate::ltx::{FileName, Header, PageSize, Txid};
use crate::replica::{Affinity, StoredValue, TableColumn, TableLayout};

/// Returns the header of a file without checksums that was not copied from a WAL.
fn header(page_size: usize, commit: u32, min_txid: Txid, max_txid: Txid) -> Header {
    Header::plain(
        PageSize::new(page_size as u32).expect("a page size"),
        commit,
        FileName { min: min_txid, max: max_txid },
    )
}

/// How the rows of a table with the columns `id INTEGER PRIMARY KEY` and `value` are read.
fn key_and_value() -> TableLayout {
    let column = |name: &str, field| TableColumn {
        name: name.to_owned(),
        field,
        affinity: Affinity::Blob,
        is_generated: false,
        default: StoredValue::Null,
    };
    let columns = vec![column("id", None), column("value", Some(1))];
    TableLayout { columns, virtual_columns: Vec::new(), key: None, fields: 2 }
}

/// Returns a plausible page that hardly compresses: a last overflow page, or a page 1 without tables.
fn random_page(pgno: u32, size: usize, seed: u64) -> Vec<u8> {
    let mut state = u64::from(pgno) << 32 | seed << 1 | 1;
    let mut page: Vec<u8> = std::iter::repeat_with(|| next_byte(&mut state)).take(size).collect();
    page[..4].fill(0);
    if pgno == 1 {
        page[32..36].fill(0);
        page[100..112].copy_from_slice(&[13, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0]);
    }
    page
}

/// Returns the next byte of a pseudo-random sequence (xorshift). Such bytes hardly compress.
pub(in crate::replica) fn next_byte(state: &mut u64) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 32) as u8
}
