//! A replica of this process, which its readers share.

use crate::config::Settings;
use crate::error::Error;
use crate::lock::{Mutex, MutexGuard};
use crate::replica::Replica;
use crate::replica::cache::persistent::CacheDirectory;
use crate::replica::files::ltx_file::FetchSizes;
use crate::replica::follow::waiting::OpenTime;
use crate::replica::session::idle::Held;
use crate::replica::session::readers::{Readers, cache_limits};
use crate::replica::session::wait::{Interrupted, SLACK, wait_at_most};
use crate::replica::write::journal::{Journal, JournalSettings};
use crate::runtime;
use crate::store::{Location, Store};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::task::AbortHandle;

/// How long a flush waits, also that of the last connection that closes.
pub(super) const FLUSH_LIMIT: Duration = Duration::from_secs(30);

/// A replica and its readers.
#[derive(Default)]
pub(super) struct SharedReplica {
    /// None until a reader has connected to the store.
    replica: OnceLock<Arc<Replica>>,
    readers: Mutex<Readers>,
    /// Whoever has it connects, or changes whether there is a journal. That can wait for a disk, so nobody else waits for it without a limit.
    turn: Arc<tokio::sync::Mutex<Turn>>,
}

/// What only the owner of the turn changes.
#[derive(Default)]
pub(super) struct Turn {
    /// The task that uploads the journal, if readers write with one.
    uploading: Option<AbortHandle>,
}

/// What a reader wants of a replica that it has been added to.
pub(super) struct ReaderWishes {
    pub id: u64,
    /// If it writes, with which journal.
    pub writes: Option<Option<JournalSettings>>,
    /// How long it waits.
    pub limit: Duration,
}

impl ReaderWishes {
    pub(super) fn of(id: u64, location: &Location, settings: &Settings) -> ReaderWishes {
        let writes = settings.writes.then(|| JournalSettings::of(settings, location));
        ReaderWishes { id, writes, limit: OpenTime::from(settings.open_timeout).limit }
    }
}

