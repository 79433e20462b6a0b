//! What every state holds: all of them, kept whole.

use super::primary::PAGE_SIZE;
use crate::ltx::Txid;
use std::collections::BTreeMap;

/// A page's content, as a number from which its bytes are made.
pub(super) type Content = u64;

#[derive(Default)]
pub(super) struct Oracle {
    states: BTreeMap<Txid, Vec<Content>>,
}

impl Oracle {
    pub(super) fn record(&mut self, txid: Txid, state: Vec<Content>) {
        self.states.insert(txid, state);
    }

    /// The pages of a state, from page 1 on.
    pub(super) fn state(&self, txid: Txid) -> &[Content] {
        self.states.get(&txid).unwrap_or_else(|| panic!("TXID {txid} is no state of the primary"))
    }

    pub(super) fn newest(&self) -> Option<Txid> {
        self.states.keys().next_back().copied()
    }

    /// The bytes of a page: half of them hard to compress, so that frames differ in size.
    pub(super) fn page(content: Content) -> Vec<u8> {
        let noise = (0..PAGE_SIZE / 2).map(|i| (content.wrapping_mul(i as u64 | 1) >> 13) as u8);
        noise.chain(content.to_be_bytes().into_iter().cycle()).take(PAGE_SIZE).collect()
    }
}
