//! The content of every state of the primary.

use crate::ltx::Txid;
use crate::replica::testing::simulation::pages::PageContent;
use std::collections::BTreeMap;

/// All states of all histories.
#[derive(Default)]
pub(in crate::replica) struct Oracle {
    histories: Vec<BTreeMap<Txid, OracleDatabase>>,
}

/// The database in one state.
#[derive(Clone)]
pub(in crate::replica) struct OracleDatabase {
    pub page_size: usize,
    pub pages: Vec<PageContent>,
}

impl Oracle {
    /// Begins a new history, to which later transactions belong.
    pub(in crate::replica) fn begin(&mut self) {
        self.histories.push(BTreeMap::new());
    }

    /// Begins a new history that is the same as an earlier one up to a transaction.
    pub(in crate::replica) fn branch(&mut self, history: usize, until: Txid) {
        let shared = self.histories[history].range(..=until).map(|(txid, state)| (*txid, state.clone())).collect();
        self.histories.push(shared);
    }

    /// Returns the number of the current history.
    pub(in crate::replica) fn history(&self) -> usize {
        self.histories.len() - 1
    }

    pub(in crate::replica) fn record(&mut self, txid: Txid, state: OracleDatabase) {
        self.histories.last_mut().expect("a history has begun").insert(txid, state);
    }

    /// Returns the states after a transaction in all histories, newest history first, with the number of the history.
    pub(in crate::replica) fn states(&self, txid: Txid) -> impl Iterator<Item = (usize, &OracleDatabase)> {
        let histories = self.histories.iter().enumerate().rev();
        histories.filter_map(move |(number, states)| Some((number, states.get(&txid)?)))
    }

    /// Returns the primary's current history and transaction.
    pub(in crate::replica) fn newest(&self) -> Option<(usize, Txid)> {
        let txid = *self.histories.last()?.keys().next_back()?;
        Some((self.histories.len() - 1, txid))
    }
}
