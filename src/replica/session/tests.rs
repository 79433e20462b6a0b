//! Replicas whose disks hang.

use crate::config::Settings;
use crate::error::{Error, ErrorKind};
use crate::replica::session::registry::ReplicaHandle;
use crate::replica::session::shared::{ReaderWishes, SharedReplica};
use crate::replica::write::journal::{JournalLimits, JournalSettings};
use crate::replica::{CacheLimits, Replica};
use crate::store::{Location, Memory};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Connects when the sender of the receiver is dropped, as with a disk that hangs until then. Counts the calls.
fn hanging(disk: Receiver<()>, calls: &Arc<AtomicUsize>) -> impl FnOnce() -> Result<Replica, Error> + Send + 'static {
    let calls = calls.clone();
    move || {
        calls.fetch_add(1, Ordering::Relaxed);
        let _ = disk.recv();
        Ok(connected())
    }
}

fn connected() -> Replica {
    Replica::new(Arc::new(Memory::new()), CacheLimits { memory: 1 << 20, disk: 0 }, SECOND)
}

fn wishes(limit: Duration) -> ReaderWishes {
    ReaderWishes { id: 1, writes: None, limit }
}

#[test]
fn a_disk_that_hangs_delays_no_other_replica_and_keeps_one_thread() {
    let (shared, calls) = (Arc::<SharedReplica>::default(), Arc::<AtomicUsize>::default());
    let (works, disk) = channel();
    let error = shared.join(wishes(SECOND / 5), hanging(disk, &calls), &|| false).expect_err("it hangs");
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Unreachable, "a disk has not responded for 200ms; check the disks of cache_dir and buffer_path")
    );
    // The next readers wait for the call of the first one, and can be interrupted.
    let (_works, disk) = channel();
    let error = shared.join(wishes(60 * SECOND), hanging(disk, &calls), &|| true).expect_err("it is interrupted");
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert!(shared.is_busy() && calls.load(Ordering::Relaxed) == 1);
    // Meanwhile, others are opened.
    let directory = tempfile::tempdir().expect("a directory");
    let location = Location::parse(&format!("file://{}", directory.path().display())).expect("a location");
    let url = location.to_string();
    let settings = Settings::read(|name| (name == "replica_url").then(|| url.clone())).expect("settings");
    let other = ReplicaHandle::acquire(&location, &settings, &|| false).expect("another disk");
    assert_eq!(other.readers().connections, 1);
    drop(works);
    let (_works, disk) = channel();
    shared.join(wishes(60 * SECOND), hanging(disk, &calls), &|| false).expect("the disk works again");
    assert_eq!(calls.load(Ordering::Relaxed), 1, "the first call has connected");
}

#[test]
fn after_a_reader_that_cannot_connect_the_next_one_does() {
    let shared = Arc::<SharedReplica>::default();
    let refused = || Err(Error::new(ErrorKind::Config, "refused"));
    let error = shared.join(wishes(60 * SECOND), refused, &|| false).expect_err("it is refused");
    assert_eq!(error.to_string(), "refused");
    shared.join(wishes(60 * SECOND), || Ok(connected()), &|| false).expect("the next reader connects");
}

#[test]
fn the_journal_of_a_reader_that_gave_up_is_not_used() {
    let (shared, directory) = (Arc::<SharedReplica>::default(), tempfile::tempdir().expect("a directory"));
    let journal = JournalSettings {
        directory: directory.path().to_owned(),
        place: "one".to_owned(),
        interval: SECOND,
        limits: JournalLimits::default(),
    };
    let writes = Some(Some(journal));
    let join = |id| {
        let wishes = ReaderWishes { id, writes: writes.clone(), limit: 60 * SECOND };
        shared.join(wishes, || Ok(connected()), &|| false).expect("a replica")
    };
    // As if it had closed while it waited for the disk.
    assert!(join(0).writer.journal().is_none());
    let settings = Settings::read(|name| (name == "replica_url").then(|| "file:///one".to_owned())).expect("settings");
    let (id, _) = shared.readers().add(&settings);
    assert!(join(id).writer.journal().is_some());
    shared.end_writing(id);
    // It has not closed yet, but begins no more.
    assert!(join(id).writer.journal().is_none());
}
