//! The transactions of a journal that are not uploaded.
//!
//! They are in two groups: the one that is being uploaded as one file, and the one that is uploaded next. The files of the transactions of a
//! group have consecutive numbers, because only a file of TXID 1 contains every page; in the replica the group has the first of them.

use super::JournalLimits;
use super::failure::{UploadFailure, not_read};
use super::storage::{JOURNAL, JournalStorage};
use crate::error::{Error, ErrorKind};
use crate::ltx::{Encoder, FileName, Form, Header, Txid, decode_page};
use crate::replica::files::ltx_file::LoadedFile;
use crate::replica::view::View;
use crate::replica::write::compaction::merge::newest_pages;
use crate::replica::write::fate::checksum;
use crate::replica::write::transaction::TransactionFile;
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use tokio::time::Instant;

/// A place after a state of the replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NextPlace {
    pub txid: Txid,
    /// Checksum of the file of the transaction before; 0 if there is none.
    pub previous: u64,
}

/// The group that is being uploaded.
pub(super) struct SealedGroup {
    pub file: TransactionFile,
    pub place: NextPlace,
    /// Its transactions. What an earlier process has begun to upload is one.
    pub transactions: Vec<LoadedFile>,
    /// The state after them, if that is known.
    pub view: Option<Arc<View>>,
}

/// The transactions that are not uploaded.
#[derive(Default)]
pub(super) struct PendingTransactions {
    pub sealed: Option<SealedGroup>,
    /// The place of the group that is uploaded next, once it has a transaction.
    place: Option<NextPlace>,
    pub group: Vec<LoadedFile>,
    group_bytes: u64,
    /// When the first transaction of that group was committed.
    pub began: Option<Instant>,
    /// The state after all transactions. None if there are none, or if it is not known yet after which state of the replica they come.
    pub newest: Option<Arc<View>>,
    /// The numbers of transactions that were appended and uploaded so far.
    pub appended: u64,
    pub uploaded: u64,
}

impl PendingTransactions {
    pub(super) fn is_empty(&self) -> bool {
        self.sealed.is_none() && self.group.is_empty()
    }

    pub(super) fn count(&self) -> u64 {
        self.appended - self.uploaded
    }

    pub(super) fn bytes(&self) -> u64 {
        self.group_bytes + self.sealed.as_ref().map_or(0, |sealed| sealed.file.bytes.len() as u64)
    }

    /// Returns how many there are, and how long their files are.
    pub(super) fn describe(&self) -> String {
        format!("{} transactions with {} bytes", self.count(), self.bytes())
    }

    /// Whether the group that is uploaded next has so much of what a journal holds that it is uploaded without waiting for more.
    pub(super) fn is_large(&self, limits: JournalLimits) -> bool {
        8 * self.group_bytes >= limits.bytes || 8 * self.group.len() as u64 >= limits.transactions
    }

    /// Whether they leave room for one more in a journal.
    pub(super) fn leave_room(&self, limits: JournalLimits, bytes: u64) -> bool {
        self.is_empty() || self.bytes() + bytes <= limits.bytes && self.count() < limits.transactions
    }

    /// Returns the place of the first transaction.
    pub(super) fn first_place(&self) -> Option<NextPlace> {
        self.sealed.as_ref().map(|sealed| sealed.place).or(self.place)
    }

    /// Returns the place of the group that the next transaction belongs to, and the TXID in its file. `after` is the place after the newest
    /// state of the replica.
    pub(super) fn next(&self, after: NextPlace) -> (NextPlace, Txid) {
        let after_sealed = |sealed: &SealedGroup| NextPlace {
            txid: sealed.place.txid.next(),
            previous: checksum(&sealed.file.bytes).unwrap_or(0),
        };
        let place = self.place.or_else(|| self.sealed.as_ref().map(after_sealed)).unwrap_or(after);
        (place, Txid(place.txid.0 + self.group.len() as u64))
    }

