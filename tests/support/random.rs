//! Pseudo-random numbers that are the same for the same seed.

/// A generator (xorshift).
pub struct Random(u64);

impl Random {
    /// Starts a sequence. Each seed from 1 on gives another.
    pub fn new(seed: u64) -> Random {
        Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed))
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % bound
    }

    /// Returns an index of a list of this length.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("an index")
    }

    pub fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.index(choices.len())]
    }

    /// Returns true once in `number` times.
    pub fn once_in(&mut self, number: u64) -> bool {
        self.below(number) == 0
    }

    /// Returns some different indexes of a list of this length, in random order.
    pub fn some(&mut self, count: usize, length: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..length).collect();
        (0..count.min(length)).map(|_| all.swap_remove(self.below(all.len() as u64) as usize)).collect()
    }
}
