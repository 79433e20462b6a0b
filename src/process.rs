//! Values that exist once per process, also after a fork.
//!
//! A fork copies memory but no threads. In the child, the runtime, its connections and every lock that another thread held are unusable.
//! Global state is therefore only accessed through [`PerProcess`], which builds a new value in the child and never touches or drops the
//! inherited one (dropping it would join threads that do not exist).

use crate::lock::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

/// The generation of the process that loaded this library.
const FIRST: u64 = 1;

static GENERATION: AtomicU64 = AtomicU64::new(FIRST);

/// Returns the generation of this process, which is one higher in the child of a fork. A value from another generation belongs to the
/// parent.
#[inline]
fn generation() -> u64 {
    // Relaxed: the value only changes in the child during fork(), when the process has a single thread.
    GENERATION.load(Ordering::Relaxed)
}

/// Returns whether this process is the child of one that had loaded this library before it forked.
pub(crate) fn is_child() -> bool {
    generation() > FIRST
}

/// Returns how many descriptors this process may have open.
pub(crate) fn descriptor_limit() -> u64 {
    #[cfg(unix)]
    return rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    #[cfg(not(unix))]
    u64::MAX
}

/// Increments the generation. Must be called in the child of a fork before anything else.
#[cfg(unix)]
pub(crate) fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// The process in which something was made. In the child of a fork, a copy of it shows that the thing is the parent's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maker(u64);

impl Maker {
    /// Returns this process.
    pub(crate) fn this() -> Maker {
        Maker(generation())
    }

    /// Returns the process of which this one would be the child.
    #[cfg(test)]
    pub(crate) fn parent() -> Maker {
        Maker(generation() - 1)
    }

    /// Returns whether it is this process.
    pub(crate) fn is_this(self) -> bool {
        self.0 == generation()
    }
}

/// A value that each process builds at its first use.
///
/// The value is stored in a linked list with one cell per generation. A process only accesses the cell of its own generation, so it never
/// sees a cell that another thread of the parent was initialising during the fork.
#[derive(Debug)]
pub(crate) struct PerProcess<T> {
    created_in: u64,
    first: ProcessCell<T>,
}

#[derive(Debug)]
struct ProcessCell<T> {
    value: OnceLock<T>,
    next: OnceLock<Box<ProcessCell<T>>>,
}

impl<T> ProcessCell<T> {
    const fn new() -> ProcessCell<T> {
        ProcessCell { value: OnceLock::new(), next: OnceLock::new() }
    }
}

impl<T> PerProcess<T> {
    /// Creates an empty value, for statics.
    pub(crate) const fn new() -> PerProcess<T> {
        PerProcess { created_in: FIRST, first: ProcessCell::new() }
    }

    /// Creates a value that this process already has.
    pub(crate) fn with(value: T) -> PerProcess<T> {
        PerProcess {
            created_in: generation(),
            first: ProcessCell { value: OnceLock::from(value), next: OnceLock::new() },
        }
    }

    /// Returns the cell of this process.
    fn cell(&self) -> &ProcessCell<T> {
        let mut cell = &self.first;
        for _ in self.created_in..generation() {
            cell = cell.next.get_or_init(|| Box::new(ProcessCell::new()));
        }
        cell
    }

    /// Returns the value of this process, if it was built.
    pub(crate) fn get(&self) -> Option<&T> {
        self.cell().value.get()
    }

    /// Returns the value of this process, and builds it if necessary.
    pub(crate) fn get_or_init(&self, build: impl FnOnce() -> T) -> &T {
        self.cell().value.get_or_init(build)
    }

    /// Returns the value of this process, and builds it if necessary. If `build` fails, the next call tries again.
    #[inline]
    pub(crate) fn get_or_try_init<E>(&self, build: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        get_or_try_init(&self.cell().value, build)
    }
}

impl<T: Default> Default for PerProcess<T> {
    fn default() -> PerProcess<T> {
        PerProcess::with(T::default())
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        // The value of this process is in the last cell. The others belong to its ancestors and must not be dropped.
        let mut cell = std::mem::replace(&mut self.first, ProcessCell::new());
        for _ in self.created_in..generation() {
            std::mem::forget(cell.value.take());
            match cell.next.take() {
                Some(next) => cell = *next,
                None => return,
            }
        }
    }
}

/// Returns the value of a cell, and builds it if necessary. If `build` fails, the next call tries again.
#[inline]
pub(crate) fn get_or_try_init<T, E>(cell: &OnceLock<T>, build: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
    match cell.get() {
        Some(value) => Ok(value),
        None => {
            let value = build()?;
            Ok(cell.get_or_init(|| value))
        }
    }
}

/// Values that all users of a key in this process share. A value is dropped with its last user.
pub(crate) struct SharedByKey<K, V>(PerProcess<Mutex<HashMap<K, Weak<V>>>>);

impl<K: Eq + Hash, V> SharedByKey<K, V> {
    /// Creates a collection without values, for statics.
    pub(crate) const fn new() -> SharedByKey<K, V> {
        SharedByKey(PerProcess::new())
    }

    /// Returns the value of `key`, and builds it if nobody has it. `build` must not wait: meanwhile, no other key can be looked up.
    pub(crate) fn get_or_try_init<E>(&self, key: K, build: impl FnOnce(&K) -> Result<V, E>) -> Result<Arc<V>, E> {
        let mut values = self.0.get_or_init(Mutex::default).lock();
        if let Some(value) = values.get(&key).and_then(Weak::upgrade) {
            return Ok(value);
        }
        let value = Arc::new(build(&key)?);
        values.retain(|_, value| value.strong_count() > 0);
        values.insert(key, Arc::downgrade(&value));
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shared_by_its_key_until_its_last_user_drops_it() {
        let values: SharedByKey<&str, String> = SharedByKey::new();
        let of = |key: &'static str| values.get_or_try_init(key, |key| Ok::<_, ()>(key.to_string())).expect("a value");
        let (one, other) = (of("one"), of("other"));
        assert!(Arc::ptr_eq(&one, &of("one")) && !Arc::ptr_eq(&one, &other));
        assert_eq!((one.as_str(), other.as_str()), ("one", "other"));
        drop(one);
        let failed = values.get_or_try_init("one", |_| Err("it fails")).expect_err("nobody has the value");
        assert_eq!(failed, "it fails");
        assert_eq!(*of("one"), "one");
    }

    #[test]
    fn the_child_of_a_fork_builds_its_own_value_and_never_drops_the_inherited_one() {
        let inherited = Arc::new("parent");
        let slot = PerProcess {
            created_in: generation() - 1,
            first: ProcessCell { value: OnceLock::from(inherited.clone()), next: OnceLock::new() },
        };
        assert_eq!(**slot.get_or_init(|| Arc::new("child")), "child");
        drop(slot);
        assert_eq!(Arc::strong_count(&inherited), 2, "the parent's value was dropped in the child");
    }
}
