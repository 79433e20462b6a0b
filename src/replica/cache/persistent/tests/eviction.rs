//! Eviction.

use super::parts::{chunk, listed};
use super::*;
use crate::replica::cache::persistent::contents::Contents;
use crate::replica::cache::persistent::contents::FRESH;
use crate::replica::cache::persistent::eviction::{LOCK, PATIENCE};
use crate::replica::cache::persistent::eviction_mark::EvictionMark;
use crate::replica::folder::TEMPORARY;
use crate::store::Chunk;

/// The size on disk of a file of 256 pages.
pub(super) const FILLED: u64 = (1 << 20) + 4096;

/// Writes pages of files at level 9 that end at these transactions, 256 pages each.
pub(super) fn fill(directory: &Arc<CacheDirectory>, ends: &[u64]) {
    for end in ends {
        let identity = FileIdentity { name: name(*end), ..identity(5) };
        let _slots = directory.slots(*end as u32, &identity, Box::new(all));
        put_all(directory, *end as u32, 256);
    }
}

/// Writes the record of a newest view with files that end at these transactions.
pub(super) fn set_head(directory: &Arc<CacheDirectory>, ends: &[u64]) {
    let (mut head, stems) = (SealedFields::default(), ends.iter().map(|end| stem(Level::SNAPSHOT, name(*end))));
    head.text(&stems.collect::<Vec<String>>().join("\n"));
    directory.set_head(&head);
}

#[test]
fn what_belongs_to_no_newest_view_is_evicted_first_and_then_the_oldest_pages() {
    let cache = Directory::new();
    let directory = cache.open();
    fill(&directory, &[1, 2]);
    set_head(&directory, &[2]);
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
    let later = Duration::from_secs(FRESH + 1);
    cache.files("").iter().chain([&other.join("pages")]).for_each(|path| age(path, later));
    directory.evict(megabyte + megabyte / 2);
    let left = cache.files(".p-");
    assert!(!other.join("pages").exists());
    assert!(left.len() == 1 && left[0].to_string_lossy().contains("9-1-2."), "{left:?}");
    directory.evict(megabyte / 2);
    assert!(directory.held() <= megabyte / 2, "{}", directory.held());
    assert_eq!(std::fs::metadata(&foreign).expect("a file").len(), 1 << 20, "other files are not touched");
}

#[test]
fn a_sparse_file_of_any_length_does_not_delay_eviction() {
    let cache = Directory::new();
    let directory = cache.open();
    let identity = FileIdentity { name: name(2), ..identity(5) };
    let _slots = directory.slots(2, &identity, Box::new(all));
    directory.put(PageKey { file: 2, pgno: 1 }, &bytes(1), StoredForm::Block(70));
    set_head(&directory, &[2]);
    cache.slot_file().set_len(1 << 42).expect("a long file");
    directory.evict(0);
    assert_eq!(page(&directory, 2, 1), None);
}

#[test]
fn what_is_being_written_is_not_evicted() {
    let cache = Directory::new();
    let directory = cache.open();
    fill(&directory, &[2]);
    set_head(&directory, &[2]);
    let leadership = directory.lead().expect("no other process leads");
    let in_folder = |name: &str| cache.files("head")[0].with_file_name(name);
    age(&in_folder("leader"), Duration::from_secs(3600));
    // The view that the next record names, and files that two processes write. One of them had another time.
    directory.keep_part(&listed(3, "a"), &(0..u64::from(SIZE)), &chunk("a"));
    let [written, from_the_future] = ["1", "2"].map(|number| in_folder(&format!("{TEMPORARY}{number}")));
    for path in [&written, &from_the_future] {
        std::fs::write(path, bytes(7)).expect("a file");
    }
    let file = OpenOptions::new().write(true).open(&from_the_future).expect("a file");
    file.set_modified(SystemTime::now() + Duration::from_secs(2 * FRESH)).expect("a time");
    let bound = 1 << 18;
    directory.evict(bound);
    assert!(leadership.is_valid() && written.exists() && !from_the_future.exists());
    assert_eq!(cache.files(".r-").len(), 1);
    assert!(directory.held() <= bound, "{}", directory.held());
}

#[test]
fn replicas_that_nobody_has_read_for_a_day_are_evicted_before_pages_of_others() {
    let cache = Directory::new();
    let header = Chunk { bytes: vec![3; 64 << 10].into(), ..chunk("a") };
    for place in 0..20 {
        let unused = cache.open_place(&format!("s3://bucket/{place}"));
        unused.keep_part(&listed(2, "a"), &(0..64 << 10), &header);
        set_head(&unused, &[2]);
        let days = Duration::from_secs(24 * 3600 * (2 + place));
        cache.files("").iter().filter(|path| is_fresh(path)).for_each(|path| age(path, days));
    }
    let live = cache.open();
    fill(&live, &[2]);
    set_head(&live, &[2]);
    let bound = 2 << 20;
    live.evict(bound);
    assert!(live.held() <= bound, "{}", live.held());
    let left: Vec<PathBuf> = cache.files(".r-");
    assert!((1..20).contains(&left.len()), "{left:?}");
    let is_older = |path: &PathBuf| modified(path) < SystemTime::now() - Duration::from_secs(24 * 3600 * 16);
    assert!(!left.iter().any(is_older), "those that were read last stay");
    let _slots = live.slots(2, &FileIdentity { name: name(2), ..identity(5) }, Box::new(all));
    for pgno in 1..=256 {
        assert_eq!(page(&live, 2, pgno), Some(bytes(pgno)), "page {pgno}");
    }
}

