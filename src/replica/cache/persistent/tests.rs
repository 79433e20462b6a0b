use super::*;
use crate::ltx::{self, FileName, Level, PageSum, Txid};
use crate::pread::{read_exact_at, write_all_at};
use crate::replica::cache::{CacheLimits, PageCache};
use crate::store::{Chunk, Listed, Version};
use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use tempfile::TempDir;

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
        Arc::new(CacheDirectory::open(&self.path(), "s3://bucket/app", LARGE).expect("a cache directory"))
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

fn listed(max: u64, version: &str) -> Listed {
    Listed {
        level: Level::SNAPSHOT,
        name: name(max),
        size: 1000,
        version: Some(Version(version.into())),
        modified_ms: 5,
    }
}

fn chunk(version: &str) -> Chunk {
    Chunk { bytes: bytes(3).into(), file_size: 1000, version: Version(version.into()), modified_ms: 7 }
}

#[test]
fn a_part_is_that_of_one_version_and_one_range() {
    let cache = Directory::new();
    let (directory, range) = (cache.open(), 10..10 + u64::from(SIZE));
    directory.keep_part(&listed(7, "a"), &range, &chunk("b"));
    let found = |listed: &Listed, range: &std::ops::Range<u64>, expected: Option<&str>| {
        cache.open().part(listed, range, expected.map(|version| Version(version.into())).as_ref())
    };
    for expected in [None, Some("a"), Some("b")] {
        let part = found(&listed(7, "a"), &range, expected).expect("a part");
        assert_eq!((&part.bytes[..], part.file_size, part.modified_ms), (&bytes(3)[..], 1000, 7));
        assert_eq!(part.version, Version("b".into()));
    }
    assert!(found(&listed(7, "a"), &range, Some("c")).is_none());
    assert!(found(&listed(7, "b"), &range, None).is_none());
    assert!(found(&listed(8, "a"), &range, None).is_none());
    assert!(found(&Listed { size: 1001, ..listed(7, "a") }, &range, None).is_none());
    assert!(found(&Listed { version: None, ..listed(7, "a") }, &range, None).is_none());
    assert!(found(&listed(7, "a"), &(10..11), None).is_none());
    directory.forget_parts(Level::SNAPSHOT, name(7));
    assert!(found(&listed(7, "a"), &range, None).is_none());
}

#[test]
fn a_damaged_part_is_absent_and_is_replaced() {
    let cache = Directory::new();
    let (directory, range) = (cache.open(), 0..u64::from(SIZE));
    for damage in [&b""[..], b"\0", &[7; 10_000], &[0; 100_000]] {
        directory.keep_part(&listed(7, "a"), &range, &chunk("a"));
        let path = cache.files(".r-").remove(0);
        let whole = std::fs::read(&path).expect("a file");
        for at in (0..whole.len()).step_by(61) {
            let mut changed = whole.clone();
            changed[at] ^= 4;
            std::fs::write(&path, changed).expect("a file");
            assert!(directory.part(&listed(7, "a"), &range, None).is_none(), "byte {at}");
        }
        std::fs::write(&path, damage).expect("a file");
        assert!(directory.part(&listed(7, "a"), &range, None).is_none());
        directory.forget_parts(Level::SNAPSHOT, name(7));
    }
}

#[test]
fn the_directory_is_of_this_user_alone() {
    let cache = Directory::new();
    cache.open();
    let mode = |path: &Path| std::fs::metadata(path).expect("metadata").mode() & 0o7777;
    let path = cache.path();
    assert_eq!((mode(&path), mode(&path.join(FORMAT))), (0o700, 0o700));
    for (unsafe_mode, expected) in [(0o770, true), (0o702, true), (0o755, false)] {
        std::fs::set_permissions(&path, Permissions::from_mode(unsafe_mode)).expect("a mode");
        let opened = CacheDirectory::open(&path, "s3://bucket/app", LARGE);
        assert_eq!(opened.is_err(), expected, "{unsafe_mode:o}");
        if let Err(error) = opened {
            let text = error.to_string();
            assert!(text.contains("other users can write to it") && text.contains("0700"), "{text}");
        }
    }
    let link = cache.dir.path().join("link");
    symlink(&path, &link).expect("a link");
    let error = CacheDirectory::open(&link, "s3://bucket/app", LARGE).expect_err("a link").to_string();
    assert!(error.contains("symbolic link"), "{error}");
    let error = CacheDirectory::open(Path::new("/proc/self/no"), "x", LARGE).expect_err("no directory").to_string();
    assert!(error.contains("cache_dir") && error.contains("/proc/self/no"), "{error}");
}

#[test]
fn links_and_pipes_in_the_directory_are_replaced_and_never_followed() {
    let cache = Directory::new();
    let directory = cache.open();
    let _slots = directory.slots(1, &identity(5), Box::new(all));
    let key = PageKey { file: 1, pgno: 1 };
    directory.put(key, &bytes(1), StoredForm::Block(70));
    let (path, victim) = (cache.files(".p-").remove(0), cache.dir.path().join("victim"));
    std::fs::write(&victim, b"untouched").expect("a file");
    let replaced_by = |make: &dyn Fn()| {
        std::fs::remove_file(&path).expect("a file");
        make();
        let other = cache.open();
        let _other = other.slots(1, &identity(5), Box::new(all));
        assert_eq!(page(&other, 1, 1), None);
        other.put(key, &bytes(1), StoredForm::Block(70));
        assert_eq!(page(&other, 1, 1), Some(bytes(1)));
    };
    replaced_by(&|| symlink(&victim, &path).expect("a link"));
    replaced_by(&|| {
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
        assert!(made.success());
    });
    assert_eq!(std::fs::read(&victim).expect("a file"), b"untouched");
}

