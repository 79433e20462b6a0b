//! Write transactions of an open replica file.
//!
//! SQLite writes a transaction as it does to a local file: it takes the lock RESERVED, writes pages (at the commit, or before if its cache is
//! full), and sends `SQLITE_FCNTL_SYNC` when the database file must be durable. This file collects the pages, and commits them then: if that
//! fails, SQLite rolls back.
//!
//! SQLite also sends `SQLITE_FCNTL_SYNC` after it has written the pages of before to roll back. So a transaction is committed only if it has a
//! new change counter: SQLite counts whenever it writes page 1 to commit. From the second transaction on under `locking_mode=EXCLUSIVE` it writes
//! page 1 only if that has changed, so without it the pages are compared. SQLite does not restore free pages that a transaction has used. But a
//! commit that uses one changes page 1.

use super::DbFile;
use super::page1::ROLLBACK;
use super::snapshot::Snapshot;
use crate::error::{Error, ErrorKind};
use crate::replica::header::{COUNTER, SCHEMA_COOKIE, VERSIONS};
use crate::replica::{Overlay, WriteLock};

/// A write transaction, or several under `locking_mode=EXCLUSIVE`.
#[derive(Debug)]
pub(super) struct WriteTransaction {
    lock: WriteLock,
    pub(super) overlay: Overlay,
    /// Whether SQLite has committed since it took the lock, and need not count the next transaction.
    has_committed: bool,
    /// Whether the state after that commit is not available as a view, so that nothing can be written after it.
    is_closed: bool,
}

impl DbFile {
    /// Whether the next transaction may write.
    pub(super) fn may_write(&self) -> bool {
        self.writes && !self.writes_disabled.get()
    }

    /// Allows or forbids transactions to write. Fails if the database was not opened for writing.
    pub(super) fn enable_writes(&self, enabled: bool) -> Result<(), Error> {
        if enabled && !self.writes {
            let text = "this database was opened for reading only";
            return Err(Error::new(ErrorKind::ReadOnly, text)
                .remedy("open it with write_enabled=1, or write to the primary database"));
        }
        self.writes_disabled.set(!enabled);
        Ok(())
    }

    /// Takes the right to write, if the transaction does not have it yet.
    pub fn reserve(&self) -> Result<(), Error> {
        if self.writing.borrow().is_some() {
            return Ok(());
        }
        if !self.may_write() {
            let text = "writing was switched off with PRAGMA litestream_write_enabled = 0";
            return Err(Error::new(ErrorKind::ReadOnly, text).remedy("switch it on again"));
        }
        let snapshot = self.snapshot()?;
        let check = self.passive_interrupt_check();
        let lock = self.connection.begin_write(snapshot.view(), &|| check.interrupted())?;
        let transaction =
            WriteTransaction { lock, overlay: snapshot.overlay(), has_committed: false, is_closed: false };
        self.writing.replace(Some(transaction));
        Ok(())
    }

    /// Ends a write transaction, but not the read transaction. What was not committed is dropped.
    pub fn end_write(&self) {
        let mut writing = self.writing.borrow_mut();
        match writing.as_mut() {
            // Statements that are still open read the state of the commit.
            Some(transaction) if transaction.is_closed => transaction.has_committed = false,
            _ => drop(writing.take()),
        }
    }

    /// Writes bytes at an offset.
    pub fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Error> {
        let snapshot = self.snapshot()?;
        let base = |pgno: u32, page: &mut [u8]| self.read_base(&snapshot, pgno, 0, page);
        self.with_transaction(|transaction| transaction.overlay.write(bytes, offset, &base))
    }

    /// Changes the size in bytes.
    pub fn truncate(&self, size: u64) -> Result<(), Error> {
        self.with_transaction(|transaction| {
            if !transaction.is_closed {
                transaction.overlay.truncate(size);
            }
            Ok(())
        })
    }

    fn with_transaction<T>(&self, run: impl FnOnce(&mut WriteTransaction) -> Result<T, Error>) -> Result<T, Error> {
        match self.writing.borrow_mut().as_mut() {
            Some(transaction) => run(transaction),
            None => Err(Error::internal("SQLite writes without a lock")),
        }
    }

    /// Commits what was written, if this is a commit and not the end of a rollback. Does nothing outside a write transaction.
    pub fn commit(&self) -> Result<(), Error> {
        let mut writing = self.writing.borrow_mut();
        let Some(transaction) = writing.as_mut() else { return Ok(()) };
        let snapshot = self.snapshot()?;
        let committed = self.try_commit(transaction, &snapshot);
        if committed.is_err() && !transaction.is_closed {
            // Without a journal SQLite does not write the old pages back, and with `locking_mode=EXCLUSIVE` it keeps the lock.
            transaction.overlay = snapshot.overlay();
        }
        committed
    }

