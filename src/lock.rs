//! Locks that a fork leaves alone.
//!
//! `parking_lot`'s are faster by a little, but every thread that waits for one, or for anything else that is built on it,
//! stands in one table of the process. In the child of a fork those threads are gone, the memory that the table refers to
//! is used for something else, and whoever walks it next crashes. The standard library's locks are nothing but their own
//! memory, and a child touches none that its parent had ([`crate::runtime`]).
//!
//! A panic under a lock does not poison it: what is kept under these stays right at every step.

use std::sync::{self, MutexGuard, PoisonError, RwLockReadGuard, RwLockWriteGuard};

/// Lets one at a time in.
#[derive(Default, Debug)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Mutex<T> {
        Mutex(sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets many readers in, or one writer.
#[derive(Default, Debug)]
pub(crate) struct RwLock<T>(sync::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) const fn new(value: T) -> RwLock<T> {
        RwLock(sync::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_panic_poisons_nothing() {
        let (mutex, lock) = (Mutex::new(1), RwLock::new(1));
        let under_both = || {
            let (mut one, mut other) = (mutex.lock(), lock.write());
            (*one, *other) = (2, 2);
            panic!("on purpose");
        };
        assert!(catch_unwind(AssertUnwindSafe(under_both)).is_err());
        assert_eq!((*mutex.lock(), *lock.read(), *lock.write()), (2, 2, 2));
    }
}
