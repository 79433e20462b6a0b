//! Reads the files of a journal.

use super::failure::{not_read, not_written};
use super::format::{self, ENTRY_HEAD, JournalContent};
use super::storage::{JOURNAL, JournalStorage, Segment, UPLOAD};
use crate::error::{Error, ErrorKind};
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
        if let Some((file, bytes)) = self.read_file(UPLOAD)? {
            stored.upload = Some((Arc::new(file), bytes));
        }
        if let Some((file, bytes)) = self.read_file(JOURNAL)? {
            let content = format::read(&bytes).map_err(|damage| match damage {
                format::JournalDamage::Head => self.damaged_file(JOURNAL, &"it is damaged at its beginning"),
                format::JournalDamage::Entry(number) => {
                    let cause = format!("its transaction {number} is damaged, and later ones are there");
                    self.damaged_file(JOURNAL, &cause)
                }
            })?;
            self.make_durable(&file, &bytes, &content)
                .map_err(|cause| not_written(&self.path.join(JOURNAL), &cause))?;
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

    /// Opens and reads a file. Returns None if there is none. It is damaged only if its length is wrong: whatever else the system says, the
    /// bytes may be all there.
    fn read_file(&self, name: &str) -> Result<Option<(File, Vec<u8>)>, Error> {
        let opened = self.steps.read().and_then(|()| self.folder.open_file(name));
        let read = opened.and_then(|file| {
            let Some(file) = file else { return Ok(None) };
            self.steps.read()?;
            let bytes = read_whole(&file)?;
            Ok(Some((file, bytes)))
        });
        read.map_err(|cause| match cause.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => self.damaged_file(name, &cause),
            _ => not_read(&self.path.join(name), &cause),
        })
    }

    fn damaged_file(&self, name: &str, cause: &dyn std::fmt::Display) -> Error {
        damaged(format!("the file {} of the journal cannot be used: {cause}", self.path.join(name).display()))
    }

    /// Ends a journal after its last complete entry, and writes that entry again. If its `fsync` has failed, the system may have dropped what
    /// it returns to readers, and does not write it by itself any more: a transaction after it would be durable, and this one not.
    fn make_durable(&self, file: &File, journal: &[u8], content: &JournalContent) -> io::Result<()> {
        let start = content.files.last().map_or(content.end, |last| last.start - ENTRY_HEAD);
        self.keep_rest(journal, content)?;
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

/// Reads a whole file. Fails with [`io::ErrorKind::InvalidData`] if no process has written so much.
fn read_whole(file: &File) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    if length > MAX_LENGTH {
        let cause = format!("it has {length} bytes, and at most {MAX_LENGTH} are read");
        return Err(io::Error::new(io::ErrorKind::InvalidData, cause));
    }
    let mut bytes = vec![0; length as usize];
    pread::read_exact_at(file, &mut bytes, 0)?;
    Ok(bytes)
}
