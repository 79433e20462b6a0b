//! Journals whose disk fails for a time, which says nothing about their transactions: they are neither damaged nor given up.

use super::{LIMIT, Process, calm_store, leave, uploaded};
use crate::error::ErrorKind;
use crate::replica::testing::writers::{Hostile, entries};
use crate::replica::write::journal::crash::DiskCall;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many files an open that [`leave_sealed`] has prepared reads: it opens `upload` and `journal`, and reads them.
const READS: u32 = 4;

/// How many steps it makes: two for the end of `journal`, and two that remove it.
const STEPS: u32 = 4;

/// Leaves a journal of two attempts, as a process does that ends between the two steps of beginning an upload: they are in both files.
async fn leave_sealed(store: &Arc<Hostile>, directory: &Path) -> PathBuf {
    let path = leave(store, directory, 1..=2).await;
    let process = Process::start(store, directory, None);
    // After two steps for the end of `journal`, and five that write `upload`.
    process.end.fail(DiskCall::Step, 7, libc::EIO);
    assert!(!process.flush(LIMIT).await && process.end.has_failed());
    process.kill().await;
    assert!(path.join("upload").exists() && path.join("journal").exists());
    path
}

/// Opens a journal while a call on its disk fails, and then again.
async fn fail_once(call: DiskCall, after: u32, fault: i32) {
    let (store, dir) = (calm_store(), tempfile::tempdir().expect("a directory"));
    let path = leave_sealed(&store, dir.path()).await;
    let process = Process::start_idle(&store, dir.path());
    process.end.fail(call, after, fault);
    let writer = &process.replica.writer;
    let error = writer.recover(&process.journal, LIMIT).await.expect_err("its disk fails");
    let text = error.to_string();
    let parts = [path.display().to_string(), io::Error::from_raw_os_error(fault).to_string()];
    assert!(process.end.has_failed() && error.kind() != ErrorKind::Damaged, "{call:?} {after}: {error:?}");
    assert!(parts.iter().all(|part| text.contains(part)) && text.contains("its transactions stay there"), "{text}");
    assert!(!text.contains("discard"), "{text}");
    let refused = writer.discard(&process.journal).expect_err("nothing is damaged");
    assert_eq!(refused.to_string(), text);
    assert!(path.join("upload").exists());
    writer.recover(&process.journal, LIMIT).await.expect("the disk works again");
    assert_eq!(entries(&process.replica).await, [(0, 1), (0, 2)], "{call:?} {after}");
    process.kill().await;
    assert_eq!(uploaded(&store, dir.path()).await, [1, 2], "{call:?} {after}");
}

#[tokio::test(start_paused = true)]
async fn a_journal_whose_disk_fails_for_a_time_is_not_damaged() {
    for (call, calls) in [(DiskCall::Read, READS), (DiskCall::Step, STEPS)] {
        for after in 0..calls {
            for fault in [libc::EIO, libc::EACCES] {
                fail_once(call, after, fault).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_read_for_a_time_is_uploaded_later() {
    let (store, dir) = (calm_store(), tempfile::tempdir().expect("a directory"));
    leave(&store, dir.path(), 1..=3).await;
    let process = Process::start(&store, dir.path(), None);
    // After three for the open, which finds no `upload`, and that of one of the two pages.
    process.end.fail(DiskCall::Read, 4, libc::EIO);
    assert!(process.flush(LIMIT).await, "{:?}", process.replica.writer.status());
    assert!(process.end.has_failed());
    assert_eq!(process.replica.writer.status().conflicts, 0);
    assert_eq!(entries(&process.replica).await, [(0, 1), (0, 2), (0, 3)]);
    process.kill().await;
}
