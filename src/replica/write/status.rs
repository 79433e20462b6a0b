//! What the writer of this process has done, and whether nothing may be written any more.

use crate::error::{Error, ErrorKind};
use crate::ltx::Txid;
use crate::replica::write::Writer;
use crate::replica::write::compaction::CompactionReport;
use crate::replica::write::journal::JournalStatus;
use crate::replica::write::lease::LeaseState;
use crate::time;

/// What a process has done as a writer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WriterStatus {
    /// Transactions that were rolled back because another writer was first.
    pub conflicts: u64,
    /// The last of them, and when it happened, in milliseconds since 1970.
    pub last_conflict: Option<(String, i64)>,
    /// Why nothing is written any more.
    pub stopped: Option<String>,
    /// The transactions that are not uploaded.
    pub journal: JournalStatus,
    /// Who compacts the replica, as far as this process knows.
    pub lease: Option<LeaseState>,
    /// Why the last compaction failed.
    pub compaction_error: Option<String>,
}

impl Writer {
    pub(in crate::replica) fn status(&self) -> WriterStatus {
        // Before the own lock: who has that of the journal takes the own one.
        let (journal, frozen) = self.journal().map(|journal| journal.status()).unwrap_or_default();
        let state = self.state.lock();
        WriterStatus {
            conflicts: state.conflicts,
            last_conflict: state.last_conflict.clone(),
            stopped: frozen.or_else(|| state.stopped.clone()).as_ref().map(Error::to_string),
            journal,
            lease: state.lease.as_ref().and_then(|lease| lease.known()),
            compaction_error: state.compaction_errors.iter().flatten().next().cloned(),
        }
    }

    pub(super) fn record_conflict(&self, error: &Error) {
        let mut state = self.state.lock();
        state.conflicts += 1;
        state.last_conflict = Some((error.to_string(), time::now_ms()));
    }

    pub(super) fn record_compaction(&self, run: Result<CompactionReport, Error>) {
        let (all_levels, failure) = match run {
            Ok(report) => (report.all_levels, report.failures.into_iter().next()),
            Err(error) => (false, Some(error)),
        };
        let failure = failure.map(|error| error.to_string());
        let errors = &mut self.state.lock().compaction_errors;
        if let Some(text) = failure.as_ref().filter(|text| !errors.iter().flatten().any(|known| known == *text)) {
            tracing::warn!("{} is not compacted: {text}", self.files.store);
        }
        // The first level is part of a run of all levels.
        *errors = match all_levels {
            true => [failure, None],
            false => [errors[0].take(), failure],
        };
    }

    /// Has nothing be written any more, because of what another program has done with the file of a transaction.
    pub(super) fn stop(&self, txid: Txid, what: &str) -> Error {
        let message = format!(
            "the file of TXID {txid} in {} {what} by another program, so this process writes nothing any more",
            self.files.store
        );
        let error = Error::new(ErrorKind::ReadOnly, message)
            .remedy("stop the other program, which may be `litestream replicate`, and open the replica again");
        self.state.lock().stopped.get_or_insert(error).clone()
    }

    /// Whether nothing may be written any more.
    pub(super) fn is_stopped(&self) -> bool {
        self.state.lock().stopped.is_some()
    }

    /// Allows to write again, after the next poll has listed what another program did.
    pub(in crate::replica) fn resume(&self) {
        if self.state.lock().stopped.take().is_some() {
            self.follower.set_outdated();
        }
    }
}
