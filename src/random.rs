//! Random numbers.

use ring::rand::{SecureRandom, SystemRandom};
use std::hash::{BuildHasher, Hasher, RandomState};

/// Returns a random number, for names and pauses. It must not be used for secrets.
///
/// It comes from the system: a generator in memory would give the children of a fork the same numbers, and two writers with one number would
/// take each other's files for their own.
pub(crate) fn number() -> u64 {
    let mut bytes = [0; 8];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => {
            let mut hasher = RandomState::new().build_hasher();
            hasher.write_u32(std::process::id());
            hasher.finish()
        }
    }
}

/// Returns a random number from 0 to 1, for pauses.
pub(crate) fn fraction() -> f64 {
    number() as f64 / u64::MAX as f64
}
