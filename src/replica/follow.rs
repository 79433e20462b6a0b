//! Following the primary.
//!
//! A poll asks level 0 for what comes after the newest view. What it finds is taken if it continues the view: no
//! transaction between, and the primary's WAL going on where it was. In every other case, and now and then
//! anyway, the whole replica is listed and planned anew. Whatever goes wrong, the last view stays until a right one
//! takes its place.

use super::Replica;
use super::build::{self, BuildError};
use super::library::{LoadError, LtxFile, Reading};
use super::view::{Draft, View, stored_pages};
use super::{catalog, plan};
use crate::error::{Error, Kind};
use crate::ltx::Level;
use crate::store::Listed;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// A full listing at the latest after so many polls. It shows what following cannot: another history at this place.
const LISTING_EVERY: u32 = 30;

/// A gap between polls of more than this many intervals means that the process slept: files may have come and gone.
const PAUSE: u32 = 5;

/// How often a listing is repeated when files that it showed are gone when they are read.
const STALE_LISTINGS: usize = 5;

/// How many listings in a row must lie behind the view before it is believed that the replica began anew.
const BELIEVED: u32 = 3;

/// A view whose pages lie in more files than this is planned anew: few, large files are read with fewer requests.
const SCATTERED: usize = 512;

/// What the follower remembers between polls.
#[derive(Default)]
pub(super) struct Progress {
    since_listing: u32,
    behind: u32,
    last: Option<Instant>,
}

/// What a listing means for the view.
enum Renewal {
    /// A newer view, or the same state from other files.
    View(View),
    /// Nothing newer can be had now.
    Nothing,
    /// All that is there lies before the view.
    Behind,
}

impl Replica {
    /// Looks once at the replica and publishes what is new. One request when nothing is, none if the last look was
    /// less than `fresh` ago.
    pub(super) async fn poll(&self, fresh: Duration) -> Result<(), Error> {
        let mut progress = self.progress.lock().await;
        if self.head().is_some() && self.lag().is_some_and(|lag| lag < fresh) {
            return Ok(());
        }
        let slept = progress.last.is_some_and(|last| last.elapsed() > self.poll_interval() * PAUSE);
        progress.last = Some(Instant::now());
        progress.since_listing += 1;
        let view = self.head().filter(|_| !slept && progress.since_listing < LISTING_EVERY);
        let followed = match view {
            Some(view) => self.step(&view).await?,
            None => false,
        };
        if !followed {
            self.list_anew(&mut progress).await?;
        }
        self.confirm();
        Ok(())
    }

    /// Takes what level 0 has after `view`. False if that takes more than it can see.
    async fn step(&self, view: &Arc<View>) -> Result<bool, Error> {
        let listed = self.store.list(Level::ZERO, view.txid().next()).await?;
        if listed.is_empty() {
            return Ok(true);
        }
        let steps = plan::onwards(&listed, view.txid());
        if steps.len() < listed.len() {
            return Ok(false);
        }
        let readings = match build::read_all(&self.library, &steps).await {
            Ok(readings) => readings,
            Err(LoadError::Moved) => return Ok(false),
            Err(LoadError::Other(error)) => return Err(error),
        };
        if !continues(view, &readings) {
            return Ok(false);
        }
        Ok(self.extend(view, &readings).map(|next| self.publish(next)).is_some())
    }

    fn extend(&self, view: &View, readings: &[Reading]) -> Option<View> {
        let mut draft = Draft::from(view);
        for reading in readings {
            self.fetcher.admit(reading);
            draft.apply(reading);
        }
        draft.finish(None).ok()
    }

    /// Lists the replica and makes the newest view from it.
    async fn list_anew(&self, progress: &mut Progress) -> Result<(), Error> {
        for _ in 0..STALE_LISTINGS {
            let listed = catalog::newest(&*self.store).await?;
            let renewal = match self.head() {
                Some(view) => self.renew(&view, &listed, progress).await,
                None => self.begin(&listed).await,
            };
            match renewal {
                Err(LoadError::Moved) => continue,
                Err(LoadError::Other(error)) => return Err(error),
                Ok(renewal) => self.conclude(renewal, progress),
            }
            return Ok(());
        }
        Err(Error::new(Kind::Unreachable, format!("the files of {} change faster than they can be read", self.store))
            .remedy("lengthen the retention of Litestream's level 0"))
    }

