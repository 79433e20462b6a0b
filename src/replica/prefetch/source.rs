//! The view that a reader reads, and access to its pages.

use crate::replica::cache::Page;
use crate::replica::fetch::SpeculationToken;
use crate::replica::prefetch::shared::SharedPrefetch;
use crate::replica::view::View;
use std::sync::Arc;

/// The view that a reader reads, and what it shares with other readers of the replica.
#[derive(Clone, Copy)]
pub(in crate::replica) struct Source<'a> {
    pub shared: &'a Arc<SharedPrefetch>,
    pub view: &'a Arc<View>,
}

impl Source<'_> {
    /// Returns the length of a page's frame, which may be an estimate. None if the view does not have the page.
    pub(super) fn frame_size(&self, pgno: u32) -> Option<u32> {
        self.view.frame_size(pgno)
    }

    /// Returns a page that is in the cache, without counting as a use.
    pub(super) fn peek(&self, pgno: u32) -> Option<Page> {
        self.shared.fetcher.peek(self.view, pgno)
    }

    /// Returns true if a page is in the cache and has been read.
    pub(super) fn is_read(&self, pgno: u32) -> bool {
        self.peek(pgno).is_some_and(|page| !page.is_unread())
    }

    /// Returns true if the view has the page and reading it takes a request.
    pub(super) fn is_missing(&self, pgno: u32) -> bool {
        self.shared.fetcher.is_missing(self.view, pgno)
    }

    /// Returns true if a page that is not in the cache was requested and may still be received.
    pub(super) fn may_be_requested(&self, pgno: u32) -> bool {
        self.shared.fetcher.is_saturated() || self.shared.fetcher.is_in_flight(self.view, pgno)
    }

    /// Returns how many bytes the store transfers during one round trip.
    pub(super) fn round_trip_bytes(&self) -> u64 {
        self.shared.fetcher.round_trip_bytes()
    }

    /// Returns the maximum number of bytes that are fetched together with a page that the reader waits for.
    pub(super) fn neighbour_bytes(&self) -> u64 {
        self.shared.fetcher.neighbour_bytes(self.view.page_size())
    }

    /// Returns how many more pages may be requested speculatively.
    pub(super) fn speculative_room(&self) -> u64 {
        self.shared.fetcher.speculative_room(self.view.page_size())
    }

    /// Requests pages speculatively, in approximately the given order, while `token` is held. Does not wait.
    pub(super) fn speculate(&self, pages: &[u32], token: &SpeculationToken) {
        self.shared.fetcher.speculate(self.view, pages, token, &self.shared.free_list());
    }
}
