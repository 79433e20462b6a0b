//! What every state holds: all of them, kept whole.

use crate::ltx::Txid;
use crate::replica::testing::simulation::pages::PageContent;
use std::collections::BTreeMap;

/// All states of all histories.
#[derive(Default)]
pub(in crate::replica) struct Oracle {
    histories: Vec<BTreeMap<Txid, OracleDatabase>>,
}

/// A database at one moment.
#[derive(Clone)]
pub(in crate::replica) struct OracleDatabase {
    pub page_size: usize,
    pub pages: Vec<PageContent>,
}

impl Oracle {
    /// From now on transactions belong to another history.
    pub(in crate::replica) fn begin(&mut self) {
        self.histories.push(BTreeMap::new());
    }

    /// From now on transactions belong to another history, which is the same as an earlier one up to a transaction.
    pub(in crate::replica) fn branch(&mut self, history: usize, until: Txid) {
        let shared = self.histories[history].range(..=until).map(|(txid, state)| (*txid, state.clone())).collect();
        self.histories.push(shared);
    }

    /// The number of the history that transactions belong to now.
    pub(in crate::replica) fn history(&self) -> usize {
        self.histories.len() - 1
    }

    pub(in crate::replica) fn record(&mut self, txid: Txid, state: OracleDatabase) {
        self.histories.last_mut().expect("a history has begun").insert(txid, state);
    }

    /// The states after a transaction, with the number of their history: of the newest first.
    pub(in crate::replica) fn states(&self, txid: Txid) -> impl Iterator<Item = (usize, &OracleDatabase)> {
        let histories = self.histories.iter().enumerate().rev();
        histories.filter_map(move |(number, states)| Some((number, states.get(&txid)?)))
    }

    /// The history and the transaction that the primary stands at.
    pub(in crate::replica) fn newest(&self) -> Option<(usize, Txid)> {
        let txid = *self.histories.last()?.keys().next_back()?;
        Some((self.histories.len() - 1, txid))
    }
}
