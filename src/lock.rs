//! Locks that work in a forked child.
//!
//! `parking_lot` has one table of waiting threads per process. A child inherits the table with the threads of its parent, which do not
//! exist in the child and whose memory is reused by the child's own threads: the first thread that waits follows dangling pointers. The
//! locks of the standard library have no state outside themselves.
//!
//! In models (`cfg(shuttle)`), they are those of a scheduler that tries many orders of the threads.
//!
//! Unlike those of the standard library, these locks are never poisoned. No value is changed in several steps under a lock, so it is
//! consistent after a panic too, and the panic itself is reported where it is caught.

#[cfg(shuttle)]
use shuttle::sync as platform;
use std::fmt;
#[cfg(not(shuttle))]
use std::sync as platform;
use std::sync::{PoisonError, TryLockError};

pub(crate) use platform::MutexGuard;
use platform::{RwLockReadGuard, RwLockWriteGuard};

/// A mutual exclusion lock.
#[derive(Default)]
pub(crate) struct Mutex<T>(platform::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Mutex<T> {
        Mutex(platform::Mutex::new(value))
    }

    /// Acquires the lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Acquires the lock if nobody has it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// A lock for many readers or one writer.
#[derive(Default)]
pub(crate) struct RwLock<T>(platform::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) const fn new(value: T) -> RwLock<T> {
        RwLock(platform::RwLock::new(value))
    }

    /// Acquires the lock for reading.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Acquires the lock for writing.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_panic_does_not_poison_the_locks() {
        let (mutex, lock) = (Mutex::new(1), RwLock::new(1));
        let panic_under_locks = || {
            let (mut one, mut other) = (mutex.lock(), lock.write());
            (*one, *other) = (2, 2);
            panic!("on purpose");
        };
        assert!(catch_unwind(AssertUnwindSafe(panic_under_locks)).is_err());
        assert_eq!((*mutex.lock(), *lock.read()), (2, 2));
        assert_eq!(mutex.try_lock().map(|value| *value), Some(2));
        assert_eq!(*lock.write(), 2);
    }
}
