//! The cache directory as processes use it.

mod eviction;
mod limits;
mod parts;
mod protection;
mod punching;

use super::pause::PAUSE;
use super::*;
use crate::ltx::{self, FileName, Level, PageSum, Txid};
use crate::pread::{read_exact_at, write_all_at};
use crate::replica::cache::{CacheLimits, PageCache};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::time::Instant;

const SIZE: u32 = 4096;
const LARGE: u64 = 1 << 30;

/// A cache directory, and the handles through which a process uses it.
struct Directory {
    dir: TempDir,
}

impl Directory {
    fn new() -> Directory {
        Directory { dir: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// Opens the directory as another process does.
    fn open(&self) -> Arc<CacheDirectory> {
        self.open_place("s3://bucket/app")
    }

    /// Opens it for another replica.
    fn open_place(&self, place: &str) -> Arc<CacheDirectory> {
        Arc::new(CacheDirectory::open(&self.path(), place, LARGE).expect("a cache directory"))
    }

    /// Returns the files of the replica whose names contain `kind`.
    fn files(&self, kind: &str) -> Vec<PathBuf> {
        let replica =
            std::fs::read_dir(self.path().join(FORMAT)).expect("a folder").map(|entry| entry.expect("an entry").path());
        let folders = replica.filter(|path| path.is_dir());
        let files = folders.flat_map(|folder| {
            std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path())
        });
        files.filter(|path| path.to_string_lossy().contains(kind)).collect()
    }

    fn slot_file(&self) -> File {
        let files = self.files(".p-");
        assert_eq!(files.len(), 1, "{files:?}");
        OpenOptions::new().read(true).write(true).open(&files[0]).expect("a file")
    }
}

fn name(max: u64) -> FileName {
    FileName { min: Txid(1), max: Txid(max) }
}

fn identity(checksum: u64) -> FileIdentity {
    FileIdentity { level: Level::SNAPSHOT, name: name(7), size: 99, checksum, page_size: SIZE }
}

fn all(_: u32, _: PageSum) -> bool {
    true
}

fn bytes(pgno: u32) -> Vec<u8> {
    (0..SIZE).map(|at| (at.wrapping_mul(pgno) >> 3) as u8).collect()
}

fn page(directory: &CacheDirectory, file: u32, pgno: u32) -> Option<Vec<u8>> {
    let cache = PageCache::new(CacheLimits { memory: 0, disk: 0 }, None);
    let key = PageKey { file, pgno };
    let page = directory.get(key, |size, fill| cache.page(size, 0, |bytes| fill(bytes)));
    page.map(|page| page.to_vec())
}

#[test]
fn another_process_reads_the_pages_of_a_file_and_only_of_that_file() {
    let cache = Directory::new();
    let (one, other) = (cache.open(), cache.open());
    let _one = one.slots(3, &identity(5), Box::new(all));
    for (pgno, form) in [(1, StoredForm::Block(70)), (300, StoredForm::Frame), (100_000, StoredForm::Carried)] {
        one.put(PageKey { file: 3, pgno }, &bytes(pgno), form);
    }
    // The numbers of files are those of a process.
    let _same = other.slots(8, &identity(5), Box::new(all));
    let _another = other.slots(9, &identity(6), Box::new(all));
    for pgno in [1, 300, 100_000] {
        assert_eq!(page(&other, 8, pgno), Some(bytes(pgno)));
        assert_eq!(page(&other, 9, pgno), None);
        assert!(other.contains(PageKey { file: 8, pgno }) && !other.contains(PageKey { file: 9, pgno }));
    }
    assert_eq!((page(&other, 8, 2), page(&other, 8, 301), page(&other, 7, 1)), (None, None, None));
    // The slots of one file are not those of another, even under its name.
    let files = cache.files(".p-");
    assert_eq!(files.len(), 2);
    let (from, to) =
        if files[0].to_string_lossy().contains("-63-5-") { (&files[0], &files[1]) } else { (&files[1], &files[0]) };
    std::fs::copy(from, to).expect("a copy");
    assert_eq!(page(&other, 9, 1), None);
}

#[test]
fn what_a_page_adds_to_the_checksum_of_its_file_is_that_of_its_frame() {
    let (cache, sums) = (Directory::new(), Arc::new(Mutex::new(Vec::new())));
    let directory = cache.open();
    let seen = sums.clone();
    let _slots = directory.slots(
        1,
        &identity(5),
        Box::new(move |pgno, sum| {
            seen.lock().push((pgno, sum));
            pgno != 3
        }),
    );
    for (pgno, form) in
        [(1, StoredForm::Block(70)), (2, StoredForm::Frame), (3, StoredForm::Block(9)), (4, StoredForm::Carried)]
    {
        directory.put(PageKey { file: 1, pgno }, &bytes(pgno), form);
    }
    assert_eq!((page(&directory, 1, 4), page(&directory, 1, 1)), (Some(bytes(4)), Some(bytes(1))));
    assert_eq!((page(&directory, 1, 2), page(&directory, 1, 3)), (Some(bytes(2)), None));
    let expected =
        [(1, Some(70)), (2, None), (3, Some(9))].map(|(pgno, size)| (pgno, ltx::page_sum(pgno, size, &bytes(pgno))));
    assert_eq!(*sums.lock(), expected);
    // Once a page is refused, none of the file is there any more.
    assert_eq!(page(&directory, 1, 1), None);
}

#[test]
fn a_damaged_or_cut_file_never_gives_a_wrong_page() {
    let cache = Directory::new();
    let directory = cache.open();
    let _slots = directory.slots(1, &identity(5), Box::new(all));
    put_all(&directory, 1, 3);
    let file = cache.slot_file();
    let length = file.metadata().expect("metadata").len();
    let mut state = 7;
    for _ in 0..2000 {
        let at =
            (0..8).fold(0, |at: u64, _| at << 8 | u64::from(crate::replica::testing::next_byte(&mut state))) % length;
        let mut byte = [0];
        read_exact_at(&file, &mut byte, at).expect("a byte");
        write_all_at(&file, &[byte[0] ^ 1 << (at % 8)], at).expect("a byte");
        for pgno in 1..=3 {
            let found = page(&directory, 1, pgno);
            assert!(found.is_none_or(|found| found == bytes(pgno)), "page {pgno} after a change at {at}");
        }
        write_all_at(&file, &byte, at).expect("a byte");
    }
    assert_eq!(page(&directory, 1, 3), Some(bytes(3)));
    for length in (0..length).rev().step_by(97) {
        file.set_len(length).expect("a shorter file");
        for pgno in 1..=3 {
            assert!(page(&directory, 1, pgno).is_none_or(|found| found == bytes(pgno)));
        }
    }
    directory.put(PageKey { file: 1, pgno: 2 }, &bytes(2), StoredForm::Block(70));
    assert_eq!(page(&directory, 1, 2), Some(bytes(2)));
}

#[test]
fn a_file_that_was_removed_is_written_again() {
    let cache = Directory::new();
    let directory = cache.open();
    let _slots = directory.slots(1, &identity(5), Box::new(all));
    let put = |pgno| directory.put(PageKey { file: 1, pgno }, &bytes(pgno), StoredForm::Block(70));
    put(1);
    std::fs::remove_file(&cache.files(".p-")[0]).expect("a file");
    put(2);
    let other = cache.open();
    let _other = other.slots(1, &identity(5), Box::new(all));
    assert_eq!((page(&other, 1, 1), page(&other, 1, 2)), (None, Some(bytes(2))));
}

/// Makes a file one that was last written before this time.
fn age(path: &Path, time: Duration) {
    let file = OpenOptions::new().write(true).open(path).expect("a file");
    file.set_modified(SystemTime::now() - time).expect("a time");
}

/// Writes the first pages of a file.
fn put_all(directory: &Arc<CacheDirectory>, file: u32, pages: u32) {
    for pgno in 1..=pages {
        assert!(directory.put(PageKey { file, pgno }, &bytes(pgno), StoredForm::Block(70)), "page {pgno}");
    }
}

#[test]
fn after_a_failed_write_nothing_is_written_for_a_minute_and_reads_go_on() {
    let cache = Directory::new();
    let directory = cache.open();
    let _slots = directory.slots(1, &identity(5), Box::new(all));
    let put = |pgno| directory.put(PageKey { file: 1, pgno }, &bytes(pgno), StoredForm::Block(70));
    assert!(put(1) && directory.check_keeps(1).is_ok());
    directory.after(Err(io::ErrorKind::StorageFull.into()), 0);
    assert!(!put(2));
    let reason = directory.check_keeps(1).expect_err("the disk is full");
    assert!(reason.contains("no storage space") && reason.contains("free some space"), "{reason}");
    directory.keep_part(&parts::listed(7, "a"), &(0..1), &parts::chunk("a"));
    assert_eq!((page(&directory, 1, 1), page(&directory, 1, 2), directory.room()), (Some(bytes(1)), None, 0));
    assert!(cache.files(".r-").is_empty());
    if let Some(failure) = &mut *directory.last_failure.lock() {
        failure.at = Instant::now().checked_sub(PAUSE).expect("the clock is older");
    }
    assert!(put(2) && directory.check_keeps(1).is_ok());
    assert_eq!((page(&directory, 1, 2), directory.room()), (Some(bytes(2)), LARGE));
}