    fn conclude(&self, renewal: Renewal, progress: &mut Progress) {
        progress.since_listing = 0;
        progress.behind = match renewal {
            Renewal::Behind => progress.behind + 1,
            Renewal::View(_) | Renewal::Nothing => 0,
        };
        match renewal {
            Renewal::View(view) => self.publish(view),
            // Soon again, to see whether it stays so.
            Renewal::Behind => progress.since_listing = LISTING_EVERY,
            Renewal::Nothing => {}
        }
    }

    async fn begin(&self, listed: &[Listed]) -> Result<Renewal, LoadError> {
        Ok(self.newest_complete(listed, None).await?.map_or(Renewal::Nothing, Renewal::View))
    }

    async fn renew(&self, view: &View, listed: &[Listed], progress: &Progress) -> Result<Renewal, LoadError> {
        let Some(end) = plan::newest(listed).first().map(plan::Chain::end) else { return Ok(Renewal::Nothing) };
        if end < view.txid() && progress.behind < BELIEVED {
            return Ok(Renewal::Behind);
        }
        let same_history = end >= view.txid() && view.files().all(|file| !is_replaced(file, listed));
        let scattered = view.files().count() > SCATTERED;
        if same_history && !scattered {
            let steps = plan::onwards(listed, view.txid());
            let readings = build::read_all(&self.library, &steps).await?;
            if !readings.is_empty()
                && let Some(next) = self.extend(view, &readings)
            {
                return Ok(Renewal::View(next));
            }
        }
        if end == view.txid() && same_history && !scattered {
            return Ok(Renewal::Nothing);
        }
        let renewed = self.newest_complete(listed, Some(view).filter(|_| same_history)).await?;
        if renewed.is_some() && !same_history {
            tracing::warn!("another history begins at {}: its newest state is taken", self.store);
            self.past.lock().clear();
        }
        Ok(renewed.map_or(Renewal::Nothing, Renewal::View))
    }

    /// The newest state that the listed files give whole. Where they give none that is newer than a view of the same
    /// history, None: time does not run backwards over a hole.
    async fn newest_complete(&self, listed: &[Listed], same_history: Option<&View>) -> Result<Option<View>, LoadError> {
        for chain in plan::newest(listed) {
            if same_history.is_some_and(|view| chain.end() < view.txid()) {
                return Ok(None);
            }
            let same_as = same_history.filter(|view| view.txid() == chain.end());
            match build::from_chain(&self.library, &chain, listed, same_as).await {
                Ok(view) => return Ok(Some(view)),
                Err(BuildError::NoBase) => continue,
                Err(BuildError::Load(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The interval of the most impatient connection.
    pub(super) fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.poll_interval_ms.load(Ordering::Relaxed))
    }
}

/// Whether the files follow the view and each other in the primary's WAL, or begin anew by holding every page.
fn continues(view: &View, readings: &[Reading]) -> bool {
    let mut before = view.newest();
    readings.iter().all(|reading| {
        let header = &reading.file.header;
        header.continues(std::mem::replace(&mut before, header)) || is_whole(reading)
    })
}

fn is_whole(reading: &Reading) -> bool {
    let header = &reading.file.header;
    let pages = reading.entries.iter().filter(|entry| entry.pgno <= header.commit).count();
    pages >= stored_pages(header) as usize
}

/// Whether other bytes stand under the name of a file that a view stands on.
fn is_replaced(file: &LtxFile, listed: &[Listed]) -> bool {
    let now = listed.iter().find(|now| (now.level, now.name) == (file.level, file.name));
    now.and_then(|now| now.version.as_ref()).is_some_and(|version| *version != file.version)
}
