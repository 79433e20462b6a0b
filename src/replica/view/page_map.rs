//! The page map of a view: for each page, the bytes of the file that hold its version.
//!
//! A radix tree of two levels under a flat root, 256 slots a node, shared between views and copied where one changes:
//! deriving a view that changes *k* pages copies at most *k* leaves and *k* branches, and a root of one pointer per
//! 65,536 pages. 12 bytes a page. Rebuilt never; built once from the indexes of a chain.

use std::sync::Arc;

/// Where a page's version lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::replica) struct PageLocation {
    /// Position in the view's table of files.
    pub file: u32,
    /// Offset of the frame in the file, below 2^44.
    pub offset: u64,
    /// Length of the frame, below 2^20.
    pub size: u32,
}

/// A slot in 12 bytes: file, then the low 32 bits of the offset, then its high 12 bits over 20 bits of size.
#[derive(Clone, Copy)]
struct Packed([u32; 3]);

const NO_FILE: u32 = u32::MAX;
const SIZE_BITS: u32 = 20;

impl Packed {
    const EMPTY: Packed = Packed([NO_FILE, 0, 0]);

    /// None if the slot cannot be written so: such a file would be larger than any store takes.
    fn pack(slot: PageLocation) -> Option<Packed> {
        let high = u32::try_from(slot.offset >> 32).ok().filter(|high| *high < 1 << (32 - SIZE_BITS))?;
        let fits = slot.file != NO_FILE && slot.size < 1 << SIZE_BITS;
        fits.then_some(Packed([slot.file, slot.offset as u32, high << SIZE_BITS | slot.size]))
    }

    fn unpack(self) -> Option<PageLocation> {
        let Packed([file, low, rest]) = self;
        let offset = u64::from(rest >> SIZE_BITS) << 32 | u64::from(low);
        (file != NO_FILE).then_some(PageLocation { file, offset, size: rest & ((1 << SIZE_BITS) - 1) })
    }
}

const FAN: usize = 256;

#[derive(Clone)]
struct Leaf([Packed; FAN]);

#[derive(Clone)]
struct Branch([Option<Arc<Leaf>>; FAN]);

/// Slots by page number, copied on write. Cloning costs the root.
#[derive(Clone, Default)]
pub(in crate::replica) struct PageMap {
    root: Vec<Option<Arc<Branch>>>,
    len: u32,
}

/// Root, branch and leaf position of a page (numbered from 1).
fn path(pgno: u32) -> (usize, usize, usize) {
    let position = pgno.wrapping_sub(1) as usize;
    (position / FAN / FAN, position / FAN % FAN, position % FAN)
}

impl PageMap {
    /// How many pages have a slot.
    pub(in crate::replica) fn len(&self) -> u32 {
        self.len
    }

    /// The slot of a page.
    pub(in crate::replica) fn get(&self, pgno: u32) -> Option<PageLocation> {
        let (root, branch, leaf) = path(pgno);
        self.root.get(root)?.as_ref()?.0[branch].as_ref()?.0[leaf].unpack()
    }

    /// Sets the slot of a page and answers the one it had.
    pub(in crate::replica) fn set(
        &mut self,
        pgno: u32,
        slot: PageLocation,
    ) -> Result<Option<PageLocation>, OutOfRange> {
        let packed = Packed::pack(slot).ok_or(OutOfRange)?;
        let before = std::mem::replace(self.entry(pgno), packed).unpack();
        self.len += u32::from(before.is_none());
        Ok(before)
    }

    fn entry(&mut self, pgno: u32) -> &mut Packed {
        let (root, branch, leaf) = path(pgno);
        if self.root.len() <= root {
            self.root.resize(root + 1, None);
        }
        let branches = self.root[root].get_or_insert_with(|| Arc::new(Branch([const { None }; FAN])));
        let leaves = Arc::make_mut(branches).0[branch].get_or_insert_with(|| Arc::new(Leaf([Packed::EMPTY; FAN])));
        &mut Arc::make_mut(leaves).0[leaf]
    }

    /// Forgets every page above `commit` and tells `dropped` what each had.
    pub(in crate::replica) fn truncate(&mut self, commit: u32, mut dropped: impl FnMut(PageLocation)) {
        let end = (self.root.len() * FAN * FAN) as u64;
        let mut next = u64::from(commit) + 1;
        while let Some(pgno) = u32::try_from(next).ok().filter(|_| next <= end) {
            let (root, branch, leaf) = path(pgno);
            let there = self.root[root].as_ref().is_some_and(|branches| branches.0[branch].is_some());
            if !there {
                next += (FAN - leaf) as u64;
                continue;
            }
            if let Some(slot) = std::mem::replace(self.entry(pgno), Packed::EMPTY).unpack() {
                self.len -= 1;
                dropped(slot);
            }
            next += 1;
        }
        self.root.truncate((commit as usize).div_ceil(FAN * FAN));
    }
}

/// An offset or a size that no real file has.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::replica) struct OutOfRange;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn slot(file: u32) -> PageLocation {
        PageLocation { file, offset: u64::from(file) * 5_000_000_000, size: file + 7 }
    }

    #[test]
    fn the_edges_of_a_slot_pack_and_what_lies_beyond_is_refused() {
        let edge = PageLocation { file: u32::MAX - 1, offset: (1 << 44) - 1, size: (1 << 20) - 1 };
        assert_eq!(Packed::pack(edge).and_then(Packed::unpack), Some(edge));
        for beyond in [
            PageLocation { file: u32::MAX, ..edge },
            PageLocation { offset: 1 << 44, ..edge },
            PageLocation { size: 1 << 20, ..edge },
        ] {
            assert_eq!(PageMap::default().set(1, beyond), Err(OutOfRange), "{beyond:?}");
        }
        assert_eq!(PageMap::default().get(1), None);
        assert_eq!(PageMap::default().get(0), None);
    }

    proptest! {
        /// A map and its older copies behave as ordered maps do.
        #[test]
        fn it_is_a_persistent_map(steps in prop::collection::vec((prop::bool::weighted(0.8), 1u32..200_000, 0u32..800), 1..60)) {
            let mut map = PageMap::default();
            let mut model = BTreeMap::new();
            let mut history = Vec::new();
            for (set, pgno, file) in steps {
                history.push((map.clone(), model.clone()));
                if set {
                    prop_assert_eq!(map.set(pgno, slot(file)), Ok(model.insert(pgno, slot(file))));
                } else {
                    let mut dropped = Vec::new();
                    map.truncate(pgno, |slot| dropped.push(slot));
                    prop_assert_eq!(dropped, model.split_off(&(pgno + 1)).into_values().collect::<Vec<_>>());
                }
            }
            history.push((map, model));
            for (map, model) in history {
                prop_assert_eq!(map.len() as usize, model.len());
                for (pgno, slot) in &model {
                    prop_assert_eq!(map.get(*pgno), Some(*slot));
                    prop_assert_eq!(map.get(pgno + 1), model.get(&(pgno + 1)).copied());
                }
            }
        }
    }
}