/// None of them writes so much that it measures the directory.
#[test]
fn many_short_processes_keep_the_directory_within_its_bound() {
    let (cache, bound, pages) = (Directory::new(), 2 << 20, 4);
    let open = || Arc::new(CacheDirectory::open(&cache.path(), "s3://bucket/app", bound).expect("a cache directory"));
    for end in 1..=200 {
        let directory = open();
        let _slots = directory.slots(end, &FileIdentity { name: name(u64::from(end)), ..identity(5) }, Box::new(all));
        put_all(&directory, end, pages);
        cache.files("").iter().filter(|path| is_fresh(path)).for_each(|path| age(path, Duration::from_secs(FRESH + 1)));
    }
    assert!(open().held() <= bound, "{}", open().held());
}

/// None of them writes so much that it evicts if only its own pages count.
#[test]
fn many_replicas_of_a_process_keep_their_directory_within_its_bound_together() {
    let (cache, bound, pages) = (Directory::new(), 1 << 20, 4);
    let open = |number| cache.open_place(&format!("s3://bucket/{number}"));
    let replicas: Vec<_> = (0..100).map(open).collect();
    for replica in &replicas {
        replica.resize(bound);
        let _slots = replica.slots(1, &identity(5), Box::new(all));
        put_all(replica, 1, pages);
        cache.files("").iter().filter(|path| is_fresh(path)).for_each(|path| age(path, Duration::from_secs(FRESH + 1)));
    }
    let step = bound / 64;
    assert!(u64::from(pages * SIZE) <= step, "each writes too little");
    let size = cache.open().held();
    assert!(size <= bound + 2 * step, "{size}");
}

/// Makes all files of the replicas ones that nobody is writing.
pub(super) fn age_all(cache: &Directory) {
    cache.files("").iter().for_each(|path| age(path, Duration::from_secs(FRESH + 1)));
}

/// Returns a directory with one file of pages, which is not fresh, and a handle to it.
pub(super) fn with_an_old_file() -> (Directory, Arc<CacheDirectory>) {
    let cache = Directory::new();
    let directory = cache.open();
    fill(&directory, &[1]);
    age_all(&cache);
    (cache, directory)
}

#[test]
fn other_processes_are_told_before_the_first_removal_and_after_the_last_one() {
    // The file is removed if the record does not name it, and pages are punched out if it does.
    for named in [1, 2] {
        let cache = Directory::new();
        let directory = cache.open();
        fill(&directory, &[2]);
        set_head(&directory, &[named]);
        age_all(&cache);
        directory.evict(LARGE);
        let lock = cache.path().join(FORMAT).join(LOCK);
        #[cfg(target_os = "linux")]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // The time of a file that is open like this cannot be set.
            let unwritable = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(&lock).expect("a file");
            let contents = Contents::read(&directory.root, EvictionMark::new(&unwritable)).expect("the contents");
            assert!(contents.shrink(1 << 18).is_err());
            let _slots = directory.slots(2, &FileIdentity { name: name(2), ..identity(5) }, Box::new(all));
            assert!((1..=256).all(|pgno| page(&directory, 2, pgno) == Some(bytes(pgno))));
        }
        age(&lock, Duration::from_secs(3600));
        let (before, now) = (directory.last_eviction(), SystemTime::now());
        directory.evict(LARGE);
        assert_eq!(directory.last_eviction(), before, "there is room");
        directory.evict(1 << 18);
        let told = directory.last_eviction().expect("something was evicted");
        assert!(told >= now + Duration::from_secs(1), "the second time is at least a second later than the first");
    }
}

#[test]
fn what_another_process_has_removed_is_not_removed_twice() {
    let cache = Directory::new();
    let directory = cache.open();
    fill(&directory, &[1, 2]);
    age_all(&cache);
    let files = cache.files("9-1-1.");
    age(&files[0], Duration::from_secs(3600));
    let lock = File::create(cache.dir.path().join("lock")).expect("a file");
    let contents = Contents::read(&directory.root, EvictionMark::new(&lock)).expect("the contents");
    assert_eq!(contents.size, 2 * FILLED);
    std::fs::remove_file(&files[0]).expect("a file");
    assert_eq!(contents.shrink(2 * FILLED - 1).expect("it can be evicted"), FILLED);
    assert_eq!(cache.files("9-1-2.").len(), 1);
}

#[test]
fn a_process_that_hangs_while_it_evicts_does_not_keep_others_from_it() {
    let (cache, directory) = with_an_old_file();
    let format = directory.root.folder(FORMAT).expect("a folder");
    let of_other = format.try_lock(LOCK).expect("the lock can be tried").expect("it is free");
    let (bound, second) = (1 << 19, Duration::from_secs(1));
    let evict = |bound: u64, refused_for: Option<Duration>| {
        let since = |time| std::time::Instant::now().checked_sub(time).expect("the clock is older");
        *directory.size.refused_since.lock() = refused_for.map(since);
        directory.evict(bound);
        (cache.files(".p-").len(), directory.held())
    };
    assert_eq!(evict(bound, None), (1, FILLED));
    assert_eq!(evict(bound, Some(PATIENCE - 30 * second)), (1, FILLED));
    assert_eq!(evict(LARGE, Some(PATIENCE + second)), (1, FILLED), "there is room");
    let before = directory.last_eviction();
    assert_eq!(evict(bound, Some(PATIENCE + second)), (0, 0));
    assert_ne!(directory.last_eviction(), before);
    assert!(directory.size.refused_since.lock().is_some());
    drop(of_other);
    directory.evict(bound);
    assert!(directory.size.refused_since.lock().is_none());
}

fn modified(path: &Path) -> SystemTime {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).expect("a time")
}

fn is_fresh(path: &Path) -> bool {
    modified(path) > SystemTime::now() - Duration::from_secs(FRESH)
}
