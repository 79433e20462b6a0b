//! When to stop asking for single pages and fetch all there is: the old question of renting or buying skis.
//!
//! Each wait for a page of a table or an index is rent. What the rest of it costs is the time that its bytes take, and
//! bytes are counted as what a round trip is worth. Once the rents paid come to the price the rest is fetched, so
//! that it never takes more than twice as long as if one had known from the start. Random reads of a small table buy
//! it soon; those of one far larger than what they wait for never do, and pay for no guess.

use crate::replica::dbformat::btree::PageKind;
use std::collections::HashMap;

/// Stands for the database where page numbers stand for tables, indexes and parts of them.
pub(in crate::replica) const DATABASE: u32 = 0;

/// More are not remembered.
const MOST: usize = 4096;

/// Waits for pages, by the page that they lie below, and what may be spent.
#[derive(Default)]
pub(in crate::replica) struct WaitCosts {
    paid: HashMap<u32, Paid>,
    /// Bytes bought that later waits have not made up for.
    debt: u64,
}

/// The waits for pages below one.
#[derive(Clone, Copy, Default, Debug)]
pub(in crate::replica) struct Paid {
    /// All of them.
    pub waits: u32,
    /// Those for leaves: one each time a reader goes down.
    pub leaves: u32,
}

impl Paid {
    /// Whether a price is paid, in bytes, with waits worth so much each.
    pub(in crate::replica) fn suffices(self, price: u64, worth: u64) -> bool {
        price > 0 && price <= worth.saturating_mul(self.waits.into())
    }
}

impl WaitCosts {
    /// Notes one more wait below a page, and answers how many there were.
    pub(in crate::replica) fn pay(&mut self, below: u32, kind: PageKind) -> Paid {
        if self.paid.len() >= MOST {
            self.paid.clear();
        }
        let paid = self.paid.entry(below).or_default();
        paid.waits = paid.waits.saturating_add(1);
        paid.leaves = paid.leaves.saturating_add(u32::from(kind == PageKind::Leaf));
        *paid
    }

    /// As [`WaitCosts::pay`] for something that was not waited for yet. None if it was.
    pub(in crate::replica) fn begin(&mut self, below: u32) -> Option<Paid> {
        (!self.paid.contains_key(&below)).then(|| self.pay(below, PageKind::Interior))
    }

    /// Makes up for some of what was bought.
    pub(in crate::replica) fn redeem(&mut self, bytes: u64) {
        self.debt = self.debt.saturating_sub(bytes);
    }

    /// Buys what lies below pages, if no more than `most` was bought of late: what is bought over and over does not stay
    /// in the cache, and waiting is cheaper. What is lost of it costs rent anew.
    pub(in crate::replica) fn buy(&mut self, below: impl Iterator<Item = u32>, price: u64, most: u64) -> bool {
        let affordable = self.debt.saturating_add(price) <= most;
        if affordable {
            self.debt += price;
            below.for_each(|pgno| {
                self.paid.remove(&pgno);
            });
        }
        affordable
    }
}
