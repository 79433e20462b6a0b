//! Making the newest view from a listing of the whole replica.

use crate::error::{Error, ErrorKind};
use crate::ltx::{Level, Txid};
use crate::replica::Replica;
use crate::replica::files::damage::{first_error, leave_out};
use crate::replica::files::loader::LoadError;
use crate::replica::files::ltx_file::LtxFile;
use crate::replica::files::{listing, plan};
use crate::replica::follow::schedule::PollProgress;
use crate::replica::follow::status::StallReason;
use crate::replica::follow::{Told, WitnessState};
use crate::replica::view::build::BuildError;
use crate::replica::view::{Epoch, View};
use crate::store::Listed;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::atomic::Ordering;

/// How often a listing is repeated when files that it showed are gone when they are read.
pub(in crate::replica) const STALE_LISTINGS: usize = 5;

/// A view whose pages lie in more files than this is planned anew: few, large files are read with fewer requests.
const SCATTERED: usize = 512;

/// What a listing means for the view.
enum Renewal {
    /// A newer view, or the same state from other files.
    View(View),
    /// The view is the newest.
    Current,
    /// Nothing newer can be had now.
    Not(StallReason),
}

impl Replica {
    /// Lists the replica and publishes the newest view that it gives.
    pub(in crate::replica) async fn list_anew(&self, progress: &mut PollProgress) -> Result<Told, Error> {
        let told = self.try_to_list_anew(progress).await;
        told.inspect_err(|_| progress.listing_failed())
    }

    async fn try_to_list_anew(&self, progress: &mut PollProgress) -> Result<Told, Error> {
        for _ in 0..STALE_LISTINGS {
            let view = self.head();
            let listed = listing::newest(&*self.store, view.as_ref().map(|view| view.txid())).await?;
            let renewal = match &view {
                Some(view) => self.renew(view, &listed, progress.is_believed_behind()).await,
                None => self.newest_complete(&listed, None, self.lineage.begin()).await.map(Renewal::of),
            };
            let (now, reason) = match renewal {
                Err(LoadError::Moved) => continue,
                Err(LoadError::Other(error)) => return Err(error),
                Ok(Renewal::Not(reason)) => (view.clone(), Some(reason)),
                Ok(Renewal::Current) => (view.clone(), None),
                Ok(Renewal::View(view)) => (Some(self.publish(view)), None),
            };
            let hole = now.as_ref().and_then(|now| plan::missing_after(&listed, now.txid()));
            let reason = reason.or(hole.map(|(first, last)| StallReason::Hole(first, last)));
            let changed = now.as_ref().map(|now| now.counter()) != view.map(|view| view.counter());
            let believed = progress.listed(reason, changed);
            // Before the first view there is nothing to keep, and opening says what is missing.
            self.stand_still(believed.filter(|_| now.is_some()));
            return Ok(if now.is_some() && reason.is_none() { Told::Newest } else { Told::Uncertain });
        }
        Err(self.too_fast())
    }

    pub(in crate::replica) fn too_fast(&self) -> Error {
        Error::new(ErrorKind::Unreachable, format!("the files of {} change faster than they can be read", self.store))
            .remedy("lengthen the retention of Litestream's level 0")
    }

