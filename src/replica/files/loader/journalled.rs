//! A transaction that is in the journal of this process, and not in the replica yet.

use crate::lock::Mutex;
use crate::ltx::{FileName, FileParts, Header, Level, Txid};
use crate::replica::files::integrity::Integrity;
use crate::replica::files::loader::known_files;
use crate::replica::files::ltx_file::{FileBody, FilePart, LoadedFile, LtxFile};
use crate::store::Version;
use bytes::Bytes;
use std::sync::Arc;

/// Returns the file of a transaction in the journal, whose bytes are at `body`, under the TXID that it will have in the replica: the
/// transactions of the journal become one. `parts` are those of `bytes`.
pub(in crate::replica) fn journalled(bytes: Bytes, parts: FileParts, body: FileBody, txid: Txid) -> LoadedFile {
    let integrity = Arc::new(Integrity::default());
    integrity.mark_verified();
    let file = Arc::new(LtxFile {
        number: known_files::new_number(),
        level: Level::ZERO,
        name: FileName::of(txid),
        // No reads and no listings compare it.
        version: Version("journal".into()),
        listed: Mutex::default(),
        header: Header { min_txid: txid, max_txid: txid, ..parts.header },
        body: Some(body),
        checksum: parts.trailer.file_checksum,
        size: bytes.len() as u64,
        integrity,
        slots: None,
        partial_index: None,
    });
    let whole = vec![FilePart { offset: 0, bytes }];
    LoadedFile { file, entries: parts.entries, is_partial: false, deferred_index: None, parts: whole }
}
