//! Reads the files of a journal.

use super::failure::unusable;
use super::format::{self, ENTRY_HEAD, JournalContent};
use super::storage::{JOURNAL, JournalStorage, Segment, UPLOAD};
use crate::error::{Error, ErrorKind, is_limit_on_files};
use crate::pread;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// The maximum length of a file that is read: the largest transaction, and the rest of its entry.
const MAX_LENGTH: u64 = 2 << 30;

/// The files of transactions that a journal has.
#[derive(Debug, Default)]
pub(super) struct StoredJournal {
    /// The file that is being put, which is open.
    pub upload: Option<(Arc<File>, Vec<u8>)>,
    /// The file of each transaction after it, and where it is in the journal, which is open.
    pub transactions: Vec<(Arc<File>, u64, Vec<u8>)>,
}

impl JournalStorage {
    /// Reads what an earlier process has left. An incomplete last entry is removed: its transaction was not acknowledged. The last complete
    /// entry is made durable before anything can be appended to it.
    pub(super) fn read(&mut self) -> Result<StoredJournal, Error> {
        let mut stored = StoredJournal::default();
        let unreadable = |name: &str, cause: &dyn std::fmt::Display| {
            damaged(format!("the file {} of the journal cannot be used: {cause}", self.path.join(name).display()))
        };
        let open = |name: &str| {
            self.folder.open_file(name).map_err(|cause| match is_limit_on_files(&cause) {
                // Nothing is wrong with the file.
                true => unusable(&self.path, &cause),
                false => unreadable(name, &cause),
            })
        };
        if let Some(file) = open(UPLOAD)? {
            let bytes = read_file(&file).map_err(|error| unreadable(UPLOAD, &error))?;
            stored.upload = Some((Arc::new(file), bytes));
        }
        if let Some(file) = open(JOURNAL)? {
            let bytes = read_file(&file).map_err(|error| unreadable(JOURNAL, &error))?;
            let content = format::read(&bytes).map_err(|damage| match damage {
                format::JournalDamage::Head => unreadable(JOURNAL, &"it is damaged at its beginning"),
                format::JournalDamage::Entry(number) => {
                    unreadable(JOURNAL, &format!("its transaction {number} is damaged, and later ones are there"))
                }
            })?;
            self.make_durable(&file, &bytes, &content).map_err(|error| {
                let text = format!("the journal {} cannot be written: {error}", self.path.display());
                Error::new(ErrorKind::ReadOnly, text)
                    .remedy("check the disk of buffer_path, and open the replica again; the transactions stay there")
            })?;
            let file = Arc::new(file);
            for range in &content.files {
                let transaction = bytes[range.clone()].to_vec();
                stored.transactions.push((file.clone(), range.start as u64, transaction));
            }
            let (entries, length) = (content.files.len() as u64, content.end as u64);
            self.segment = Some(Segment { file, salt: content.salt, entries, length });
        }
        Ok(stored)
    }

    /// Ends a journal after its last complete entry, and writes that entry again. If its `fsync` has failed, the system may have dropped what
    /// it returns to readers, and does not write it by itself any more: a transaction after it would be durable, and this one not.
    fn make_durable(&self, file: &File, journal: &[u8], content: &JournalContent) -> io::Result<()> {
        let start = content.files.last().map_or(content.end, |last| last.start - ENTRY_HEAD);
        self.steps.step()?;
        file.set_len(content.end as u64)?;
        pread::write_all_at(file, &journal[start..content.end], start as u64)?;
        self.steps.step()?;
        file.sync_all()
    }
}

/// Returns the error of a journal whose transactions cannot be read.
pub(super) fn damaged(text: String) -> Error {
    Error::new(ErrorKind::Damaged, text)
        .remedy("copy it for an analysis, and go on without its transactions with litestream_discard_journal()")
}

fn read_file(file: &File) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    if length > MAX_LENGTH {
        return Err(io::Error::other(format!("it has {length} bytes, and at most {MAX_LENGTH} are read")));
    }
    let mut bytes = vec![0; length as usize];
    pread::read_exact_at(file, &mut bytes, 0)?;
    Ok(bytes)
}
