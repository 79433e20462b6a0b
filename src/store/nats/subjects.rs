//! A set of subjects.

use super::bucket::check_subjects;
use super::error::NatsError;
use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// Metadata subjects, as hashes: of a bucket in which Litestream has deleted millions of objects, the subjects themselves would take a
/// gigabyte. The hashes are random for each set, so no server can choose subjects that have the same one.
#[derive(Default)]
pub(super) struct SubjectSet {
    hashes: HashSet<u64>,
    keys: RandomState,
}

impl SubjectSet {
    /// Adds a subject. Fails if there are more than any bucket should have.
    pub fn insert(&mut self, subject: &str) -> Result<(), NatsError> {
        self.hashes.insert(self.keys.hash_one(subject));
        check_subjects(self.hashes.len())
    }

    /// Removes a subject. Returns whether it was in the set.
    pub fn remove(&mut self, subject: &str) -> bool {
        self.hashes.remove(&self.keys.hash_one(subject))
    }

    pub fn contains(&self, subject: &str) -> bool {
        self.hashes.contains(&self.keys.hash_one(subject))
    }
}