    async fn renew(&self, view: &View, listed: &[Listed], believed: bool) -> Result<Renewal, LoadError> {
        let Some(end) = plan::newest(listed).first().map(plan::FileChain::end) else {
            return Ok(Renewal::Not(StallReason::Empty));
        };
        // A listing can be as old as it likes, a file that is there is there.
        if end < view.txid() && (!believed || self.standing(view).await? == WitnessState::AsItWas) {
            return Ok(Renewal::Not(StallReason::Behind));
        }
        let history = if end < view.txid() { HistoryMatch::Another } else { self.history(view, listed).await? };
        let outdated = self.outdated.swap(false, Ordering::Relaxed) || self.is_scattered(view);
        if history == HistoryMatch::Same && !outdated {
            match self.go_on(view, listed, end).await {
                Ok(Some(renewal)) => return Ok(renewal),
                // Other files may lead around a damaged one.
                Ok(None) => {}
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        let not_before = Some(view).filter(|_| history != HistoryMatch::Another);
        let renewed = match self.newest_complete(listed, not_before, self.epoch_in(history, view)).await {
            Err(error) if error.is_damage() && history == HistoryMatch::Same && outdated => {
                // The view itself cannot be had from other files. What comes after it can.
                return Ok(self.go_on(view, listed, end).await?.unwrap_or(Renewal::Current));
            }
            renewed => renewed?,
        };
        if renewed.is_some() && history == HistoryMatch::Another {
            tracing::warn!("another history begins at {}: its newest state is taken", self.store);
        }
        match renewed {
            None if end == view.txid() && history != HistoryMatch::Unknown => Ok(Renewal::Current),
            renewed => Ok(Renewal::of(renewed)),
        }
    }

    /// The view with what follows it in a listing whose newest file ends at `end`. None if that does not give a view.
    async fn go_on(&self, view: &View, listed: &[Listed], end: Txid) -> Result<Option<Renewal>, LoadError> {
        let steps = plan::onwards(listed, view.txid());
        let reached = steps.last().map_or(view.txid(), |last| last.name.max);
        if reached < end {
            // There is a hole. What comes after it may be whole by itself.
            let beyond: Vec<_> = listed.iter().filter(|file| file.name.max > reached).cloned().collect();
            let beyond = self.newest_complete(&beyond, Some(view), view.epoch()).await?;
            if beyond.is_some() || steps.is_empty() {
                return Ok(Some(beyond.map_or(Renewal::Current, Renewal::View)));
            }
        }
        let readings = self.read_news(&steps, end).await?;
        if readings.is_empty() {
            return Ok(Some(Renewal::Current));
        }
        Ok(self.extend(view, &readings).map(Renewal::View))
    }

    /// Whether a view's pages lie in so many files, or so many of them are kept in memory, that it is better planned anew.
    pub(in crate::replica) fn is_scattered(&self, view: &View) -> bool {
        view.files().count() > SCATTERED || view.held() > self.bounds().memory / 2
    }

    /// The epoch of what a listing shows: the head's, if that is known to be the history of the listed files.
    pub(in crate::replica) async fn epoch_of(&self, listed: &[Listed]) -> Result<Epoch, LoadError> {
        match self.head() {
            Some(head) => Ok(self.epoch_in(self.history(&head, listed).await?, &head)),
            None => Ok(self.lineage.begin()),
        }
    }

    /// The epoch of what is built from a listing that stands so to a view.
    fn epoch_in(&self, history: HistoryMatch, view: &View) -> Epoch {
        match history {
            HistoryMatch::Same | HistoryMatch::Rewritten => view.epoch(),
            HistoryMatch::Shared(until) => self.lineage.branch(view.epoch(), until),
            HistoryMatch::Unknown | HistoryMatch::Another => self.lineage.begin(),
        }
    }

    /// Whether a listing shows the history that a view is of. Where the listing does not tell versions, the files
    /// themselves are asked, the newest first, until one is unchanged: what it shows goes for those that end before it.
    async fn history(&self, view: &View, listed: &[Listed]) -> Result<HistoryMatch, LoadError> {
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
                None => is_proven || self.is_as_it_was(file).await?,
            };
            if !unchanged {
                rewritten = true;
                if !self.library.is_unchanged(file, now).await? {
                    if file.level.number() > 1 {
                        // A snapshot that was made again says nothing: its header has another time.
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

    async fn is_as_it_was(&self, file: &LtxFile) -> Result<bool, LoadError> {
        match self.standing_of(file.level, file.name, &file.version).await? {
            WitnessState::AsItWas => Ok(true),
            WitnessState::Replaced => Ok(false),
            WitnessState::Unknown => Err(LoadError::Moved),
        }
    }

    /// The newest state that the listed files give whole. Where they give none that is as new as `not_before`, None: time
    /// does not run backwards over a hole.
    pub(in crate::replica) async fn newest_complete(
        &self,
        listed: &[Listed],
        not_before: Option<&View>,
        epoch: Epoch,
    ) -> Result<Option<View>, LoadError> {
        let mut usable = Cow::Borrowed(listed);
        let (mut damaged, mut is_early) = (Vec::new(), false);
        // A state that only damaged files lead to is an error, and no reason to go back to an older one.
        let mut least = not_before.map(View::txid);
        'planned: loop {
            for chain in plan::newest(&usable) {
                if least.is_some_and(|least| chain.end() < least) {
                    break 'planned;
                }
                match self.build(&chain, listed, epoch, not_before).await {
                    Ok(view) => {
                        self.note_read_around(&damaged);
                        return Ok(Some(view));
                    }
                    Err(BuildError::NoBase) => continue,
                    Err(BuildError::Load(error)) => return Err(error),
                    Err(BuildError::Damaged(found)) => {
                        let early = found.iter().find(|damage| !is_early && is_newest_sync(&damage.file, &usable));
                        if let Some(early) = early {
                            // It may be there by half: what the others give is the newest for now.
                            self.note_early(&early.error);
                            leave_out(&mut usable, std::slice::from_ref(early));
                            is_early = true;
                        } else {
                            leave_out(&mut usable, &found);
                            least = least.max(Some(chain.end()));
                            damaged.extend(found);
                        }
                        continue 'planned;
                    }
                }
            }
            break;
        }
        first_error(&damaged).map_or(Ok(None), Err)
    }
}

/// Whether a file is the newest of level 0, and nothing came after it.
fn is_newest_sync(file: &Listed, listed: &[Listed]) -> bool {
    file.level == Level::ZERO && listed.iter().all(|other| other.name.max <= file.name.max)
}

/// Whether a listing shows the history that a view is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HistoryMatch {
    /// The view's newest file is there as it was, or another of its files that ends there, and none was replaced.
    Same,
    /// So, but some stand there anew, so that their pages have to be found anew.
    Rewritten,
    /// Older files of it are there: up to this transaction it is the same.
    Shared(Txid),
    /// Nothing of the view is there as it was, so nothing new may be laid on it.
    Unknown,
    /// Other bytes stand under the name of a file that is written once.
    Another,
}

impl Renewal {
    fn of(view: Option<View>) -> Renewal {
        view.map_or(Renewal::Not(StallReason::NoBase), Renewal::View)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ltx::FileName;
    use crate::replica::CacheLimits;
    use crate::replica::testing::one_page::{file, name};
    use crate::store::{Chunk, Memory, Store, Version};
    use async_trait::async_trait;
    use std::fmt;
    use std::ops::Range;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    /// A store that can list what was there a while ago.
    #[derive(Debug, Default)]
    struct Forgetful {
        now: Memory,
        before: Memory,
        lists_before: AtomicBool,
    }

    #[async_trait]
    impl Store for Forgetful {
        async fn list(&self, level: Level, from: Txid) -> Result<Vec<Listed>, crate::store::StoreError> {
            let listed = if self.lists_before.load(Ordering::Relaxed) { &self.before } else { &self.now };
            listed.list(level, from).await
        }

        async fn read(
            &self,
            level: Level,
            name: FileName,
            range: Range<u64>,
            expected: Option<&Version>,
        ) -> Result<Chunk, crate::store::StoreError> {
            self.now.read(level, name, range, expected).await
        }
    }

    impl fmt::Display for Forgetful {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("memory://forgetful")
        }
    }

    /// Three stale listings in a row once took a view back in time (seed 3434 of the simulation).
    #[tokio::test(start_paused = true)]
    async fn listings_of_the_past_do_not_take_a_view_back_whose_file_stands() {
        let store = Arc::new(Forgetful::default());
        for txid in 1..=4 {
            store.now.insert(Level::ZERO, name(txid), file(txid));
            if txid < 3 {
                store.before.insert(Level::ZERO, name(txid), file(txid));
            }
        }
        let replica = Arc::new(Replica::new(store.clone(), CacheLimits { memory: 0, disk: 0 }, Duration::from_secs(1)));
        let txid = || replica.head().map(|view| view.txid());
        replica.poll(Duration::ZERO).await.expect("a view");
        assert_eq!(txid(), Some(Txid(4)));
        store.lists_before.store(true, Ordering::Relaxed);
        for _ in 0..50 {
            replica.poll(Duration::ZERO).await.expect("an answer");
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(txid(), Some(Txid(4)));
        }
    }

    /// Where each poll comes late, each once led to a listing, and none asked for the next file.
    #[tokio::test(start_paused = true)]
    async fn late_polls_ask_for_the_next_file_too() {
        let store = Arc::new(Forgetful::default());
        for txid in 1..=2 {
            store.now.insert(Level::ZERO, name(txid), file(txid));
            store.before.insert(Level::ZERO, name(txid), file(txid));
        }
        let interval = Duration::from_millis(50);
        let replica = Arc::new(Replica::new(store.clone(), CacheLimits { memory: 0, disk: 0 }, interval));
        replica.poll(Duration::ZERO).await.expect("a view");
        store.lists_before.store(true, Ordering::Relaxed);
        (3..=4).for_each(|txid| store.now.insert(Level::ZERO, name(txid), file(txid)));
        for _ in 0..20 {
            tokio::time::advance(interval * 20).await;
            replica.take_turn().await.expect("an answer");
        }
        assert_eq!(replica.head().map(|view| view.txid()), Some(Txid(4)));
    }
}
