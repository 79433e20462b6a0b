//! Following the primary.
//!
//! A poll asks level 0 for the next file by its name, which brings the news and its pages in one request. What comes is
//! taken if it continues the view in the primary's WAL. Otherwise, and every few polls instead of asking, level 0 is
//! listed from the view on: that shows whether the view's own newest file still stands there, which it does as long as
//! nothing came after it, and whether files are missing in between. Whatever that does not explain leads to a listing of
//! the whole replica. And whatever goes wrong, the last view stays until a right one takes its place.

use super::Replica;
use super::build;
use super::library::LoadError;
use super::plan;
use super::reading::Reading;
use super::view::{Draft, View};
use crate::error::Error;
use crate::ltx::{FileName, Level, Txid};
use crate::store::{ErrorKind, Listed, Store};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Level 0 is listed instead of asked at every so many polls.
const LOOK_EVERY: u32 = 5;

/// The whole replica is listed after so many polls.
const LISTING_EVERY: u32 = 300;

/// And after so many, if the view is scattered over many files.
const SCATTERED_LISTING_EVERY: u32 = 30;

/// And after so many, while a damaged file stands in the way.
const LOOK_AROUND_EVERY: u32 = 10;

/// A gap between polls of more than this many intervals means that the process slept: files may have come and gone.
const PAUSE: u32 = 5;

/// What the follower remembers between polls.
#[derive(Default)]
pub(super) struct Progress {
    polls: u32,
    since_listing: u32,
    /// Polls in a row that brought nothing.
    idle: u32,
    behind: u32,
    last: Option<Instant>,
    /// The poll at which the whole replica was last listed because of a damaged file.
    looked_around: Option<u32>,
}

impl Progress {
    /// Listings in a row that lay behind the view.
    pub(super) fn behind(&self) -> u32 {
        self.behind
    }

    /// The whole replica was listed.
    pub(super) fn listed(&mut self, behind: bool) {
        self.since_listing = 0;
        self.behind = if behind { self.behind + 1 } else { 0 };
    }

    /// Whether the whole replica may be listed because of a damaged file.
    fn may_look_around(&mut self) -> bool {
        let may = self.looked_around.is_none_or(|at| self.polls.wrapping_sub(at) >= LOOK_AROUND_EVERY);
        if may {
            self.looked_around = Some(self.polls);
        }
        may
    }

    /// Whether the whole replica has to be listed, for a view that is worth planning anew or is not.
    fn wants_listing(&self, outdated: bool, scattered: bool) -> bool {
        let scattered = scattered && self.since_listing >= SCATTERED_LISTING_EVERY;
        outdated || scattered || self.behind > 0 || self.since_listing >= LISTING_EVERY
    }
}

/// What a poll of level 0 found.
enum News {
    /// The view as it is now, the same as before if nothing came.
    Followed(Arc<View>),
    /// Something that level 0 alone does not explain.
    Doubt,
}

/// What stands under the name of a view's last transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// What stood there when the view was made: nothing has begun anew.
    AsItWas,
    /// Other bytes: another history.
    Replaced,
    /// Nothing, which proves nothing, since retention may be short; or it was not known what stood there.
    Unknown,
}

impl Replica {
    /// Looks once at the replica and publishes what is new. One request when nothing is, none if the last look was
    /// less than `fresh` ago.
    pub(super) async fn poll(&self, fresh: Duration) -> Result<(), Error> {
        let mut progress = self.progress.lock().await;
        if self.head().is_some() && self.lag().is_some_and(|lag| lag < fresh) {
            return Ok(());
        }
        let polled = self.look_once(&mut progress).await;
        self.note(&polled);
        if polled.is_ok() {
            self.confirm();
        }
        polled
    }

    async fn look_once(&self, progress: &mut Progress) -> Result<(), Error> {
        let slept = progress.last.is_some_and(|last| last.elapsed() > self.poll_interval() * PAUSE);
        progress.last = Some(Instant::now());
        progress.polls = progress.polls.wrapping_add(1);
        progress.since_listing += 1;
        let outdated = self.outdated.load(Ordering::Relaxed);
        let trusted = |view: &Arc<View>| !slept && !progress.wants_listing(outdated, self.is_scattered(view));
        match self.head().filter(trusted) {
            Some(view) => self.follow(view, progress).await,
            None => self.list_anew(progress).await,
        }
    }

