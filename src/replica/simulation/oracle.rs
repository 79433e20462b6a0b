//! What every state holds: all of them, kept whole.

use super::primary::PAGE_SIZE;
use crate::ltx::Txid;
use std::collections::BTreeMap;

/// A page's content, as a number from which its bytes are made.
pub(super) type Content = u64;

/// All states of all histories.
#[derive(Default)]
pub(super) struct Oracle {
    histories: Vec<BTreeMap<Txid, Vec<Content>>>,
}

impl Oracle {
    /// From now on transactions belong to another history.
    pub(super) fn begin(&mut self) {
        self.histories.push(BTreeMap::new());
    }

    /// From now on transactions belong to another history, which is the same as an earlier one up to a transaction.
    pub(super) fn branch(&mut self, history: usize, until: Txid) {
        let shared = self.histories[history].range(..=until).map(|(txid, state)| (*txid, state.clone())).collect();
        self.histories.push(shared);
    }

    /// The number of the history that transactions belong to now.
    pub(super) fn history(&self) -> usize {
        self.histories.len() - 1
    }

    pub(super) fn record(&mut self, txid: Txid, state: Vec<Content>) {
        self.histories.last_mut().expect("a history has begun").insert(txid, state);
    }

    /// The states after a transaction, with the number of their history: of the newest first.
    pub(super) fn states(&self, txid: Txid) -> impl Iterator<Item = (usize, &[Content])> {
        let histories = self.histories.iter().enumerate().rev();
        histories.filter_map(move |(number, states)| Some((number, states.get(&txid)?.as_slice())))
    }

    /// The history and the transaction that the primary stands at.
    pub(super) fn newest(&self) -> Option<(usize, Txid)> {
        let txid = *self.histories.last()?.keys().next_back()?;
        Some((self.histories.len() - 1, txid))
    }

    /// The bytes of a page: half of them hard to compress, so that frames differ in size. Most look like no page of a database.
    pub(super) fn page(content: Content) -> Vec<u8> {
        let noise = (0..PAGE_SIZE / 2).map(|i| (content.wrapping_mul(i as u64 | 1) >> 13) as u8);
        noise.chain(content.to_be_bytes().into_iter().cycle()).take(PAGE_SIZE).collect()
    }
}
