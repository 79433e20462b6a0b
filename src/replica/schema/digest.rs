//! Digests that identify the content of a schema.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

/// A hash of 128 bits with secret keys. Equal digests imply equal content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Digest(u64, u64);

/// The keys of one replica.
#[derive(Default)]
pub(super) struct Keys(RandomState, RandomState);

impl Keys {
    /// Returns the digest of a sequence of byte strings.
    pub(super) fn digest<'a>(&self, parts: impl Iterator<Item = &'a [u8]>) -> Digest {
        let (mut first, mut second) = (self.0.build_hasher(), self.1.build_hasher());
        for part in parts {
            // Hashing a slice includes its length, so that the boundaries between the parts count.
            part.hash(&mut first);
            part.hash(&mut second);
        }
        Digest(first.finish(), second.finish())
    }
}
