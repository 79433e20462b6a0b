//! Journals whose last entry is wrong: a crash has left a part of it, or it was acknowledged and has changed on the disk since.

use super::{LIMIT, Process, calm_store, leave, uploaded};
use crate::replica::testing::writers::Hostile;
use crate::replica::write::journal::crash::DiskCall;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// The length of an entry before its file.
const HEAD: usize = 32;

/// A journal of three attempts.
struct LeftJournal {
    store: Arc<Hostile>,
    dir: TempDir,
    /// Where it is.
    path: PathBuf,
    bytes: Vec<u8>,
    /// Where its last entry begins.
    last: usize,
}

impl LeftJournal {
    async fn new() -> LeftJournal {
        let (store, dir) = (calm_store(), tempfile::tempdir().expect("a directory"));
        let path = leave(&store, dir.path(), 1..=2).await;
        let last = read(&path).len();
        leave(&store, dir.path(), 3..=3).await;
        LeftJournal { bytes: read(&path), store, dir, path, last }
    }

    fn write(&self, bytes: &[u8]) {
        fs::write(self.path.join("journal"), bytes).expect("it can be written");
    }

    /// Changes the byte at an offset of the last entry. Returns the bytes of the entry.
    fn change(&mut self, at: usize) -> Vec<u8> {
        self.bytes[self.last + at] ^= 1;
        self.write(&self.bytes);
        self.bytes[self.last..].to_vec()
    }

    /// Uploads the journal. Returns the attempts that are in the replica then.
    async fn uploaded(&self) -> Vec<u32> {
        uploaded(&self.store, self.dir.path()).await
    }

    /// Returns what was kept beside the journal.
    fn kept(&self) -> Vec<Vec<u8>> {
        let names = fs::read_dir(&self.path).expect("a folder").map(|entry| entry.expect("an entry").path());
        let kept = names.filter(|path| path.extension().is_some_and(|ending| ending == "tail"));
        kept.map(|path| fs::read(path).expect("a file")).collect()
    }
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path.join("journal")).expect("a journal")
}

#[tokio::test(start_paused = true)]
async fn a_last_entry_that_has_changed_is_kept_beside_the_journal() {
    for place in ["head", "file", "end"] {
        let mut journal = LeftJournal::new().await;
        let length = journal.bytes.len() - journal.last;
        let at = match place {
            "head" => HEAD / 2,
            "file" => length / 2,
            _ => length - 1,
        };
        let changed = journal.change(at);
        assert_eq!(journal.uploaded().await, [1, 2], "{place}");
        assert_eq!(journal.kept(), [changed], "{place}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_last_entry_is_not_kept() {
    for (missing, zeros) in [(1, 0), (60, 0), (usize::MAX, 1), (usize::MAX, 5000)] {
        let mut journal = LeftJournal::new().await;
        let (length, last) = (journal.bytes.len(), journal.last);
        journal.bytes.truncate(length.saturating_sub(missing).max(last));
        journal.bytes.resize(journal.bytes.len() + zeros, 0);
        journal.write(&journal.bytes);
        assert_eq!(journal.uploaded().await, [1, 2], "{missing} bytes less, {zeros} zeros");
        assert!(journal.kept().is_empty(), "{missing} bytes less, {zeros} zeros");
    }
}

/// Writing the copy takes five steps, and cutting the journal off two.
#[tokio::test(start_paused = true)]
async fn a_last_entry_is_kept_once_although_the_disk_fails_at_any_step() {
    for after in 0..7 {
        let mut journal = LeftJournal::new().await;
        let changed = journal.change(HEAD);
        let process = Process::start_idle(&journal.store, journal.dir.path());
        process.end.fail(DiskCall::Step, after, 5);
        process.replica.writer.recover(&process.journal, LIMIT).await.expect_err("its disk fails");
        let is_cut = read(&journal.path).len() == journal.last;
        assert!(!is_cut || journal.kept() == [changed.clone()], "step {after}");
        process.replica.writer.recover(&process.journal, LIMIT).await.expect("the disk works again");
        process.kill().await;
        assert_eq!(journal.kept(), [changed], "step {after}");
        assert_eq!(journal.uploaded().await, [1, 2], "step {after}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_last_four_wrong_entries_are_kept() {
    let mut journal = LeftJournal::new().await;
    for attempt in 4..10 {
        let changed = journal.change(HEAD);
        leave(&journal.store, journal.dir.path(), attempt..=attempt).await;
        journal.bytes = read(&journal.path);
        let kept = journal.kept();
        assert!(kept.contains(&changed) && kept.len() == 4.min(attempt as usize - 3), "{} are kept", kept.len());
    }
    assert_eq!(journal.uploaded().await, [1, 2, 9]);
}
