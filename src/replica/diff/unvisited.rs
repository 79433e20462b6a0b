//! The states that the search for the versions of a row has still to visit.

use crate::ltx::Txid;
use crate::replica::time_travel::ReachableState;

/// The states that have not been visited, in ascending order.
#[derive(Debug, Default)]
pub(super) struct UnvisitedStates {
    /// If there is a doubt, the last ones are skipped states.
    states: Vec<ReachableState>,
    doubt: Option<SchemaDoubt>,
}

/// States were skipped because no page of a row was written at them. They have the same row if they have the same schema:
/// otherwise the table may have been another one.
#[derive(Clone, Copy, Debug)]
struct SchemaDoubt {
    /// The first skipped state. The last one has the schema for sure.
    since: Txid,
    /// The schema cookie that they have to have.
    cookie: u32,
}

/// The places of the states at which a version of a row may begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct VersionSpan {
    /// The first state, if the schema has been the same since it.
    pub begin: usize,
    /// The first state that has the schema for sure.
    pub certain: usize,
}

impl UnvisitedStates {
    pub(super) fn new(states: Vec<ReachableState>) -> UnvisitedStates {
        UnvisitedStates { states, doubt: None }
    }

    /// Returns the transaction of the state to visit next.
    pub(super) fn next(&self) -> Option<Txid> {
        self.states[..self.unskipped()].last().map(|state| state.txid)
    }

    /// Returns the transaction of the last state, which may be a skipped one.
    pub(super) fn last(&self) -> Option<Txid> {
        self.states.last().map(|state| state.txid)
    }

    pub(super) fn get(&self, place: usize) -> Option<&ReachableState> {
        self.states.get(place)
    }

    /// Returns the skipped states.
    pub(super) fn skipped(&self) -> &[ReachableState] {
        &self.states[self.unskipped()..]
    }

    fn unskipped(&self) -> usize {
        self.doubt.map_or(self.states.len(), |doubt| self.place_of(doubt.since))
    }

    /// Returns the place of the first state at or after a transaction.
    fn place_of(&self, txid: Txid) -> usize {
        self.states.partition_point(|state| state.txid < txid)
    }

    /// Returns the schema cookie that the skipped states have to have, if it is not this one of the state before them.
    pub(super) fn doubted(&self, cookie: u32) -> Option<u32> {
        self.doubt.map(|doubt| doubt.cookie).filter(|expected| *expected != cookie)
    }

    /// Ends a doubt: of the skipped states only those from a place among them on have the schema, so those before it are
    /// to be visited.
    pub(super) fn settle(&mut self, first: usize) {
        self.states.truncate(self.unskipped() + first);
        self.doubt = None;
    }

    /// Returns where the version begins that was found in the last state. There must be no doubt.
    pub(super) fn span(&self, unchanged_since: Txid, schema_since: Txid) -> VersionSpan {
        let place = |txid| self.place_of(txid).min(self.states.len().saturating_sub(1));
        VersionSpan { begin: place(unchanged_since), certain: place(unchanged_since.max(schema_since)) }
    }

    /// Skips the states of a version. There is a doubt if it does not begin for sure.
    pub(super) fn skip(&mut self, span: VersionSpan, cookie: u32) {
        let first = self.states.get(span.begin).filter(|_| span.begin < span.certain);
        self.doubt = first.map(|first| SchemaDoubt { since: first.txid, cookie });
        self.states.truncate(if self.doubt.is_some() { span.certain + 1 } else { span.begin });
    }

    /// Drops the states that a new listing does not have. Returns whether there were any.
    pub(super) fn keep_listed(&mut self, mut listed: Vec<ReachableState>) -> bool {
        listed.retain(|state| self.states.binary_search_by_key(&state.txid, |known| known.txid).is_ok());
        // The last skipped state is needed as a bound, and not visited.
        if let (Some(_), Some(last)) = (self.doubt, self.states.last())
            && listed.last().is_none_or(|listed| listed.txid < last.txid)
        {
            listed.push(last.clone());
        }
        let has_dropped = listed.len() < self.states.len();
        self.states = listed;
        has_dropped
    }
}
