//! Plans the newest view from a listing of the whole replica.

use crate::error::Error;
use crate::ltx::{Level, Txid};
use crate::replica::files::loader::LoadError;
use crate::replica::files::{StaleListings, listing, plan};
use crate::replica::follow::health::StallReason;
use crate::replica::follow::history::{HistoryMatch, WitnessState};
use crate::replica::follow::schedule::PollProgress;
use crate::replica::follow::{Follower, PollOutcome};
use crate::replica::view::View;
use crate::store::Listed;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A view whose pages are in more files than this is planned again: few, large files are read with fewer requests.
const SCATTERED: usize = 512;

/// The effect of a listing on the view.
enum Renewal {
    /// A newer view, or the same state from other files.
    View(Arc<View>),
    /// The view is the newest.
    Current,
    /// No newer view can be built now.
    Stalled(StallReason),
}

impl Follower {
    /// Lists the replica and publishes the newest view that can be built from the listed files.
    pub(in crate::replica) async fn relist(&self, progress: &mut PollProgress) -> Result<PollOutcome, Error> {
        let mut listings = StaleListings::default();
        loop {
            if let Some(outcome) = listings.settle(self.try_relist(progress).await, || self.files.too_fast()) {
                return outcome.inspect_err(|_| progress.listing_failed());
            }
        }
    }

    async fn try_relist(&self, progress: &mut PollProgress) -> Result<PollOutcome, LoadError> {
        let published = self.head.view();
        let resumed = if published.is_none() { self.resumed().await } else { None };
        let view = published.clone().or(resumed.map(|resumed| resumed.view));
        let seen = view.as_ref().map(|view| view.txid());
        let listed = listing::newest(&*self.files.store, seen).await.map_err(|error| LoadError::Other(error.into()))?;
        let renewal = match &view {
            Some(view) if published.is_some() => self.renew(view, &listed, progress.is_believed_behind()).await?,
            Some(resumed) => self.renew_resumed(resumed, &listed).await?,
            None => self.first_view(&listed).await?,
        };
        let (now, reason) = match renewal {
            Renewal::Stalled(reason) => (published.clone(), Some(reason)),
            Renewal::Current => (published.clone(), None),
            Renewal::View(next) => {
                if let Some(before) = &view {
                    self.fetcher.carry_over(before, &next).await;
                }
                (Some(self.head.publish(published.as_ref(), next)), None)
            }
        };
        let hole = now.as_ref().and_then(|now| plan::missing_after(&listed, now.txid()));
        let reason = reason.or(hole.map(|(first, last)| StallReason::Hole(first, last)));
        let changed = now.as_ref().map(|now| now.counter()) != published.map(|view| view.counter());
        // Before the first view there is no state to keep, and opening reports what is missing. The writer may publish the first one.
        let believed = progress.listed(reason.filter(|_| now.is_some()), changed);
        self.health.set_stalled(believed);
        Ok(if now.is_some() && reason.is_none() { PollOutcome::Newest } else { PollOutcome::Uncertain })
    }

    async fn first_view(&self, listed: &[Listed]) -> Result<Renewal, LoadError> {
        Ok(Renewal::of(self.views.newest_complete(listed, None, self.histories.epochs.begin()).await?))
    }

    /// As [`Follower::renew`], for the view of the cache directory. If that does not lead to the newest state, it is not
    /// used, unless it has been published meanwhile.
    async fn renew_resumed(&self, resumed: &Arc<View>, listed: &[Listed]) -> Result<Renewal, LoadError> {
        match self.renew(resumed, listed, false).await {
            Ok(Renewal::Current) => return Ok(Renewal::View(resumed.clone())),
            Ok(Renewal::Stalled(reason)) if self.head.view().is_some() => return Ok(Renewal::Stalled(reason)),
            Ok(Renewal::Stalled(_)) => {}
            Err(error) if error.is_damage() => {}
            renewal => return renewal,
        }
        self.first_view(listed).await
    }