/// Writes the first pages of a file.
fn put_all(directory: &Arc<CacheDirectory>, file: u32, pages: u32) {
    for pgno in 1..=pages {
        assert!(directory.put(PageKey { file, pgno }, &bytes(pgno), StoredForm::Block(70)), "page {pgno}");
    }
}

/// Writes pages of files at level 9 that end at these transactions, 256 pages each.
fn fill(directory: &Arc<CacheDirectory>, ends: &[u64]) {
    for end in ends {
        let identity = FileIdentity { name: name(*end), ..identity(5) };
        let _slots = directory.slots(*end as u32, &identity, Box::new(all));
        put_all(directory, *end as u32, 256);
    }
}

#[test]
fn what_belongs_to_no_newest_view_is_evicted_first_and_then_the_oldest_pages() {
    let cache = Directory::new();
    let directory = cache.open();
    fill(&directory, &[1, 2]);
    let mut head = SealedFields::default();
    head.text(&stem(Level::SNAPSHOT, name(2)));
    directory.set_head(&head);
    // Another version of the format has its own folder.
    let other = cache.path().join("litestream-vfs-2").join("replica");
    std::fs::create_dir_all(&other).expect("a folder");
    std::fs::write(other.join("pages"), vec![1; 1 << 20]).expect("a file");
    let foreign = cache.dir.path().join("cache").join("mine");
    std::fs::write(&foreign, vec![1; 1 << 20]).expect("a file");
    let megabyte = 1 << 20;
    directory.evict(4 * megabyte);
    assert_eq!(cache.files(".p-").len(), 2, "there is room for both");
    assert!(other.join("pages").exists());
    directory.evict(megabyte + megabyte / 2);
    let left = cache.files(".p-");
    assert!(!other.join("pages").exists());
    assert!(left.len() == 1 && left[0].to_string_lossy().contains("9-1-2."), "{left:?}");
    directory.evict(megabyte / 2);
    assert!(directory.held() <= megabyte / 2, "{}", directory.held());
    assert_eq!(std::fs::metadata(&foreign).expect("a file").len(), 1 << 20, "other files are not touched");
}

#[test]
fn the_oldest_pages_are_punched_out() {
    let cache = Directory::new();
    let directory = cache.open();
    let identity = FileIdentity { name: name(2), ..identity(5) };
    let _slots = directory.slots(2, &identity, Box::new(all));
    put_all(&directory, 2, 512);
    let mut head = SealedFields::default();
    head.text(&stem(Level::SNAPSHOT, name(2)));
    directory.set_head(&head);
    // The pages of the first group are a minute older.
    let file = cache.slot_file();
    let at = |slot| slot * slots::TRAILER as u64 + 12;
    let mut written = [0; 4];
    read_exact_at(&file, &mut written, at(0)).expect("a trailer");
    let earlier = u32::from_le_bytes(written) - 60;
    for slot in 0..slots::GROUP {
        write_all_at(&file, &earlier.to_le_bytes(), at(slot)).expect("a trailer");
    }
    let before = file.metadata().expect("metadata").blocks();
    directory.evict(3 << 19);
    if cfg!(target_os = "linux") {
        assert!(file.metadata().expect("metadata").blocks() * 512 + (1 << 20) <= before * 512);
        assert_eq!((page(&directory, 2, 1), page(&directory, 2, 256)), (None, None));
        assert_eq!((page(&directory, 2, 257), page(&directory, 2, 512)), (Some(bytes(257)), Some(bytes(512))));
    }
}

#[test]
fn a_sparse_file_of_any_length_does_not_delay_eviction() {
    let cache = Directory::new();
    let directory = cache.open();
    let identity = FileIdentity { name: name(2), ..identity(5) };
    let _slots = directory.slots(2, &identity, Box::new(all));
    directory.put(PageKey { file: 2, pgno: 1 }, &bytes(1), StoredForm::Block(70));
    let mut head = SealedFields::default();
    head.text(&stem(Level::SNAPSHOT, name(2)));
    directory.set_head(&head);
    cache.slot_file().set_len(1 << 42).expect("a long file");
    directory.evict(0);
    assert_eq!(page(&directory, 2, 1), None);
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
    directory.keep_part(&listed(7, "a"), &(0..1), &chunk("a"));
    assert_eq!((page(&directory, 1, 1), page(&directory, 1, 2), directory.room()), (Some(bytes(1)), None, 0));
    assert!(cache.files(".r-").is_empty());
    if let Some(failure) = &mut *directory.last_failure.lock() {
        failure.at = Instant::now().checked_sub(PAUSE).expect("the clock is older");
    }
    assert!(put(2) && directory.check_keeps(1).is_ok());
    assert_eq!((page(&directory, 1, 2), directory.room()), (Some(bytes(2)), LARGE));
}
