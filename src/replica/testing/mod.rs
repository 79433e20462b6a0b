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

/// Returns the next byte of a pseudo-random sequence (xorshift). Such bytes hardly compress.
pub(in crate::replica) fn next_byte(state: &mut u64) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 32) as u8
}