    /// Adds a transaction, which is in the journal.
    pub(super) fn push(&mut self, place: NextPlace, transaction: LoadedFile, view: Option<Arc<View>>) {
        self.place = Some(place);
        self.group_bytes += transaction.file.size;
        self.group.push(without_parts(transaction));
        self.began.get_or_insert_with(Instant::now);
        self.newest = view;
        self.appended += 1;
    }

    /// Adds the group that an earlier process has begun to upload.
    pub(super) fn resume(&mut self, file: TransactionFile, previous: u64, journalled: LoadedFile) {
        let place = NextPlace { txid: file.name.min, previous };
        let transactions = vec![without_parts(journalled)];
        self.sealed = Some(SealedGroup { file, place, transactions, view: None });
        self.appended += 1;
    }

    /// Returns the file that has all transactions of the group that is uploaded next. They are read from the journal.
    pub(super) fn merge(&self, storage: &JournalStorage) -> Result<Option<TransactionFile>, UploadFailure> {
        let (Some(place), Some(last)) = (self.place, self.group.last()) else { return Ok(None) };
        let header = Header { min_txid: place.txid, max_txid: place.txid, ..last.file.header };
        let name = FileName::of(place.txid);
        Ok(Some(TransactionFile { name, bytes: merge(storage, &self.group, header)?, counter: None }))
    }

    /// Moves that group to the one that is being uploaded. `file` is the result of [`PendingTransactions::merge`].
    pub(super) fn seal(&mut self, file: TransactionFile) {
        let Some(place) = self.place.take() else { return };
        let (transactions, view) = (std::mem::take(&mut self.group), self.newest.clone());
        self.sealed = Some(SealedGroup { file, place, transactions, view });
        (self.group_bytes, self.began) = (0, None);
    }

    /// Removes all transactions.
    pub(super) fn give_up(&mut self) {
        let appended = self.appended;
        *self = PendingTransactions { appended, uploaded: appended, ..PendingTransactions::default() };
    }

    /// Removes the group that was being uploaded. `newest` is the state after the others.
    pub(super) fn end_upload(&mut self, newest: Option<Arc<View>>) {
        self.uploaded += self.sealed.take().map_or(0, |sealed| sealed.transactions.len() as u64);
        self.newest = newest;
    }
}

/// Only what finds the pages is kept. They are read from the journal.
fn without_parts(mut transaction: LoadedFile) -> LoadedFile {
    transaction.parts = Vec::new();
    transaction
}

/// Returns a file with the newest version of each page.
fn merge(storage: &JournalStorage, transactions: &[LoadedFile], header: Header) -> Result<Bytes, UploadFailure> {
    let inputs = transactions.iter().map(|transaction| (transaction.file.header.commit, &transaction.entries[..]));
    let mut encoder = Encoder::new(header, Form::Block);
    let mut page = vec![0; header.page_size.get() as usize];
    for source in newest_pages(inputs) {
        let transaction = &transactions[source.input as usize];
        let frame = read_frame(storage, transaction, source.entry as usize)?;
        decode_page(&frame, source.pgno, &mut page).map_err(|cause| UploadFailure::Final(damaged(&cause)))?;
        encoder.copy(source.pgno, &frame, &page);
    }
    Ok(encoder.finish().into())
}

/// Reads a page of a transaction again. A disk that fails may do so for a time, and the bytes that it has are not known to be wrong.
fn read_frame(storage: &JournalStorage, transaction: &LoadedFile, entry: usize) -> Result<Bytes, UploadFailure> {
    let missing = || UploadFailure::Final(Error::internal("a transaction has no bytes"));
    let body = transaction.file.body.as_ref().ok_or_else(missing)?;
    let read = storage.steps.read().and_then(|()| body.read(transaction.entries[entry].range()));
    read.map_err(|cause| match cause.kind() {
        io::ErrorKind::UnexpectedEof => UploadFailure::Final(damaged(&cause)),
        _ => UploadFailure::Temporary(not_read(&storage.path().join(JOURNAL), &cause)),
    })
}

/// Returns the error of a journal that had these transactions, and has them no more.
fn damaged(cause: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Damaged, format!("the journal cannot be read again: {cause}"))
}
