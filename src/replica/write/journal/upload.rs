//! Uploads the transactions of a journal.
//!
//! The upload is an ordinary commit of one file ([`commit`](crate::replica::write::commit)), which is tried until its fate is known. Its bytes
//! are in the journal before the first try, so a process that ends in between, or another one later, puts the same file again. The state after
//! it gets the number of the same state before it, so that SQLite keeps its cache and a transaction that has begun can go on.

use super::failure::UploadFailure;
use super::pending::{NextPlace, SealedGroup};
use super::{Journal, JournalState, OpenJournal};
use crate::error::{Error, ErrorKind};
use crate::ltx::Txid;
use crate::replica::files::listing;
use crate::replica::files::load_error::LoadError;
use crate::replica::files::ltx_file::LoadedFile;
use crate::replica::follow::view_loader::JournalledCounter;
use crate::replica::view::View;
use crate::replica::write::Writer;
use crate::replica::write::commit::PAUSES;
use crate::replica::write::fate::{Fate, PutTries};
use crate::replica::write::transaction::TransactionFile;
use crate::store::{Listed, probe_create};
use crate::time::Stamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl Writer {
    /// Uploads the transactions of a journal, each at most its interval after its commit. Never returns.
    pub(in crate::replica) async fn upload_forever(self: Arc<Self>, journal: Arc<Journal>) {
        let mut pause = PAUSES.0;
        let mut not_before = Instant::now();
        loop {
            journal.wait_until_due(not_before).await;
            journal.state_in_task().await.is_uploading = true;
            let uploaded = self.upload(&journal).await;
            journal.state_in_task().await.is_uploading = false;
            match uploaded {
                Ok(()) => pause = PAUSES.0,
                Err(UploadFailure::Temporary(error)) => {
                    journal.fail(error).await;
                    not_before = Instant::now() + pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(UploadFailure::Final(error)) => self.freeze(&journal, error).await,
            }
        }
    }

    /// Waits until everything that is in the journal now is uploaded. Fails after `limit`.
    pub(in crate::replica) async fn flush(&self, journal: &Journal, limit: Duration) -> Result<(), Error> {
        match timeout(limit, journal.wait_until_uploaded()).await {
            Ok(uploaded) => uploaded,
            Err(_) => Err(journal.not_uploaded(limit).await),
        }
    }

    async fn upload(&self, journal: &Arc<Journal>) -> Result<(), UploadFailure> {
        let Some((file, place)) = journal.on_disk(Journal::seal).await.map_err(UploadFailure::Temporary)?? else {
            return Ok(());
        };
        let temporary = UploadFailure::Temporary;
        self.probed
            .get_or_try_init(|| probe_create(&*self.files.store))
            .await
            .map_err(|error| temporary(error.into()))?;
        let base = self.is_next(place).await?;
        let fate = match &base {
            Some(base) => self.try_create(base.as_deref(), &file, &mut PutTries::resumed()).await,
            None => self.find_fate(&file).await,
        };
        match fate {
            Ok(Fate::Committed(listed)) => self.settle(journal, base.flatten().as_deref(), &file, &listed).await,
            Ok(Fate::Lost) => Err(UploadFailure::Final(self.taken(place.txid))),
            // The store has said that the file exists, or another writer was faster than this process knows. The next try finds that out.
            Ok(Fate::Vanished) if base.is_some() => {
                let polled = self.follower.poll(Duration::ZERO).await;
                let text = format!("the file of TXID {} in {} is no longer there", place.txid, self.files.store);
                Err(temporary(polled.err().unwrap_or_else(|| Error::new(ErrorKind::Unreachable, text))))
            }
            Ok(Fate::Vanished) => {
                let (txid, store) = (place.txid, &self.files.store);
                let text = format!("it is unknown whether TXID {txid} was uploaded to {store}, which has later ones");
                Err(UploadFailure::Final(Error::new(ErrorKind::Conflict, text)))
            }
            Err(LoadError::Other(error)) if self.is_stopped() => Err(UploadFailure::Final(error)),
            Err(error) => Err(temporary(self.files.failure(error))),
        }
    }

    /// Returns the newest state of the replica if a place is the one after it. Returns None if the replica has that TXID.
    async fn is_next(&self, place: NextPlace) -> Result<Option<Option<Arc<View>>>, UploadFailure> {
        let temporary = UploadFailure::Temporary;
        let is_before = |head: Option<&View>| head.map_or(Txid(1), |head| head.txid().next()) < place.txid;
        let head = self.head.view();
        if (head.is_none() || is_before(head.as_deref()))
            && let Err(error) = self.follower.poll(Duration::ZERO).await
            && error.kind() != ErrorKind::Empty
        {
            return Err(temporary(error));
        }
        let head = self.head.view();
        if head.as_ref().is_some_and(|head| head.txid() >= place.txid) {
            return Ok(None);
        }
        if !is_before(head.as_deref()) && self.comes_after(place, head.as_deref()).await.map_err(temporary)? {
            // That there is no view can have another reason than an empty replica.
            return match head.is_some() || self.newest_listed().await? == Txid(0) {
                true => Ok(Some(head)),
                false => Err(temporary(self.not_caught_up())),
            };
        }
        if is_before(head.as_deref()) && self.newest_listed().await?.next() >= place.txid {
            return Err(temporary(self.not_caught_up()));
        }
        let text = format!("{} no longer has the state after which TXID {} comes", self.files.store, place.txid);
        Err(UploadFailure::Final(Error::new(ErrorKind::Conflict, text)))
    }

    /// Returns the newest TXID that a listing shows; 0 if there is no file.
    async fn newest_listed(&self) -> Result<Txid, UploadFailure> {
        let listed = listing::all(&*self.files.store).await;
        let listed = listed.map_err(|error| UploadFailure::Temporary(error.into()))?;
        Ok(listed.iter().map(|file| file.name.max).max().unwrap_or(Txid(0)))
    }

    fn not_caught_up(&self) -> Error {
        let text = format!("the newest state of {} cannot be read yet", self.files.store);
        Error::new(ErrorKind::Unreachable, text)
    }

    /// Publishes the state after the group that was uploaded, and removes it from the journal.
    async fn settle(
        &self,
        journal: &Arc<Journal>,
        base: Option<&View>,
        file: &TransactionFile,
        listed: &Listed,
    ) -> Result<(), UploadFailure> {
        let temporary = UploadFailure::Temporary;
        let (txid, confirmed) = (file.name.max, Stamp::now());
        let own = self.files.loader.written(listed, file.bytes.clone()).await;
        let own = own.map_err(|error| temporary(self.files.failure(error)))?;
        loop {
            let head = self.head.view();
            let is_base =
                |head: &View| base.is_some_and(|base| (base.epoch(), base.txid()) == (head.epoch(), head.txid()));
            if !head.as_ref().map_or(txid == Txid(1), |head| head.txid() >= txid || is_base(head)) {
                self.catch_up(txid).await;
                return Err(temporary(self.not_caught_up()));
            }
            let mut state = journal.state_in_task().await;
            if self.publish_uploaded(&mut state, head.as_ref(), &own, confirmed).map_err(temporary)? {
                break;
            }
        }
        if let Err(error) = journal.on_disk(Journal::remove_uploaded).await.and_then(|removed| removed) {
            tracing::warn!("{error}");
        }
        journal.changed.send_replace(());
        Ok(())
    }

    /// Publishes the state after `head` and the group, whose file is `own`. Returns false if `head` is no longer the newest state.
    fn publish_uploaded(
        &self,
        state: &mut JournalState,
        head: Option<&Arc<View>>,
        own: &LoadedFile,
        confirmed: Stamp,
    ) -> Result<bool, Error> {
        let Some(open) = state.open.as_mut() else { return Ok(true) };
        let Some(sealed) = &open.pending.sealed else { return Ok(true) };
        let next = match head {
            Some(head) if head.txid() > sealed.file.name.max => Some(head.clone()),
            head => self.uploaded_state(head.map(Arc::as_ref), own, sealed),
        };
        let next = next.ok_or_else(|| Error::internal("an uploaded transaction lacks a page"))?;
        let before = open.pending.newest.clone();
        let newest = self.rebased(open, &next);
        if !self.head.publish_uploaded(head, next, newest.clone()) {
            return Ok(false);
        }
        self.head.confirm(confirmed);
        before.into_iter().for_each(|before| self.histories.epochs.forget(before.epoch()));
        open.pending.end_upload(newest);
        open.is_upload_left = true;
        state.failure = None;
        Ok(true)
    }

    fn uploaded_state(&self, head: Option<&View>, own: &LoadedFile, sealed: &SealedGroup) -> Option<Arc<View>> {
        let epoch = head.map_or_else(|| self.histories.epochs.begin(), View::epoch);
        self.views.uploaded(head, own, epoch, sealed.view.as_deref()).map(Arc::new)
    }

    /// Returns the state after the transactions that are not uploaded, as a state after `next`. None if there are none.
    fn rebased(&self, open: &OpenJournal, next: &View) -> Option<Arc<View>> {
        let newest = open.pending.newest.as_ref().filter(|_| !open.pending.group.is_empty())?;
        if open.pending.sealed.as_ref().is_none_or(|sealed| sealed.place.txid != next.txid()) {
            // Another writer has gone on. The next upload finds that out.
            return Some(newest.clone());
        }
        let epoch = self.histories.epochs.branch(next.epoch(), next.txid());
        let rebased = self.views.with_journalled(Some(next), &open.pending.group, epoch, JournalledCounter::Of(newest));
        Some(rebased.map_or_else(|| newest.clone(), Arc::new))
    }

    /// Has nothing be written any more, because the transactions of the journal cannot be uploaded. They stay there, and the state of the
    /// replica is served.
    async fn freeze(&self, journal: &Journal, cause: Error) {
        let is_conflict = cause.kind() != ErrorKind::Damaged;
        let txid = {
            let mut state = journal.state_in_task().await;
            let Some(open) = state.open.as_mut() else { return };
            let text = format!(
                "{cause}: {} transactions are only in the journal {}, and are not uploaded",
                open.pending.count(),
                open.storage.path().display()
            );
            let error = Error::new(ErrorKind::ReadOnly, text).remedy(match is_conflict {
                true => "read the data again, give up these transactions with litestream_discard_journal(), and repeat what is missing",
                false => "open the replica again, which checks the journal",
            });
            tracing::error!("{error}");
            if is_conflict {
                self.record_conflict(&error);
            }
            state.failure = Some(error.clone());
            let Some(open) = state.open.as_mut() else { return };
            open.stopped = Some(error);
            open.pending.newest = None;
            self.serve_journalled(None);
            open.pending.first_place().map(|place| place.txid)
        };
        // Who waits for the upload then reads the state of the winner.
        if let Some(txid) = txid {
            self.catch_up(txid).await;
        }
        journal.changed.send_replace(());
    }
}
