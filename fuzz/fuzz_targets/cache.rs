//! Replaces a part of a file of the cache directory by arbitrary bytes. The database must be the same, with or without its cache.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litestream_vfs_fuzz::{Scratch, open, sample};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const SUM: &str = "SELECT count(*), total(length(CAST(id AS TEXT))) FROM orders";

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in directory.read_dir().into_iter().flatten().flatten() {
        match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => files(&entry.path(), found),
            false => found.push(entry.path()),
        }
    }
}

fn ask(replica: &Scratch, cache: &Path) -> (i64, f64) {
    let db = open(replica.uri().parameter("cache_dir", &cache.display().to_string())).expect("the replica is whole");
    db.query_row(SUM, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("the replica is whole")
}

fuzz_target!(|input: (u16, u32, &[u8])| {
    let (choice, offset, bytes) = input;
    let (replica, cache) = (Scratch::new(), Scratch::new());
    for (level, name, content) in sample() {
        replica.write(*level, name, content);
    }
    let expected = ask(&replica, cache.path());
    let mut found = Vec::new();
    files(cache.path(), &mut found);
    found.sort();
    // The process can still have a directory of an earlier input, whose identity the file system has given to this one.
    if found.is_empty() {
        return;
    }
    let damaged = &found[choice as usize % found.len()];
    let file = std::fs::OpenOptions::new().write(true).open(damaged).expect("a file of the cache");
    let length = file.metadata().expect("its length").len();
    match bytes {
        [] => file.set_len(u64::from(offset) % (length + 1)).expect("it is truncated"),
        bytes => file.write_all_at(bytes, u64::from(offset) % (length + 1)).expect("it is written"),
    }
    // Another path is another replica to the process, with the same files.
    let moved = Scratch::new();
    std::fs::remove_dir(moved.path()).expect("an empty directory");
    std::fs::rename(replica.path(), moved.path()).expect("it is renamed");
    assert_eq!(ask(&moved, cache.path()), expected, "{}", damaged.display());
});
