//! Pseudo-random numbers from a seed (SplitMix64).

#[derive(Debug)]
pub(in crate::replica) struct Random(u64);

impl Random {
    pub(in crate::replica) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(in crate::replica) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Returns a number below `bound`, or 0 if `bound` is 0.
    pub(in crate::replica) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(in crate::replica) fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    pub(in crate::replica) fn choose<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len() as u64) as usize)
    }

    /// Returns an independent generator, so that one part of a run does not change the numbers of another.
    pub(in crate::replica) fn fork(&mut self) -> Random {
        Random(self.next())
    }
}