    fn try_commit(&self, transaction: &mut WriteTransaction, snapshot: &Snapshot) -> Result<(), Error> {
        if !self.is_commit(transaction, snapshot)? {
            if !transaction.is_closed {
                transaction.overlay = snapshot.overlay();
            }
            return Ok(());
        }
        if transaction.is_closed {
            let text = "the state after the last commit could not be built, so nothing can be written after it";
            return Err(Error::new(ErrorKind::Conflict, text).remedy("run the transaction again"));
        }
        self.refuse_wal(&transaction.overlay, snapshot)?;
        if snapshot.spoiled_files() > self.began_spoiled.get() {
            let text = "wrong bytes of the replica were read since the transaction began, so it is not committed";
            return Err(Error::new(ErrorKind::Damaged, text)
                .remedy("run the transaction again, under PRAGMA locking_mode=NORMAL"));
        }
        let field = |at: usize, unchanged: u32| Ok::<_, Error>(transaction.field(at)?.unwrap_or(unchanged));
        let counter = field(COUNTER, self.shown.counter())?;
        let cookie = field(SCHEMA_COOKIE, self.shown.cookie())?;
        // A backup copies the versions of its source, which are not shown. With those of a WAL in its cache, SQLite would not read the file again.
        let is_cached_as_shown = transaction.bytes(VERSIONS)?.is_none_or(|versions| versions == ROLLBACK);
        transaction.overlay.began_with_cookie(self.shown.cookie());
        let view = self.connection.commit(&transaction.lock, snapshot.view().cloned(), &transaction.overlay);
        // SQLite keeps the lock under `locking_mode=EXCLUSIVE`, and so the state that the transaction began with.
        let view = view.map_err(|error| match transaction.has_committed && error.kind() == ErrorKind::Conflict {
            true => error.remedy("set PRAGMA locking_mode=NORMAL, read a row, and run the transaction again"),
            false => error,
        })?;
        transaction.has_committed = true;
        self.shown.has_committed(counter, cookie, view.as_deref().filter(|_| is_cached_as_shown));
        match view {
            Some(view) => {
                let snapshot = Snapshot::View(view);
                transaction.overlay = snapshot.overlay();
                self.pinned.replace(Some(snapshot));
            }
            // Until the lock is given back, reads see the state through the pages that were written.
            None => transaction.is_closed = true,
        }
        Ok(())
    }

    /// Whether SQLite commits a transaction, and has not rolled it back.
    fn is_commit(&self, transaction: &WriteTransaction, snapshot: &Snapshot) -> Result<bool, Error> {
        match transaction.field(COUNTER)? {
            Some(counter) if counter != self.shown.counter() => Ok(true),
            // Unless the overlay has the page 1 of the last commit, this is that of before.
            Some(_) if !transaction.is_closed => Ok(false),
            _ if !transaction.has_committed => Ok(false),
            _ => self.differs(&transaction.overlay, snapshot),
        }
    }

    /// Whether any page of an overlay that is in use differs from the state below it.
    fn differs(&self, overlay: &Overlay, snapshot: &Snapshot) -> Result<bool, Error> {
        if overlay.size() != snapshot.size() {
            return Ok(true);
        }
        let Some(view) = snapshot.view() else { return Ok(!overlay.is_empty(0)) };
        let mut free = None;
        let [mut now, mut before] = [(); 2].map(|()| vec![0; view.page_size() as usize]);
        for pgno in overlay.numbers() {
            overlay.read(pgno, 0, &mut now)?;
            self.read_base(snapshot, pgno, 0, &mut before)?;
            if now == before {
                continue;
            }
            if free.is_none() {
                // An interrupt may be why this is a rollback.
                free = Some(self.connection.free_pages(view, &|| false)?);
            }
            if !free.as_ref().is_some_and(|free| free.contains(pgno)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl WriteTransaction {
    /// Returns a field of page 1 that SQLite has written. None if it has not written page 1.
    fn field(&self, at: usize) -> Result<Option<u32>, Error> {
        Ok(self.bytes(at)?.map(u32::from_be_bytes))
    }

    /// Returns bytes of page 1 that SQLite has written. None if it has not written page 1.
    fn bytes<const LENGTH: usize>(&self, at: usize) -> Result<Option<[u8; LENGTH]>, Error> {
        let mut bytes = [0; LENGTH];
        Ok(self.overlay.read(1, at, &mut bytes)?.then_some(bytes))
    }
}