    async fn renew(&self, view: &View, listed: &[Listed], believed: bool) -> Result<Renewal, LoadError> {
        let Some(end) = plan::newest(listed).first().map(plan::FileChain::end) else {
            return Ok(Renewal::Stalled(StallReason::Empty));
        };
        // A listing may be out of date, but a file that can be read exists.
        if end < view.txid() && (!believed || self.histories.witness_of(view).await? == WitnessState::Unchanged) {
            return Ok(Renewal::Stalled(StallReason::Behind));
        }
        let history =
            if end < view.txid() { HistoryMatch::Another } else { self.histories.compare(view, listed).await? };
        let outdated = self.outdated.swap(false, Ordering::Relaxed) || self.is_scattered(view);
        let is_same = history == HistoryMatch::Same;
        let steps = plan::onwards(listed, view.txid());
        let mut is_refuted = is_superseded(view, &steps);
        let replanned = outdated || is_refuted;
        if is_same && !replanned {
            match self.continue_view(view, listed, &steps, end).await {
                Ok(Some(renewal)) => return Ok(renewal),
                Ok(None) => is_refuted = true,
                // Other files may replace a damaged one.
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        let not_before = Some(view).filter(|_| history != HistoryMatch::Another);
        let epoch = match is_same && is_refuted && may_have_lost(view) {
            true => self.histories.epochs.branch(view.epoch(), Txid(view.tip().name.min.0 - 1)),
            false => self.histories.epoch_in(history, view),
        };
        let renewed = match self.views.newest_complete(listed, not_before, epoch).await {
            Err(error) if error.is_damage() && is_same && replanned => {
                // The state of the view cannot be built from other files, but newer files can be applied to it.
                return Ok(self.continue_view(view, listed, &steps, end).await?.unwrap_or(Renewal::Current));
            }
            renewed => renewed?,
        };
        if renewed.is_some() && history == HistoryMatch::Another {
            tracing::warn!("another history begins at {}: its newest state is taken", self.files.store);
        }
        match renewed {
            None if end == view.txid() && history != HistoryMatch::Unknown => Ok(Renewal::Current),
            renewed => Ok(Renewal::of(renewed)),
        }
    }

    /// Applies `steps`, the files that follow a view in a listing whose newest file ends at `end`. Returns None if no view
    /// can be built from them.
    async fn continue_view(
        &self,
        view: &View,
        listed: &[Listed],
        steps: &[Listed],
        end: Txid,
    ) -> Result<Option<Renewal>, LoadError> {
        let reached = steps.last().map_or(view.txid(), |last| last.name.max);
        if reached < end {
            // There is a hole. The files after it may hold every page themselves.
            let beyond: Vec<_> = listed.iter().filter(|file| file.name.max > reached).cloned().collect();
            let beyond = self.views.newest_complete(&beyond, Some(view), view.epoch()).await?;
            if beyond.is_some() || steps.is_empty() {
                return Ok(Some(beyond.map_or(Renewal::Current, |beyond| Renewal::View(beyond.into()))));
            }
        }
        let loaded = self.views.read_newer(steps, end).await?;
        if loaded.is_empty() {
            return Ok(Some(Renewal::Current));
        }
        Ok(self.views.extend(view, &loaded).map(|next| Renewal::View(next.into())))
    }

    /// Whether a view's pages are in so many files, or so many of them are in memory, that it should be planned again.
    pub(super) fn is_scattered(&self, view: &View) -> bool {
        view.files().count() > SCATTERED || view.held() > self.head.limits().memory / 2
    }
}

/// Whether a compacted file follows one of level 0, in a view and the files that lead on from it. The latter need not be part of the state: a
/// writer that was suspended for longer than the retention creates a file under a name that is free again. Files of level 0 say what they follow.
fn is_superseded(view: &View, steps: &[Listed]) -> bool {
    let before = std::iter::once(view.tip().level).chain(steps.iter().map(|step| step.level));
    steps.iter().zip(before).any(|(step, before)| before == Level::ZERO && step.level != Level::ZERO)
}

/// Whether a view may end with a transaction that has lost against another one: only writers of this library create such files. Then neither its
/// pages nor its counter may be taken over.
fn may_have_lost(view: &View) -> bool {
    view.tip().level == Level::ZERO && view.tip().header.node_id != 0
}

impl Renewal {
    fn of(view: Option<View>) -> Renewal {
        view.map_or(Renewal::Stalled(StallReason::NoBase), |view| Renewal::View(view.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ltx::{self, Encoder, FileName, Form, Header};
    use crate::replica::testing::one_page::{file, name, of_two, written};
    use crate::replica::{CacheLimits, Replica};
    use crate::store::{Chunk, Memory, Store, Version};
    use async_trait::async_trait;
    use std::fmt;
    use std::ops::Range;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    /// A store that can return an outdated listing.
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

    /// Three stale listings in a row once replaced a view by an older one (seed 3434 of the simulation).
    #[tokio::test(start_paused = true)]
    async fn stale_listings_do_not_move_the_view_back_while_its_file_exists() {
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
            replica.poll(Duration::ZERO).await.expect("a poll");
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(txid(), Some(Txid(4)));
        }
    }

    /// Polls, and compares the TXID of the newest state and the bytes of which its pages consist.
    async fn follow_to(replica: &Arc<Replica>, txid: Txid, bytes: [u8; 2]) {
        replica.poll(Duration::ZERO).await.expect("a view");
        let view = replica.head().expect("a view");
        assert_eq!(view.txid(), txid);
        for (pgno, byte) in (1..).zip(bytes) {
            let page = replica.pages.page(&view, pgno).await.expect("a page").expect("a page of the view");
            assert_eq!(page[..], [byte; 512], "page {pgno}");
        }
    }

    /// A reader that was away as well has read the file of a suspended writer, which then ended before it withdrew the file.
    #[tokio::test(start_paused = true)]
    async fn no_page_of_a_file_that_lost_stays_when_compacted_files_follow() {
        for memory in [0, 1 << 20] {
            let store = Arc::new(Memory::new());
            let replica =
                Arc::new(Replica::new(store.clone(), CacheLimits { memory, disk: 0 }, Duration::from_secs(1)));
            store.insert(Level::ZERO, name(1), of_two(1, 1));
            replica.poll(Duration::ZERO).await.expect("a view");
            // The other writer's transaction 2 did not change page 2.
            let header = Header::parse(&written(2, 2, 2, 2, 1)).expect("a header");
            let mut lost = Encoder::new(Header { node_id: 1, ..header }, Form::Block);
            (1..=2).for_each(|pgno| lost.page(pgno, &[102; 512]));
            store.insert(Level::ZERO, name(2), lost.finish());
            replica.poll(Duration::ZERO).await.expect("a view");
            let compacted = FileName { min: Txid(1), max: Txid(2) };
            let header = Header::parse(&of_two(1, 2)[..Header::SIZE]).expect("a header");
            let mut encoder = Encoder::new(header, Form::Block);
            encoder.page(1, &[102; 512]);
            encoder.page(2, &[101; 512]);
            store.insert(Level::FIRST_COMPACTED, compacted, encoder.finish());
            store.insert(Level::FIRST_COMPACTED, FileName { min: Txid(3), max: Txid(4) }, of_two(3, 4));
            store.insert(Level::ZERO, name(4), of_two(4, 4));
            tokio::time::advance(Duration::from_secs(60)).await;
            follow_to(&replica, Txid(4), [104, 101]).await;
        }
    }

    /// A suspended writer has created the file of transaction 2, whose name was free again, after another one was compacted.
    #[tokio::test(start_paused = true)]
    async fn a_file_that_the_next_one_contradicts_is_not_part_of_the_state() {
        let after = |txid: u64, previous: &[u8], pages: &[(u32, u8)]| {
            let previous = ltx::verify(previous).expect("a correct file").trailer.file_checksum;
            let header = Header::parse(&of_two(txid, txid)).expect("a header");
            let header = Header { wal_offset: 32, wal_size: 0, wal_salt: [0, 0], node_id: 1, previous, ..header };
            let mut encoder = Encoder::new(header, Form::Block);
            pages.iter().for_each(|(pgno, byte)| encoder.page(*pgno, &[*byte; 512]));
            encoder.finish()
        };
        let first = of_two(1, 1);
        let second = after(2, &first, &[(1, 2), (2, 2)]);
        for (is_relisted, memory) in [(false, 0), (true, 0), (false, 1 << 20), (true, 1 << 20)] {
            let store = Arc::new(Memory::new());
            let limits = CacheLimits { memory, disk: 0 };
            let replica = Arc::new(Replica::new(store.clone(), limits, Duration::from_secs(1)));
            store.insert(Level::ZERO, name(1), first.clone());
            replica.poll(Duration::ZERO).await.expect("a view");
            store.insert(Level::ZERO, name(2), after(2, &first, &[(1, 9)]));
            store.insert(Level::ZERO, name(3), after(3, &second, &[(1, 3)]));
            let mut compacted = Encoder::new(Header::parse(&of_two(1, 2)).expect("a header"), Form::Block);
            (1..=2).for_each(|pgno| compacted.page(pgno, &[2; 512]));
            store.insert(Level::FIRST_COMPACTED, FileName { min: Txid(1), max: Txid(2) }, compacted.finish());
            if is_relisted {
                tokio::time::advance(Duration::from_secs(60)).await;
            }
            follow_to(&replica, Txid(3), [3, 2]).await;
        }
    }

    /// If every poll was late, each of them once led to a listing, and none requested the next file.
    #[tokio::test(start_paused = true)]
    async fn late_polls_request_the_next_file_too() {
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
            replica.follower.take_turn().await.expect("a poll");
        }
        assert_eq!(replica.head().map(|view| view.txid()), Some(Txid(4)));
    }
}
