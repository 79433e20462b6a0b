//! Following the primary.
//!
//! A poll asks level 0 for the next file by its name, which brings the news and its pages in one request. What comes is
//! taken if it continues the view in the primary's WAL and the view's own newest file is unchanged. Now and then a poll
//! asks for that file instead, which is there as long as nothing came after it, or lists level 0 from the view on, which
//! shows a hole (see `schedule`). Whatever that does not explain leads to a listing of the whole replica. And whatever
//! goes wrong, the last view stays until a right one takes its place.

pub(in crate::replica) mod opening;
pub(in crate::replica) mod poll;
pub(in crate::replica) mod relist;
pub(in crate::replica) mod schedule;
pub(in crate::replica) mod status;
pub(in crate::replica) mod vanished;
pub(in crate::replica) mod waiters;

use crate::error::Error;
use crate::ltx::{FileName, Level, Txid};
use crate::replica::Replica;
use crate::replica::files::loader::LoadError;
use crate::replica::files::ltx_file::LoadedFile;
use crate::replica::files::plan;
use crate::replica::follow::poll::PollPurpose;
use crate::replica::follow::schedule::{PollProgress, PollStep};
use crate::replica::view::{View, ViewBuilder, build};
use crate::store::{Listed, Store, StoreErrorKind, Version};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// What a poll that succeeded tells about the view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    /// It is the newest state.
    Newest,
    /// The replica still has its history. Whether anything is newer was not asked.
    Ours,
    /// It may be neither.
    Uncertain,
}

impl Told {
    /// Whether the poll would have found news.
    pub(super) fn is_about_news(self) -> bool {
        self != Told::Ours
    }
}

/// What a poll of level 0 found.
enum News {
    /// The view as it is now, the same as before if nothing came.
    Followed(Arc<View>),
    /// The view's history is still the replica's, and its newest file may have been gone before.
    Ours { back: bool },
    /// Something that level 0 alone does not explain.
    Doubt,
}

/// What is there under a name where a version was seen before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WitnessState {
    /// The same: nothing has begun anew.
    AsItWas,
    /// Other bytes: another history.
    Replaced,
    /// Nothing, which proves nothing, since retention may be short.
    Unknown,
}

impl Replica {
    /// Polls once, publishes what is new, and notes what it found. To be called by one task at a time.
    pub(super) async fn look(&self, purpose: PollPurpose) -> Result<Told, Error> {
        let began = Instant::now();
        let mut progress = self.progress.lock().await;
        self.note_begin();
        let mut told = self.look_once(purpose, &mut progress).await;
        if told.is_ok() && self.is_early() {
            // There is something newer, which cannot be read yet.
            told = Ok(Told::Uncertain);
        }
        progress.ended(told.is_err());
        self.note(&told);
        if told.as_ref().is_ok_and(|told| *told == Told::Newest) {
            self.confirm(began);
        }
        told
    }

    async fn look_once(&self, purpose: PollPurpose, progress: &mut PollProgress) -> Result<Told, Error> {
        let slept = progress.begin(self.poll_interval());
        let outdated = self.outdated.load(Ordering::Relaxed);
        let trusted = |view: &Arc<View>| !slept && !progress.wants_listing(outdated, self.is_scattered(view));
        match self.head().filter(trusted) {
            Some(view) => self.follow(view, purpose, progress).await,
            None => self.list_anew(progress).await,
        }
    }

    async fn follow(&self, view: Arc<View>, purpose: PollPurpose, progress: &mut PollProgress) -> Result<Told, Error> {
        let from = view.txid();
        let step = progress.step(purpose);
        let mut news = match step {
            PollStep::Check => self.check(&view, progress).await,
            PollStep::Look => self.look_at_level_0(view, progress).await,
            PollStep::Ask { check } => self.ask(view, check, progress).await,
        };
        if let Ok(News::Followed(view)) = &news
            && progress.asked(view.txid() != from)
            && step != PollStep::Look
        {
            // News stopped coming. If the next file was deleted before it was asked for, this shows it.
            news = self.look_at_level_0(view.clone(), progress).await;
        }
        match news {
            Ok(News::Followed(view)) if view.txid() != from => {
                progress.moved_on();
                self.stand_still(None);
                Ok(Told::Newest)
            }
            Ok(News::Followed(_)) if progress.is_in_doubt() => Ok(Told::Uncertain),
            Ok(News::Followed(_)) => Ok(Told::Newest),
            Ok(News::Ours { back: false }) if progress.is_in_doubt() => Ok(Told::Uncertain),
            Ok(News::Ours { back: false }) => Ok(Told::Ours),
            Ok(News::Ours { back: true }) => self.list_anew(progress).await,
            Ok(News::Doubt) | Err(LoadError::Moved) => {
                progress.doubted();
                if progress.may_list() { self.list_anew(progress).await } else { Ok(Told::Uncertain) }
            }
            // Other files may lead around a damaged one.
            Err(error) if error.is_damage() && progress.may_look_around() => self.list_anew(progress).await,
            Err(LoadError::Other(error)) => Err(error),
        }
    }

    /// Asks whether the view's history is still the replica's.
    async fn check(&self, view: &View, progress: &mut PollProgress) -> Result<News, LoadError> {
        let is_ours = self.standing(view).await? == WitnessState::AsItWas;
        let back = progress.checked(is_ours);
        Ok(if is_ours { News::Ours { back } } else { News::Doubt })
    }