impl SharedReplica {
    /// Returns the readers. Whoever has them waits for nothing.
    pub(super) fn readers(&self) -> MutexGuard<'_, Readers> {
        self.readers.lock()
    }

    /// Returns what the replica holds, which it keeps while it is idle. Waits for nothing.
    pub(super) fn held(&self) -> Held {
        let Some(replica) = self.replica.get() else { return Held::default() };
        let (cache, mut cached) = (replica.fetcher.cache(), replica.head.held());
        if cache.directory().is_some() {
            // It stays, within a limit of its own.
            cached.disk = 0;
        }
        let descriptors = cache.descriptors() + replica.files.store.descriptors();
        Held { cache: cached, limits: replica.head.limits(), descriptors }
    }

    /// Whether a reader connects, or did so when it gave up and has not come to an end yet. If the replica were removed then, the next reader
    /// would wait for the same disk with another thread.
    pub(super) fn is_busy(&self) -> bool {
        self.turn.try_lock().is_err()
    }

    /// Has the readers' settings apply from now on.
    pub(super) fn apply_settings(&self) {
        self.replica.get().into_iter().for_each(|replica| self.readers().apply_settings(replica));
    }

    /// Returns the replica for a reader, and has the reader write if it wants that. The first reader calls `connect`. Waits for it, and for the
    /// disk of a journal, no longer than the reader wants.
    pub(super) fn join(
        self: &Arc<Self>,
        wishes: ReaderWishes,
        connect: impl FnOnce() -> Result<Replica, Error> + Send + 'static,
        interrupted: Interrupted<'_>,
    ) -> Result<Arc<Replica>, Error> {
        if let Some(replica) = self.replica.get()
            && self.join_writers(&wishes)?
        {
            return Ok(replica.clone());
        }
        let (shared, limit) = (self.clone(), wishes.limit);
        let job = async move {
            let mut turn = shared.turn.clone().lock_owned().await;
            // The thread has the turn until its end, also if this job is given up. So one thread waits for a disk that hangs, not one for each
            // reader.
            runtime::on_own_thread(move || shared.take_turn(&mut turn, &wishes, connect)).await?
        };
        wait_at_most(limit, job, interrupted)
    }

    fn take_turn(
        &self,
        turn: &mut Turn,
        wishes: &ReaderWishes,
        connect: impl FnOnce() -> Result<Replica, Error>,
    ) -> Result<Arc<Replica>, Error> {
        let replica = match self.replica.get() {
            Some(replica) => replica,
            None => {
                let connected = Arc::new(connect()?);
                self.replica.get_or_init(|| connected)
            }
        };
        self.apply_settings();
        if let Some(journal) = &wishes.writes
            && !self.join_writers(wishes)?
        {
            // The replica is opened again.
            replica.writer.resume();
            turn.use_journal(replica, journal.as_ref())?;
            self.readers().set_writes(wishes.id, journal.as_ref());
            // The reader may have given up.
            self.end_unused_journal(turn)?;
        }
        Ok(replica.clone())
    }

    /// Has a reader write as others do, if it wants to write. Returns false if it would be the first one.
    fn join_writers(&self, wishes: &ReaderWishes) -> Result<bool, Error> {
        match &wishes.writes {
            Some(journal) => self.readers().join_writers(wishes.id, journal.as_ref()),
            None => Ok(true),
        }
    }

    /// Has a reader no longer count as one that writes. The last one waits until the journal is uploaded, and ends its use. Waits for a disk no
    /// longer than [`FLUSH_LIMIT`].
    pub(super) fn end_writing(self: &Arc<Self>, id: u64) {
        let was_last = self.readers().end_writing(id);
        let Some(replica) = self.replica.get().filter(|_| was_last) else { return };
        let Some(journal) = replica.writer.journal() else { return };
        let (writer, shared) = (replica.writer.clone(), self.clone());
        let flush = async move { writer.flush(&journal, FLUSH_LIMIT).await };
        let end = async move {
            let mut turn = shared.turn.clone().lock_owned().await;
            runtime::on_own_thread(move || shared.end_unused_journal(&mut turn)).await?
        };
        let flushed = wait_at_most(FLUSH_LIMIT + SLACK, flush, &|| false);
        let ended = wait_at_most(FLUSH_LIMIT, end, &|| false);
        for error in [flushed, ended].into_iter().filter_map(Result::err) {
            tracing::warn!("the last connection that writes is closed: {error}");
        }
    }

    /// Ends the use of the journal, if no reader writes.
    fn end_unused_journal(&self, turn: &mut Turn) -> Result<(), Error> {
        match self.replica.get() {
            Some(replica) if !self.readers().have_writers() => turn.use_journal(replica, None),
            _ => Ok(()),
        }
    }
}

impl Turn {
    /// Has a replica be written with a journal, or with none, instead of the one before.
    fn use_journal(&mut self, replica: &Replica, settings: Option<&JournalSettings>) -> Result<(), Error> {
        self.uploading.take().into_iter().for_each(|task| task.abort());
        replica.writer.set_journal(None);
        if let Some(settings) = settings {
            let journal = Arc::new(Journal::new(settings.clone()));
            self.uploading = Some(runtime::spawn(replica.writer.clone().upload_forever(journal.clone()))?);
            replica.writer.set_journal(Some(journal));
        }
        Ok(())
    }
}

/// Creates the store and opens the cache directory. Sends no request.
pub(super) fn connect(location: &Location, settings: &Settings) -> Result<Replica, Error> {
    let open = |path| CacheDirectory::open(path, location.place(), settings.disk_cache_size).map(Arc::new);
    let directory = settings.cache_directory().map(open).transpose()?;
    let (store, limits) = (location.connect()?, cache_limits(settings));
    Ok(Replica::with(store, limits, settings.poll_interval, FetchSizes::USUAL, directory))
}
