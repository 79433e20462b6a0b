//! Sets of page numbers.

/// A set of page numbers, one bit each.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::replica) struct PageSet {
    bits: Vec<u64>,
}

impl PageSet {
    /// Adds a page. Returns false if the set has it already.
    pub(in crate::replica) fn insert(&mut self, pgno: u32) -> bool {
        let word = pgno as usize / 64;
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        let before = self.bits[word];
        self.bits[word] |= 1 << (pgno % 64);
        self.bits[word] != before
    }

    pub(in crate::replica) fn contains(&self, pgno: u32) -> bool {
        self.bits.get(pgno as usize / 64).is_some_and(|word| word >> (pgno % 64) & 1 == 1)
    }

    /// Adds the pages of another set.
    pub(in crate::replica) fn merge(&mut self, other: &PageSet) {
        self.bits.resize(self.bits.len().max(other.bits.len()), 0);
        self.bits.iter_mut().zip(&other.bits).for_each(|(word, more)| *word |= more);
    }

    pub(in crate::replica) fn is_empty(&self) -> bool {
        self.bits.iter().all(|word| *word == 0)
    }
}

impl Extend<u32> for PageSet {
    fn extend<I: IntoIterator<Item = u32>>(&mut self, pages: I) {
        pages.into_iter().for_each(|pgno| _ = self.insert(pgno));
    }
}

impl FromIterator<u32> for PageSet {
    fn from_iter<I: IntoIterator<Item = u32>>(pages: I) -> PageSet {
        let mut set = PageSet::default();
        set.extend(pages);
        set
    }
}
