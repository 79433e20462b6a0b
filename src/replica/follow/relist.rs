//! Plans the newest view from a listing of the whole replica.

#[cfg(test)]
mod tests;

use crate::error::Error;
use crate::ltx::{Level, Txid};
use crate::replica::files::load_error::LoadError;
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
        let resumed = match &published {
            None => self.resumed().await,
            Some(_) => {
                self.forget_resumed();
                None
            }
        };
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
        let chains = plan::newest(listed);
        let Some(planned) = chains.first() else { return Ok(Renewal::Stalled(StallReason::Empty)) };
        let end = planned.end();
        // A listing may be out of date, but a file that can be read exists.
        if end < view.txid() && (!believed || self.histories.witness_of(view).await? == WitnessState::Unchanged) {
            return Ok(Renewal::Stalled(StallReason::Behind));
        }
        let history =
            if end < view.txid() { HistoryMatch::Another } else { self.histories.compare(view, listed).await? };
        let outdated = self.outdated.swap(false, Ordering::Relaxed);
        let replan = outdated || self.is_scattered(view) && is_denser(planned, view);
        let renewal = self.renew_to(end, view, listed, history, replan).await;
        if outdated && renewal.is_err() {
            // The view still has the files that it should not be made of.
            self.set_outdated();
        }
        renewal
    }

    /// As [`Follower::renew`], for a listing whose newest file ends at `end` and whose `history` is known. An `outdated` view is built from
    /// other files.
    async fn renew_to(
        &self,
        end: Txid,
        view: &View,
        listed: &[Listed],
        history: HistoryMatch,
        outdated: bool,
    ) -> Result<Renewal, LoadError> {
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

/// Whether a chain has fewer files than those with pages of a view, or less to keep in memory. It has not if nothing compacts.
fn is_denser(planned: &plan::FileChain, view: &View) -> bool {
    let of_level_0 = planned.files.iter().filter(|file| file.level == Level::ZERO);
    planned.files.len() < view.files().count() || of_level_0.map(|file| file.size).sum::<u64>() < view.held()
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
