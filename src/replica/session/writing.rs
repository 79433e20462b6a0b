//! Writing through a connection.

use crate::error::{Error, ErrorKind};
use crate::ltx::Txid;
use crate::replica::dbformat::freelist::FreeList;
use crate::replica::session::connection::Connection;
use crate::replica::session::shared::FLUSH_LIMIT;
use crate::replica::session::wait::{Interrupted, SLACK, wait_at_most};
use crate::replica::write::{Overlay, WriteLock};
use crate::replica::{Page, View};
use crate::runtime;
use std::path::PathBuf;
use std::sync::Arc;

impl Connection {
    /// Begins a transaction that writes after the state `base`; None if the replica is empty.
    ///
    /// Fails with [`ErrorKind::Busy`] if another connection of the process is writing, with [`ErrorKind::Conflict`] if `base` is not the
    /// newest state, and with [`ErrorKind::ReadOnly`] if nothing may be written. If Litestream has written `base` and the settings ask for a
    /// takeover, it is made, and the transaction has to be run again after it.
    pub fn begin_write(&self, base: Option<&Arc<View>>, interrupted: Interrupted<'_>) -> Result<WriteLock, Error> {
        if let Some(base) = base
            && self.settings().write_takeover
            && !self.is_fixed()
            && !self.is_ours(base, interrupted)?
        {
            self.take_over(interrupted)?;
            return Err(self.handle(interrupted)?.replica().writer.outdated());
        }
        self.begin(base, false, interrupted)
    }

    fn begin(
        &self,
        base: Option<&Arc<View>>,
        is_takeover: bool,
        interrupted: Interrupted<'_>,
    ) -> Result<WriteLock, Error> {
        if self.is_fixed() {
            let text = "this connection reads a fixed state, which cannot be written";
            return Err(Error::new(ErrorKind::ReadOnly, text)
                .remedy("return to the newest state with litestream_set_time('LATEST')"));
        }
        let lock = self.handle(interrupted)?.replica().writer.lock()?;
        let base = base.cloned();
        self.run(interrupted, async move |replica| replica.writer.prepare(base.as_deref(), is_takeover).await)?;
        Ok(lock)
    }

    /// Commits the pages of a transaction that holds `lock` and began with `base`. Returns the view of its state, which every connection of
    /// the process reads from now on; None if only the next poll can build it.
    ///
    /// Blocks until the store has confirmed the transaction, or until it is durable in the journal. No new try begins after 30 s, but a try may
    /// take as long as its bytes need. Cannot be interrupted. Fails with [`ErrorKind::Conflict`] if another writer was first; then nothing is in
    /// the replica. Fails with [`ErrorKind::Unconfirmed`] if that is unknown, and with [`ErrorKind::ReadOnly`] in the child of a fork if the
    /// transaction is its parent's.
    pub fn commit(
        &self,
        lock: &WriteLock,
        base: Option<Arc<View>>,
        overlay: &Overlay,
    ) -> Result<Option<Arc<View>>, Error> {
        lock.check_process()?;
        let replica = self.handle(&|| false)?.replica().clone();
        let page_1 = base.as_ref().map(|base| self.first_page(base)).transpose()?;
        if let Some(journal) = replica.writer.journal().filter(|journal| journal.takes_commits()) {
            return replica.writer.commit_to_journal(&journal, base.as_deref(), page_1.as_deref(), overlay).map(Some);
        }
        let file = replica.writer.file(base.as_deref(), page_1.as_deref(), overlay)?;
        runtime::wait(async move { replica.writer.put(base.as_ref(), file).await }, &|| false)
    }

    /// Begins to write after a transaction of Litestream, by a transaction that changes nothing: so a daemon that is still running is found
    /// by its next transaction, before data is written. Does nothing if the newest transaction was written by this library, or if the
    /// connection reads a fixed state.
    pub fn take_over(&self, interrupted: Interrupted<'_>) -> Result<(), Error> {
        if self.is_fixed() {
            return Ok(());
        }
        let view = match self.view(interrupted) {
            Err(error) if error.kind() == ErrorKind::Empty => return Ok(()),
            view => view?,
        };
        if self.is_ours(&view, interrupted)? {
            return Ok(());
        }
        let lock = match self.begin(Some(&view), true, interrupted) {
            // Another connection of the process is writing, or another process has just begun.
            Err(error) if [ErrorKind::Busy, ErrorKind::Conflict].contains(&error.kind()) => return Ok(()),
            lock => lock?,
        };
        let replica = self.handle(interrupted)?.replica().clone();
        let file = replica.writer.unchanged_file(&view, &self.first_page(&view)?)?;
        runtime::wait(async move { replica.writer.put(Some(&view), file).await }, &|| false)?;
        drop(lock);
        Ok(())
    }

    /// Whether this library has written the newest transaction of a state.
    fn is_ours(&self, view: &Arc<View>, interrupted: Interrupted<'_>) -> Result<bool, Error> {
        let view = view.clone();
        self.run(interrupted, async move |replica| replica.writer.is_ours(&view).await)
    }

    /// Waits until the transactions of the process are in the replica. Returns the TXID of the newest state there; None if there is none.
    ///
    /// Fails after 30 s; then they stay in the journal.
    pub fn flush(&self, interrupted: Interrupted<'_>) -> Result<Option<Txid>, Error> {
        let replica = self.handle(interrupted)?.replica().clone();
        let job = async move {
            if let Some(journal) = replica.writer.journal() {
                replica.writer.flush(&journal, FLUSH_LIMIT).await?;
            }
            Ok(replica.head.view().map(|view| view.txid()))
        };
        wait_at_most(FLUSH_LIMIT + SLACK, job, interrupted)
    }

    /// Gives up the transactions of a journal that cannot be uploaded. Returns the new names of its files.
    pub fn discard_journal(&self) -> Result<Vec<PathBuf>, Error> {
        let replica = self.handle(&|| false)?.replica();
        match replica.writer.journal() {
            Some(journal) => replica.writer.discard(&journal),
            None => Err(Error::new(ErrorKind::Config, "this database was not opened with a journal")
                .remedy("open it with write_enabled=1 and the buffer_path of the journal")),
        }
    }

    /// Returns the free pages of a state, as far as their list is not longer than a million.
    pub fn free_pages(&self, view: &Arc<View>, interrupted: Interrupted<'_>) -> Result<FreeList, Error> {
        let mut free = FreeList::of(&self.first_page(view)?, view.commit());
        while let Some(trunk) = free.next_trunk() {
            let Some(page) = self.page(view, trunk, interrupted)? else { break };
            free.take(&page);
        }
        Ok(free)
    }

    fn first_page(&self, view: &Arc<View>) -> Result<Page, Error> {
        self.page(view, 1, &|| false)?.ok_or_else(|| Error::internal("a database has no page 1"))
    }
}
