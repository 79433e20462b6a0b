//! Whether the files of a replica continue the history that a view is part of.

use crate::ltx::{FileName, Level, Txid};
use crate::replica::files::Files;
use crate::replica::files::load_error::LoadError;
use crate::replica::files::ltx_file::LtxFile;
use crate::replica::view::epoch::Epochs;
use crate::replica::view::{Epoch, View};
use crate::store::{Listed, Store, StoreErrorKind, Version};
use std::cmp::Reverse;
use std::sync::Arc;

/// What is stored under a name of which a version was seen before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WitnessState {
    /// The same version: the history is the same.
    Unchanged,
    /// Other bytes: another history.
    Replaced,
    /// No file. This proves nothing, because retention may have deleted it.
    Missing,
}

/// How a listing relates to the history that a view is part of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HistoryMatch {
    /// The view's newest file, or another of its files that ends there, is unchanged, and no file was replaced.
    Same,
    /// The same, but files were written again with the same content, so their pages must be located again.
    Rewritten,
    /// Older files of the view are unchanged: up to this transaction the history is the same.
    Shared(Txid),
    /// No file of the view is there unchanged, so no newer file may be applied to it.
    Unknown,
    /// A file that is written only once has other bytes now.
    Another,
}

/// Compares views with what the store holds now.
pub(in crate::replica) struct Histories {
    files: Arc<Files>,
    pub epochs: Epochs,
}

impl Histories {
    pub(in crate::replica) fn new(files: Arc<Files>) -> Histories {
        Histories { files, epochs: Epochs::default() }
    }

    /// Checks the file of the view's last transaction at level 0 or, if it was not seen there, the view's newest file:
    /// a copy of a replica need not have level 0.
    pub(super) async fn witness_of(&self, view: &View) -> Result<WitnessState, LoadError> {
        match view.witness() {
            Some(version) => {
                let own = FileName::of(view.txid());
                self.witness(Level::ZERO, own, version).await
            }
            None => self.witness(view.tip().level, view.tip().name, &view.tip().version).await,
        }
    }

    /// Checks a file of which a version was seen before: one conditional request for one byte.
    async fn witness(&self, level: Level, name: FileName, version: &Version) -> Result<WitnessState, LoadError> {
        match self.files.store.read(level, name, 0..1, Some(version)).await {
            Ok(_) => Ok(WitnessState::Unchanged),
            Err(error) if error.kind() == StoreErrorKind::NotFound => Ok(WitnessState::Missing),
            Err(error) if error.kind() == StoreErrorKind::Changed => Ok(WitnessState::Replaced),
            Err(error) => Err(error.into()),
        }
    }

    async fn is_unchanged(&self, file: &LtxFile) -> Result<bool, LoadError> {
        match self.witness(file.level, file.name, &file.version).await? {
            WitnessState::Unchanged => Ok(true),
            WitnessState::Replaced => Ok(false),
            WitnessState::Missing => Err(LoadError::Moved),
        }
    }

    /// The epoch of the listed files: that of `head` if they are known to continue its history.
    pub(in crate::replica) async fn epoch_of(
        &self,
        head: Option<Arc<View>>,
        listed: &[Listed],
    ) -> Result<Epoch, LoadError> {
        match head {
            Some(head) => Ok(self.epoch_in(self.compare(&head, listed).await?, &head)),
            None => Ok(self.epochs.begin()),
        }
    }

    /// The epoch of a state that is built from a listing which relates to a view in this way.
    pub(super) fn epoch_in(&self, history: HistoryMatch, view: &View) -> Epoch {
        match history {
            HistoryMatch::Same | HistoryMatch::Rewritten => view.epoch(),
            HistoryMatch::Shared(until) => self.epochs.branch(view.epoch(), until),
            HistoryMatch::Unknown | HistoryMatch::Another => self.epochs.begin(),
        }
    }

    /// How a listing relates to the history of a view. If the listing has no versions, the files themselves are
    /// checked, newest first, until one is unchanged; this proves the same for all files that end before it.
    pub(super) async fn compare(&self, view: &View, listed: &[Listed]) -> Result<HistoryMatch, LoadError> {
        let named_so = |now: &&Listed| now.level == Level::ZERO && now.name.max == view.txid();
        let witness = listed.iter().find(named_so).and_then(|now| now.version.as_ref());
        let mut shared = witness.filter(|witness| view.witness() == Some(witness)).map(|_| view.txid());
        let mut rewritten = false;
        let mut files: Vec<_> = view.files().chain([view.tip()]).collect();
        files.sort_unstable_by_key(|file| Reverse(file.name.max));
        for file in files {
            let Some(now) = listed.iter().find(|now| (now.level, now.name) == (file.level, file.name)) else {
                continue;
            };
            let is_proven = shared.is_some_and(|shared| shared >= file.name.max);
            let unchanged = match &now.version {
                Some(version) => file.is_listed_as(version),
                None => is_proven || self.is_unchanged(file).await?,
            };
            if !unchanged {
                rewritten = true;
                if !self.files.loader.is_unchanged(file, now).await? {
                    if file.level.number() > 1 {
                        // A snapshot that was made again proves nothing: its header has another time.
                        continue;
                    }
                    return Ok(HistoryMatch::Another);
                }
            }
            shared = shared.max(Some(file.name.max));
        }
        Ok(match shared {
            None => HistoryMatch::Unknown,
            Some(until) if until < view.txid() => HistoryMatch::Shared(until),
            Some(_) if rewritten => HistoryMatch::Rewritten,
            Some(_) => HistoryMatch::Same,
        })
    }
}
