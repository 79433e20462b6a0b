//! The page map of a view: for each page, the bytes of the file that contain its version.
//!
//! A radix tree: a flat root, and two levels of nodes with 256 slots each. Views share nodes, which are copied on
//! write. Deriving a view that changes *k* pages copies at most *k* leaves and *k* branches, and the root, which has
//! one pointer per 65,536 pages. A page takes 12 bytes. A map is built once from the indexes of a chain and never
//! rebuilt.
//!
//! The tree may lie over a *base*: one file that has every page. A page that is not in the tree is in the base, and where
//! it is in that file is in the index of the file.

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

/// The file that contains a page's version, and the position there if the map has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::replica) struct PagePlace {
    /// Index in the view's table of files.
    pub file: u32,
    /// Offset and size of the frame. None for a page of the base.
    pub frame: Option<(u64, u32)>,
}

/// A file that has every page up to `end` but the lock page.
#[derive(Clone, Copy, Debug)]
struct Base {
    file: u32,
    end: u32,
    lock_page: u32,
}

impl Base {
    fn has(&self, pgno: u32) -> bool {
        pgno > 0 && pgno <= self.end && pgno != self.lock_page
    }

    /// Returns how many pages of the file are above `commit`.
    fn count_above(&self, commit: u32) -> u32 {
        self.end.saturating_sub(commit) - u32::from(commit < self.lock_page && self.lock_page <= self.end)
    }
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
    base: Option<Base>,
    len: u32,
}

/// Returns the positions of a page (numbered from 1) in the root, the branch and the leaf.
fn path(pgno: u32) -> (usize, usize, usize) {
    let position = pgno.wrapping_sub(1) as usize;
    (position / FAN / FAN, position / FAN % FAN, position % FAN)
}

impl PageMap {
    /// Returns a map of the pages of a file that has every page up to `commit` but the lock page.
    pub(in crate::replica) fn of_base(file: u32, commit: u32, lock_page: u32) -> PageMap {
        let base = Base { file, end: commit, lock_page };
        PageMap { root: Vec::new(), base: Some(base), len: base.count_above(0) }
    }

    /// Returns how many pages have a location.
    pub(in crate::replica) fn len(&self) -> u32 {
        self.len
    }

    /// Returns where a page is.
    #[inline]
    pub(in crate::replica) fn get(&self, pgno: u32) -> Option<PagePlace> {
        match self.in_tree(pgno) {
            Some(PageLocation { file, offset, size }) => Some(PagePlace { file, frame: Some((offset, size)) }),
            None => self.in_base(pgno).map(|file| PagePlace { file, frame: None }),
        }
    }

    #[inline]
    fn in_tree(&self, pgno: u32) -> Option<PageLocation> {
        let (root, branch, leaf) = path(pgno);
        self.root.get(root)?.as_ref()?.0[branch].as_ref()?.0[leaf].unpack()
    }

    fn in_base(&self, pgno: u32) -> Option<u32> {
        self.base.filter(|base| base.has(pgno)).map(|base| base.file)
    }

    /// Returns the file of the base.
    pub(in crate::replica) fn base_file(&self) -> Option<u32> {
        self.base.map(|base| base.file)
    }

    /// Returns how many bytes of memory the tree takes.
    pub(in crate::replica) fn bytes(&self) -> u64 {
        let branches = self.root.iter().flatten();
        let bytes = branches.map(|branch| size_of::<Branch>() + branch.0.iter().flatten().count() * size_of::<Leaf>());
        bytes.sum::<usize>() as u64
    }

    /// Sets the location of a page and returns the file that it was in before.
    pub(in crate::replica) fn set(&mut self, pgno: u32, location: PageLocation) -> Result<Option<u32>, OutOfRange> {
        let packed = PackedLocation::pack(location).ok_or(OutOfRange)?;
        let before = std::mem::replace(self.slot_mut(pgno), packed).unpack();
        let before = before.map(|before| before.file).or_else(|| self.in_base(pgno));
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

    /// Removes all pages above `commit` and passes the file of each to `dropped`, with the number of pages.
    pub(in crate::replica) fn truncate(&mut self, commit: u32, mut dropped: impl FnMut(u32, u32)) {
        let base = self.base.filter(|base| base.end > commit);
        let mut only_in_base = base.map_or(0, |base| base.count_above(commit));
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
                only_in_base -= u32::from(base.is_some_and(|base| base.has(pgno)));
                dropped(location.file, 1);
            }
            next += 1;
        }
        if let Some(base) = base {
            self.len -= only_in_base;
            self.base = Some(Base { end: commit, ..base });
            if only_in_base > 0 {
                dropped(base.file, only_in_base);
            }
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

    fn place(file: u32) -> PagePlace {
        let PageLocation { file, offset, size } = location(file);
        PagePlace { file, frame: Some((offset, size)) }
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
        fn it_is_a_persistent_map(
            base in prop::option::of(1u32..1000),
            lock_page in 1u32..2000,
            steps in prop::collection::vec((prop::bool::weighted(0.8), prop_oneof![1u32..1200, 1u32..200_000], 0u32..800), 1..60),
        ) {
            let mut map = base.map_or_else(PageMap::default, |commit| PageMap::of_base(1000, commit, lock_page));
            let in_base = (1..=base.unwrap_or(0)).filter(|pgno| *pgno != lock_page);
            let mut model: BTreeMap<u32, PagePlace> = in_base.map(|pgno| (pgno, PagePlace { file: 1000, frame: None })).collect();
            let mut history = Vec::new();
            for (set, pgno, file) in steps {
                history.push((map.clone(), model.clone()));
                if set {
                    let before = model.insert(pgno, place(file)).map(|place| place.file);
                    prop_assert_eq!(map.set(pgno, location(file)), Ok(before));
                } else {
                    let mut dropped: BTreeMap<u32, u32> = BTreeMap::new();
                    map.truncate(pgno, |file, pages| *dropped.entry(file).or_default() += pages);
                    let mut expected: BTreeMap<u32, u32> = BTreeMap::new();
                    model.split_off(&(pgno + 1)).into_values().for_each(|place| *expected.entry(place.file).or_default() += 1);
                    dropped.retain(|_, pages| *pages > 0);
                    prop_assert_eq!(dropped, expected);
                }
            }
            history.push((map, model));
            for (map, model) in history {
                prop_assert_eq!(map.len() as usize, model.len());
                for (pgno, place) in &model {
                    prop_assert_eq!(map.get(*pgno), Some(*place));
                    prop_assert_eq!(map.get(pgno + 1), model.get(&(pgno + 1)).copied());
                }
            }
        }
    }
}
