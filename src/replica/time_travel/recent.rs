//! Views and search results that were used recently, so that moving back and forth makes no request.

use crate::lock::Mutex;
use crate::ltx::Txid;
use crate::replica::view::{Epoch, View};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

/// How many views are kept at most. Those of large snapshots count as nothing, because they have no page map, but what is
/// known of the indexes of their files takes memory too.
const MAX_KEPT: usize = 64;

/// How many search results are kept.
const MAX_FOUND: usize = 256;

/// The states that were used recently.
#[derive(Default)]
pub(super) struct RecentStates {
    /// All views that still exist: those in `kept`, and those that connections use.
    views: Mutex<HashMap<(Epoch, Txid), Weak<View>>>,
    /// The views that were used last, most recent first.
    kept: Mutex<VecDeque<Arc<View>>>,
    /// Times that were searched for, and the transactions found for them, most recent first.
    found: Mutex<VecDeque<(Epoch, i64, Txid)>>,
}

impl RecentStates {
    /// Returns the view of a transaction if it is in use or was used recently.
    pub(super) fn view(&self, epoch: Epoch, txid: Txid) -> Option<Arc<View>> {
        self.views.lock().get(&(epoch, txid))?.upgrade()
    }

    /// Keeps a view, and those that were used before it as long as all of them together take at most `max_bytes` and are at
    /// most [`MAX_KEPT`].
    pub(super) fn keep(&self, view: &Arc<View>, max_bytes: u64) {
        let mut kept = self.kept.lock();
        kept.retain(|other| !Arc::ptr_eq(other, view));
        kept.push_front(view.clone());
        let size = |view: &Arc<View>| view.map_bytes() + view.held();
        let mut total = 0;
        let fitting = kept.iter().take(MAX_KEPT).take_while(|view| {
            total += size(view);
            total <= max_bytes
        });
        let fitting = fitting.count().max(1);
        let evicted = kept.split_off(fitting);
        drop(kept);
        // Views are freed after the lock is released.
        drop(evicted);
        let mut views = self.views.lock();
        views.retain(|_, view| view.strong_count() > 0);
        views.insert((view.epoch(), view.txid()), Arc::downgrade(view));
    }

    /// Returns the transaction that an earlier search found for a time.
    pub(super) fn txid_at(&self, epoch: Epoch, ms: i64) -> Option<Txid> {
        self.found.lock().iter().find(|found| (found.0, found.1) == (epoch, ms)).map(|found| found.2)
    }

    /// Records the transaction that a search found for a time.
    pub(super) fn record_found(&self, epoch: Epoch, ms: i64, txid: Txid) {
        let mut found = self.found.lock();
        found.truncate(MAX_FOUND - 1);
        found.push_front((epoch, ms, txid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ltx::Level;
    use crate::replica::testing::one_page;
    use crate::replica::view::ViewBuilder;
    use crate::replica::view::epoch::Epochs;
    use crate::replica::{CacheLimits, Replica};
    use crate::store::Memory;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn only_the_last_views_are_kept_however_little_they_take() {
        let store = Arc::new(Memory::default());
        store.insert(Level::ZERO, one_page::name(1), one_page::file(1));
        let replica = Replica::new(store, CacheLimits { memory: 1 << 20, disk: 0 }, Duration::from_secs(1));
        replica.poll(Duration::ZERO).await.expect("a view");
        let head = replica.head().expect("a view");
        let (recent, epochs) = (RecentStates::default(), Epochs::default());
        let keep_another = || {
            let view = ViewBuilder::from(&head).finish(epochs.begin(), None).expect("every page");
            let epoch = view.epoch();
            recent.keep(&Arc::new(view), u64::MAX);
            epoch
        };
        let states: Vec<Epoch> = (0..MAX_KEPT + 2).map(|_| keep_another()).collect();
        let kept = states.iter().map(|epoch| recent.view(*epoch, head.txid()).is_some());
        let expected = [false; 2].into_iter().chain([true; MAX_KEPT]);
        assert!(kept.eq(expected));
        assert_eq!(recent.views.lock().len(), MAX_KEPT);
    }
}
