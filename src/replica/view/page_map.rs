//! The page map of a view: for each page, the bytes of the file that contain its version.
//!
//! A radix tree: a flat root, and two levels of nodes with 256 slots each. Views share nodes, which are copied on
//! write. Deriving a view that changes *k* pages copies at most *k* leaves and *k* branches, and the root, which has
//! one pointer per 65,536 pages. A page takes 12 bytes. A map is built once from the indexes of a chain and never
//! rebuilt.

use std::sync::Arc;

/// The position of a page's version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::replica) struct PageLocation {
    /// Index in the view's table of files.
    pub file: u32,
    /// Offset of the frame in the file, less than 2^44.
    pub offset: u64,
    /// Size of the frame in bytes, less than 2^20.
    pub size: u32,
}

/// A location in 12 bytes: the file, the low 32 bits of the offset, then its high 12 bits above the 20 bits of the
/// size.
#[derive(Clone, Copy)]
struct PackedLocation([u32; 3]);

/// The file of an empty slot.
const NO_FILE: u32 = u32::MAX;
const SIZE_BITS: u32 = 20;

impl PackedLocation {
    const EMPTY: PackedLocation = PackedLocation([NO_FILE, 0, 0]);

    /// Returns None if a field is out of range: no store accepts a file that large.
    fn pack(location: PageLocation) -> Option<PackedLocation> {
        let high = u32::try_from(location.offset >> 32).ok().filter(|high| *high < 1 << (32 - SIZE_BITS))?;
        let fits = location.file != NO_FILE && location.size < 1 << SIZE_BITS;
        fits.then_some(PackedLocation([location.file, location.offset as u32, high << SIZE_BITS | location.size]))
    }

    fn unpack(self) -> Option<PageLocation> {
        let PackedLocation([file, low, rest]) = self;
        let offset = u64::from(rest >> SIZE_BITS) << 32 | u64::from(low);
        (file != NO_FILE).then_some(PageLocation { file, offset, size: rest & ((1 << SIZE_BITS) - 1) })
    }
}

/// Slots per node.
const FAN: usize = 256;

#[derive(Clone)]
struct Leaf([PackedLocation; FAN]);

#[derive(Clone)]
struct Branch([Option<Arc<Leaf>>; FAN]);

/// Locations by page number, copied on write. Cloning copies only the root.
#[derive(Clone, Default)]
pub(in crate::replica) struct PageMap {
    root: Vec<Option<Arc<Branch>>>,
    len: u32,
}

/// Returns the positions of a page (numbered from 1) in the root, the branch and the leaf.
fn path(pgno: u32) -> (usize, usize, usize) {
    let position = pgno.wrapping_sub(1) as usize;
    (position / FAN / FAN, position / FAN % FAN, position % FAN)
}

impl PageMap {
    /// Returns how many pages have a location.
    pub(in crate::replica) fn len(&self) -> u32 {
        self.len
    }

    /// Returns the location of a page.
    pub(in crate::replica) fn get(&self, pgno: u32) -> Option<PageLocation> {
        let (root, branch, leaf) = path(pgno);
        self.root.get(root)?.as_ref()?.0[branch].as_ref()?.0[leaf].unpack()
    }

    /// Sets the location of a page and returns the previous one.
    pub(in crate::replica) fn set(
        &mut self,
        pgno: u32,
        location: PageLocation,
    ) -> Result<Option<PageLocation>, OutOfRange> {
        let packed = PackedLocation::pack(location).ok_or(OutOfRange)?;
        let before = std::mem::replace(self.slot_mut(pgno), packed).unpack();
        self.len += u32::from(before.is_none());
        Ok(before)
    }

    /// Returns the slot of a page. Copies the nodes that are shared, and creates those that are missing.
    fn slot_mut(&mut self, pgno: u32) -> &mut PackedLocation {
        let (root, branch, leaf) = path(pgno);
        if self.root.len() <= root {
            self.root.resize(root + 1, None);
        }
        let branches = self.root[root].get_or_insert_with(|| Arc::new(Branch([const { None }; FAN])));
        let leaves =
            Arc::make_mut(branches).0[branch].get_or_insert_with(|| Arc::new(Leaf([PackedLocation::EMPTY; FAN])));
        &mut Arc::make_mut(leaves).0[leaf]
    }

    /// Removes all pages above `commit` and passes the location of each to `dropped`.
    pub(in crate::replica) fn truncate(&mut self, commit: u32, mut dropped: impl FnMut(PageLocation)) {
        let end = (self.root.len() * FAN * FAN) as u64;
        let mut next = u64::from(commit) + 1;
        while let Some(pgno) = u32::try_from(next).ok().filter(|_| next <= end) {
            let (root, branch, leaf) = path(pgno);
            let has_leaf = self.root[root].as_ref().is_some_and(|branches| branches.0[branch].is_some());
            if !has_leaf {
                next += (FAN - leaf) as u64;
                continue;
            }
            if let Some(location) = std::mem::replace(self.slot_mut(pgno), PackedLocation::EMPTY).unpack() {
                self.len -= 1;
                dropped(location);
            }
            next += 1;
        }
        self.root.truncate((commit as usize).div_ceil(FAN * FAN));
    }
}

/// A file index, an offset or a size that is out of range. No real file has such an offset or size.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::replica) struct OutOfRange;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn location(file: u32) -> PageLocation {
        PageLocation { file, offset: u64::from(file) * 5_000_000_000, size: file + 7 }
    }

    #[test]
    fn the_largest_location_can_be_packed_and_larger_ones_are_refused() {
        let largest = PageLocation { file: u32::MAX - 1, offset: (1 << 44) - 1, size: (1 << 20) - 1 };
        assert_eq!(PackedLocation::pack(largest).and_then(PackedLocation::unpack), Some(largest));
        for larger in [
            PageLocation { file: u32::MAX, ..largest },
            PageLocation { offset: 1 << 44, ..largest },
            PageLocation { size: 1 << 20, ..largest },
        ] {
            assert_eq!(PageMap::default().set(1, larger), Err(OutOfRange), "{larger:?}");
        }
        assert_eq!(PageMap::default().get(1), None);
        assert_eq!(PageMap::default().get(0), None);
    }

    proptest! {
        /// A map and its older clones behave like ordered maps.
        #[test]
        fn it_is_a_persistent_map(steps in prop::collection::vec((prop::bool::weighted(0.8), 1u32..200_000, 0u32..800), 1..60)) {
            let mut map = PageMap::default();
            let mut model = BTreeMap::new();
            let mut history = Vec::new();
            for (set, pgno, file) in steps {
                history.push((map.clone(), model.clone()));
                if set {
                    prop_assert_eq!(map.set(pgno, location(file)), Ok(model.insert(pgno, location(file))));
                } else {
                    let mut dropped = Vec::new();
                    map.truncate(pgno, |location| dropped.push(location));
                    prop_assert_eq!(dropped, model.split_off(&(pgno + 1)).into_values().collect::<Vec<_>>());
                }
            }
            history.push((map, model));
            for (map, model) in history {
                prop_assert_eq!(map.len() as usize, model.len());
                for (pgno, location) in &model {
                    prop_assert_eq!(map.get(*pgno), Some(*location));
                    prop_assert_eq!(map.get(pgno + 1), model.get(&(pgno + 1)).copied());
                }
            }
        }
    }
}