    async fn follow(&self, view: Arc<View>, progress: &mut Progress) -> Result<(), Error> {
        let from = view.txid();
        let mut news =
            if progress.polls.is_multiple_of(LOOK_EVERY) { self.look(view).await } else { self.ask(view).await };
        progress.idle = match &news {
            Ok(News::Followed(view)) if view.txid() == from => progress.idle + 1,
            _ => 0,
        };
        if progress.idle == 1
            && let Ok(News::Followed(view)) = news
        {
            // News stopped coming. If the next file was deleted before it was asked for, this shows it.
            news = self.look(view).await;
        }
        match news {
            Ok(News::Followed(_)) => Ok(()),
            Ok(News::Doubt) | Err(LoadError::Moved) => self.list_anew(progress).await,
            // Other files may lead around a damaged one.
            Err(error) if error.is_damage() && progress.may_look_around() => self.list_anew(progress).await,
            Err(LoadError::Other(error)) => Err(error),
        }
    }

    /// Asks for the files after the view by name, one after the other, until there is none.
    async fn ask(&self, mut view: Arc<View>) -> Result<News, LoadError> {
        let mut confirmed = false;
        loop {
            let next = view.txid().next();
            let reading = match self.library.ask(Level::ZERO, FileName { min: next, max: next }).await {
                Err(error) if error.is_damage() && self.is_newest(next).await? => {
                    error.cause().into_iter().for_each(|cause| self.note_early(cause));
                    return Ok(News::Followed(view));
                }
                reading => reading?,
            };
            let Some(reading) = reading else { return Ok(News::Followed(view)) };
            if !reading.file.header.continues(&view.tip().header) {
                // The primary's WAL began anew, or the primary did: a file that holds every page does not tell.
                return self.look(view).await;
            }
            // Two primaries out of one machine image write WALs that begin alike.
            if !std::mem::replace(&mut confirmed, true) && self.standing(&view).await? != Standing::AsItWas {
                return self.look(view).await;
            }
            match self.extend(&view, &[reading]) {
                Some(next) => view = self.publish(next),
                None => return Ok(News::Doubt),
            }
        }
    }

    /// What stands at level 0 under the name of the view's last transaction.
    pub(super) async fn standing(&self, view: &View) -> Result<Standing, LoadError> {
        let own = FileName { min: view.txid(), max: view.txid() };
        let Some(version) = view.witness() else { return Ok(Standing::Unknown) };
        match self.store.read(Level::ZERO, own, 0..1, Some(version)).await {
            Ok(_) => Ok(Standing::AsItWas),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Standing::Unknown),
            Err(error) if error.kind() == ErrorKind::Changed => Ok(Standing::Replaced),
            Err(error) => Err(error.into()),
        }
    }

    /// Lists level 0 from the view on and takes what is there, if the view's own newest file still stands there.
    async fn look(&self, view: Arc<View>) -> Result<News, LoadError> {
        let listed = self.store.list(Level::ZERO, view.txid()).await?;
        let own = listed.first().filter(|first| first.name.max == view.txid());
        if !own.is_some_and(|own| own.version.is_some() && own.version.as_ref() == view.witness()) {
            return Ok(News::Doubt);
        }
        let steps = plan::onwards(&listed[1..], view.txid());
        if steps.len() < listed.len() - 1 {
            return Ok(News::Doubt);
        }
        if steps.is_empty() {
            return Ok(News::Followed(view));
        }
        let readings = self.read_news(&steps, steps[steps.len() - 1].name.max).await?;
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
    pub(super) async fn read_news(&self, files: &[Listed], end: Txid) -> Result<Vec<Reading>, LoadError> {
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
    pub(super) fn extend(&self, view: &View, readings: &[Reading]) -> Option<View> {
        if readings.iter().any(|reading| reading.left_out.is_some()) {
            return None;
        }
        let mut draft = Draft::from(view);
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