    /// Asks for the files after the view by name, one after the other, until there is none. With `check`, asks whether the
    /// history is still the same also if there is no news.
    async fn ask(&self, mut view: Arc<View>, check: bool, progress: &mut PollProgress) -> Result<News, LoadError> {
        let mut confirmed = false;
        loop {
            let next = view.txid().next();
            let reading = match self.library.load_by_name(Level::ZERO, FileName { min: next, max: next }).await {
                Err(error) if error.is_damage() && self.is_newest(next).await? => {
                    error.cause().into_iter().for_each(|cause| self.note_early(cause));
                    return Ok(News::Followed(view));
                }
                reading => reading?,
            };
            let Some(reading) = reading else {
                return match check && !confirmed {
                    true => Ok(match self.check(&view, progress).await? {
                        News::Ours { back: false } => News::Followed(view),
                        news => news,
                    }),
                    false => Ok(News::Followed(view)),
                };
            };
            if !reading.file.header.continues(&view.tip().header) {
                // The primary's WAL began anew, or the primary did: a file that holds every page does not tell.
                return self.look_at_level_0(view, progress).await;
            }
            // Two primaries out of one machine image write WALs that begin alike.
            if !std::mem::replace(&mut confirmed, true)
                && !matches!(self.check(&view, progress).await?, News::Ours { .. })
            {
                return self.look_at_level_0(view, progress).await;
            }
            match self.extend(&view, &[reading]) {
                Some(next) => view = self.publish(next),
                None => return Ok(News::Doubt),
            }
        }
    }

    /// What is there under the name of the view's last transaction at level 0, or, if it was not seen there, of the view's
    /// newest file: a copy of a replica need not have level 0.
    pub(super) async fn standing(&self, view: &View) -> Result<WitnessState, LoadError> {
        match view.witness() {
            Some(version) => {
                let own = FileName { min: view.txid(), max: view.txid() };
                self.standing_of(Level::ZERO, own, version).await
            }
            None => self.standing_of(view.tip().level, view.tip().name, &view.tip().version).await,
        }
    }

    /// What is there under a name where a version was seen before.
    pub(super) async fn standing_of(
        &self,
        level: Level,
        name: FileName,
        version: &Version,
    ) -> Result<WitnessState, LoadError> {
        match self.store.read(level, name, 0..1, Some(version)).await {
            Ok(_) => Ok(WitnessState::AsItWas),
            Err(error) if error.kind() == StoreErrorKind::NotFound => Ok(WitnessState::Unknown),
            Err(error) if error.kind() == StoreErrorKind::Changed => Ok(WitnessState::Replaced),
            Err(error) => Err(error.into()),
        }
    }

    /// Lists level 0 from the view on and takes what is there, if the view's own newest file is still there.
    async fn look_at_level_0(&self, view: Arc<View>, progress: &mut PollProgress) -> Result<News, LoadError> {
        progress.looked();
        let listed = self.store.list(Level::ZERO, view.txid()).await?;
        let own = listed.first().filter(|first| first.name.max == view.txid());
        let later = &listed[usize::from(own.is_some())..];
        let told = own.and_then(|own| Some(own.version.as_ref()? == view.witness()?));
        let steps = plan::onwards(later, view.txid());
        if steps.len() < later.len() {
            progress.saw_beyond();
            return Ok(News::Doubt);
        }
        if told == Some(false) {
            return Ok(News::Doubt);
        }
        // Not every server tells versions in its listings. If there is no news, the next check suffices.
        let settled = told.is_some() || own.is_some() && steps.is_empty();
        if !settled && !matches!(self.check(&view, progress).await?, News::Ours { .. }) {
            return Ok(News::Doubt);
        }
        let Some(last) = steps.last() else { return Ok(News::Followed(view)) };
        let readings = self.read_news(&steps, last.name.max).await?;
        if readings.is_empty() {
            return Ok(News::Followed(view));
        }
        Ok(self.extend(&view, &readings).map_or(News::Doubt, |next| News::Followed(self.publish(next))))
    }

    /// Whether level 0 holds nothing that came after this transaction.
    async fn is_newest(&self, txid: Txid) -> Result<bool, LoadError> {
        Ok(self.store.list(Level::ZERO, txid.next()).await?.is_empty())
    }

    /// Reads the files that a listing, whose newest file ends at `end`, shows after a view, but for the newest of level 0
    /// while that is not whole: not every store writes a file in one step, so it may be there by half, and nobody can
    /// tell that from damage before another comes after it.
    pub(super) async fn read_news(&self, files: &[Listed], end: Txid) -> Result<Vec<LoadedFile>, LoadError> {
        let is_newest = |file: &Listed| file.level == Level::ZERO && file.name.max == end;
        match (build::read_all(&self.library, files).await, files) {
            (Err(error), [before @ .., last]) if error.is_damage() && is_newest(last) => {
                let readings = build::read_all(&self.library, before).await?;
                error.cause().into_iter().for_each(|cause| self.note_early(cause));
                Ok(readings)
            }
            (readings, _) => readings,
        }
    }

    /// The view with files laid over it that come after it, unless a page is missing then, or one of them is so large
    /// that the view is made anew.
    pub(super) fn extend(&self, view: &View, readings: &[LoadedFile]) -> Option<View> {
        if readings.iter().any(|reading| reading.deferred_index.is_some()) {
            return None;
        }
        let mut draft = ViewBuilder::from(view);
        readings.iter().for_each(|reading| draft.apply(reading));
        let next = draft.finish(view.epoch(), None).ok()?;
        // What was just written is read next.
        readings.iter().for_each(|reading| self.fetcher.admit(&next, reading));
        Some(next)
    }

    /// The interval of the most impatient connection.
    pub(super) fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.poll_interval_ms.load(Ordering::Relaxed))
    }
}
