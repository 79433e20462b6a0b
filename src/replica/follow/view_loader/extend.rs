//! Builds views from other views and the files after them, without a listing.

use crate::replica::files::ltx_file::LoadedFile;
use crate::replica::follow::view_loader::ViewLoader;
use crate::replica::view::{Epoch, View, ViewBuilder};

/// The counter of a state that is only in the journal.
#[derive(Clone, Copy)]
pub(in crate::replica) enum JournalledCounter<'a> {
    /// A new one.
    New,
    /// The one that SQLite has written.
    Written(u32),
    /// That of a view of the same state.
    Of(&'a View),
}

impl ViewLoader {
    /// Applies the files that follow a view to a copy of it. Returns None if the view is better planned again: because a page would be
    /// missing, a file is very large, or the writer of a file has read another one before it: the latter was created too late.
    pub(in crate::replica::follow) fn extend(&self, view: &View, readings: &[LoadedFile]) -> Option<View> {
        let before = std::iter::once(view.tip()).chain(readings.iter().map(|reading| &reading.file));
        let mut pairs = readings.iter().map(|reading| &reading.file).zip(before);
        if readings.iter().any(|reading| reading.deferred_index.is_some())
            || pairs.any(|(file, before)| file.follows(before) == Some(false))
        {
            return None;
        }
        self.finish(ViewBuilder::from(view), readings, view.epoch())
    }

    /// As [`ViewLoader::extend`], for a transaction that this process has written. `counter` is the change counter that SQLite has written.
    pub(in crate::replica) fn extend_by_own(
        &self,
        view: &View,
        own: &LoadedFile,
        counter: Option<u32>,
    ) -> Option<View> {
        let mut draft = ViewBuilder::from(view);
        counter.into_iter().for_each(|counter| draft.written(counter));
        self.finish(draft, std::slice::from_ref(own), view.epoch())
    }

    /// Returns the state after the first transaction of a database, which this process has written.
    pub(in crate::replica) fn begin_with_own(&self, own: &LoadedFile, epoch: Epoch) -> Option<View> {
        self.finish(ViewBuilder::default(), std::slice::from_ref(own), epoch)
    }

    /// Returns a state of `epoch` that is a view, or an empty database, with these transactions of the journal applied.
    pub(in crate::replica) fn with_journalled(
        &self,
        view: Option<&View>,
        transactions: &[LoadedFile],
        epoch: Epoch,
        counter: JournalledCounter<'_>,
    ) -> Option<View> {
        let mut draft = view.map_or_else(ViewBuilder::default, ViewBuilder::from);
        match counter {
            JournalledCounter::New => {}
            JournalledCounter::Written(counter) => draft.written(counter),
            JournalledCounter::Of(view) => draft.same_as(view),
        }
        self.finish(draft, transactions, epoch)
    }

    /// Returns the state after a transaction that this process has uploaded from its journal. `view` is the newest state of the replica, with
    /// or without that transaction; None if the replica was empty. `journalled` is the same state before the upload.
    pub(in crate::replica) fn uploaded(
        &self,
        view: Option<&View>,
        own: &LoadedFile,
        epoch: Epoch,
        journalled: Option<&View>,
    ) -> Option<View> {
        let mut draft = view.map_or_else(ViewBuilder::default, ViewBuilder::from);
        journalled.into_iter().for_each(|journalled| draft.same_as(journalled));
        let is_included = view.is_some_and(|view| view.txid() >= own.file.name.max);
        self.finish(draft, if is_included { &[] } else { std::slice::from_ref(own) }, epoch)
    }

    fn finish(&self, mut draft: ViewBuilder, readings: &[LoadedFile], epoch: Epoch) -> Option<View> {
        readings.iter().for_each(|reading| draft.apply(reading));
        let next = draft.finish(epoch, None).ok()?;
        // What was just written is read next.
        readings.iter().for_each(|reading| self.admit(&next, reading));
        Some(next)
    }
}
