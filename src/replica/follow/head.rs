//! The newest view of a replica.

use crate::lock::{Mutex, RwLock};
use crate::ltx::Txid;
use crate::replica::cache::CacheLimits;
use crate::replica::fetch::Fetcher;
use crate::replica::view::View;
use crate::time::Stamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The newest view, and how the memory of the replica is divided between it and the page cache.
pub(in crate::replica) struct Head {
    state: RwLock<HeadState>,
    newest: watch::Sender<Txid>,
    limits: Mutex<CacheLimits>,
    fetcher: Arc<Fetcher>,
}

#[derive(Default)]
struct HeadState {
    view: Option<Arc<View>>,
    /// The newest state of this process, if its last transactions are only in its journal.
    journalled: Option<Arc<View>>,
    /// When the replica last confirmed that the view is the newest.
    confirmed: Option<Stamp>,
    /// When there was a first view.
    since: Option<Stamp>,
}

impl Head {
    pub(in crate::replica) fn new(fetcher: Arc<Fetcher>, limits: CacheLimits) -> Head {
        Head { state: RwLock::default(), newest: watch::Sender::new(Txid(0)), limits: Mutex::new(limits), fetcher }
    }

    /// The newest view; None before the first.
    pub(in crate::replica) fn view(&self) -> Option<Arc<View>> {
        self.state.read().view.clone()
    }

    /// The view that transactions which start now read: the newest, or that of this process's own newest transaction.
    pub(in crate::replica) fn served(&self) -> Option<Arc<View>> {
        let state = self.state.read();
        state.journalled.as_ref().or(state.view.as_ref()).cloned()
    }

    /// Serves a state that is only in the journal, or the newest view again. Returns the state that was served instead of it.
    pub(in crate::replica) fn serve_journalled(&self, view: Option<Arc<View>>) -> Option<Arc<View>> {
        std::mem::replace(&mut self.state.write().journalled, view)
    }

    /// Time since the replica last confirmed the newest view, or since the first view if it never has.
    pub(in crate::replica) fn lag(&self) -> Option<Duration> {
        let state = self.state.read();
        state.confirmed.or(state.since).map(Stamp::age)
    }

    /// When the replica last confirmed the newest view.
    pub(in crate::replica) fn confirmed(&self) -> Option<Stamp> {
        self.state.read().confirmed
    }

    /// Records that the newest view was the newest state at that time.
    pub(in crate::replica) fn confirm(&self, at: Stamp) {
        let mut state = self.state.write();
        // The writer and the follower confirm at the same time.
        state.confirmed = state.confirmed.max(Some(at));
    }

    /// Makes a view the newest, if `before` still is that; None if there was none. Transactions that start from now on read it. Returns the
    /// newest view: another one if the writer or the follower has published it since.
    pub(in crate::replica) fn publish(&self, before: Option<&Arc<View>>, view: impl Into<Arc<View>>) -> Arc<View> {
        let view = view.into();
        match self.replace(before, view.clone(), |_| {}) {
            Some(newest) => newest,
            None => view,
        }
    }

    /// As [`Head::publish`], and serves `journalled` at the same time. Returns whether `before` still was the newest view.
    pub(in crate::replica) fn publish_uploaded(
        &self,
        before: Option<&Arc<View>>,
        view: Arc<View>,
        journalled: Option<Arc<View>>,
    ) -> bool {
        self.replace(before, view, |state| state.journalled = journalled).is_none()
    }

    /// Makes a view the newest, if `before` still is that. Otherwise returns the newest.
    fn replace(
        &self,
        before: Option<&Arc<View>>,
        view: Arc<View>,
        also: impl FnOnce(&mut HeadState),
    ) -> Option<Arc<View>> {
        let mut state = self.state.write();
        if let Some(newest) = &state.view
            && before.is_none_or(|before| !Arc::ptr_eq(before, newest))
        {
            return Some(newest.clone());
        }
        state.view = Some(view.clone());
        state.since.get_or_insert_with(Stamp::now);
        also(&mut state);
        // Under the lock: of two publications, the later one is announced last.
        self.newest.send_replace(view.txid());
        drop(state);
        tracing::debug!(txid = %view.txid(), pages = view.commit(), "new view");
        self.share_memory(&self.limits.lock());
        None
    }

    /// The TXID of the newest view as it changes; 0 before the first.
    pub(in crate::replica) fn subscribe(&self) -> watch::Receiver<Txid> {
        self.newest.subscribe()
    }

    /// The limits of what is kept: in memory pages and files, on disk pages.
    pub(in crate::replica) fn limits(&self) -> CacheLimits {
        *self.limits.lock()
    }

    /// Sets those limits.
    pub(in crate::replica) fn set_limits(&self, limits: CacheLimits) {
        let mut current = self.limits.lock();
        *current = limits;
        self.share_memory(&current);
    }

    /// Returns how many bytes of what these limits are for there are.
    pub(in crate::replica) fn held(&self) -> CacheLimits {
        let CacheLimits { memory, disk } = self.fetcher.cache().held();
        CacheLimits { memory: memory + self.view().map_or(0, |view| view.held()), disk }
    }

    /// Gives the page cache the memory that the files of the newest view leave, and at least half of the limit: a view
    /// that holds more is planned again soon. The caller holds the lock of the limits, so that the newest view counts last.
    fn share_memory(&self, &CacheLimits { memory, disk }: &CacheLimits) {
        let held = self.view().map_or(0, |view| view.held());
        self.fetcher.cache().resize(CacheLimits { memory: memory.saturating_sub(held).max(memory / 2), disk });
    }
}
