//! Random numbers.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Returns a random number, for names and pauses. It must not be used for secrets.
pub(crate) fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}
