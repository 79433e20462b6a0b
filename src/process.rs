//! Values that belong to one process, and the fork that makes another.
//!
//! A fork copies memory but no threads: in the child the runtime, every connection it made and every lock that another
//! thread held are dead. So nothing process-wide is reached but through [`PerProcess`], which builds a fresh value in
//! the child and leaves the inherited one untouched for ever (dropping it would join threads that do not exist).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many forks lie between the process that loaded us and this one.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Grows by one in the child of every fork, so that whoever holds something of the parent's notices.
#[inline]
pub(crate) fn generation() -> u64 {
    // Relaxed: it changes only while the process has a single thread, in the child's half of fork().
    GENERATION.load(Ordering::Relaxed)
}

/// To be called in the child of a fork, before it does anything else.
#[cfg(any(unix, test))]
pub(crate) fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// A value that every process builds for itself, at its first use.
///
/// A chain with one cell a generation. A process only ever touches its own generation's cell, so no cell is
/// inherited half-built, whatever the other threads of the parent were doing.
pub(crate) struct PerProcess<T> {
    born: u64,
    first: ProcessCell<T>,
}

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
    /// For statics.
    pub(crate) const fn new() -> PerProcess<T> {
        PerProcess { born: 0, first: ProcessCell::new() }
    }

    /// With this process's value already there.
    pub(crate) fn with(value: T) -> PerProcess<T> {
        PerProcess { born: generation(), first: ProcessCell { value: OnceLock::from(value), next: OnceLock::new() } }
    }

    fn cell(&self) -> &ProcessCell<T> {
        let mut cell = &self.first;
        for _ in self.born..generation() {
            cell = cell.next.get_or_init(|| Box::new(ProcessCell::new()));
        }
        cell
    }

    /// This process's value, if it was built.
    pub(crate) fn get(&self) -> Option<&T> {
        self.cell().value.get()
    }

    /// This process's value, built now if it is not there.
    pub(crate) fn get_or_init(&self, build: impl FnOnce() -> T) -> &T {
        self.cell().value.get_or_init(build)
    }

    /// This process's value, built now if it is not there; what `build` could not make is tried again next time.
    #[inline]
    pub(crate) fn get_or_try_init<E>(&self, build: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        let cell = self.cell();
        match cell.value.get() {
            Some(value) => Ok(value),
            None => {
                let value = build()?;
                Ok(cell.value.get_or_init(|| value))
            }
        }
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        // This process's value is the last of the chain; all before it are the parents' and must not be dropped.
        let mut cell = std::mem::replace(&mut self.first, ProcessCell::new());
        for _ in self.born..generation() {
            std::mem::forget(cell.value.take());
            match cell.next.take() {
                Some(next) => cell = *next,
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_child_of_a_fork_builds_its_own_value_and_keeps_the_inherited_one_alive() {
        let inherited = Arc::new("parent");
        let slot = PerProcess {
            born: generation(),
            first: ProcessCell { value: OnceLock::from(inherited.clone()), next: OnceLock::new() },
        };
        forked();
        assert_eq!(**slot.get_or_init(|| Arc::new("child")), "child");
        drop(slot);
        assert_eq!(Arc::strong_count(&inherited), 2, "the parent's value was dropped in the child");
    }
}
