//! A different full path for each database.
//!
//! In shared-cache mode SQLite treats two databases of one VFS as the same if their full paths are equal. The path of a replica says neither
//! which replica it is nor at which moment. So a path belongs to the first database that uses it, and every other database gets a
//! different spelling of the path. Without a shared cache the spelling is visible only in `sqlite3_db_filename`.
//!
//! While a connection may not attach replicas, no replica shares its path: SQLite would attach one that is open without opening its file, so that
//! the access could not be checked.
//!
//! A path belongs to its database until the process ends, because a VFS cannot know whether an `xFullPathname` will still be followed by an
//! `xOpen`. The table has a fixed size and uses atomics instead of a lock, so that a forked child never inherits a held lock. Once the table
//! is full, a replica always gets the spelling that contains the hash of its settings, which is never wrong.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// The capacity of the table. A full table is not an error.
const PATHS: usize = 1024;

/// The owner of each path: a hash table with open addressing, by the hash of the path.
struct PathTable {
    slots: [AtomicPtr<OwnedPath>; PATHS],
}

struct OwnedPath {
    path: Vec<u8>,
    /// The settings of the database. None for a local file.
    owner: Option<String>,
}

static TABLE: PathTable = PathTable::new();

/// The text between a path and the hash of the settings.
const SUFFIX: &str = "#litestream-";

/// The kind of database that needs a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathOwner<'a> {
    /// A replica with these settings: a text that is different for databases with different content.
    Replica(&'a str),
    /// A replica with these settings, or a local file. So every spelling must be a path of the local file.
    ByRole(&'a str),
    /// A file of the default VFS.
    Local,
    /// A database whose path must differ from all others, and be a path of the local file.
    Unique,
}

/// Returns the spelling of the full path `path` for a database.
pub fn spell(path: &[u8], owner: PathOwner<'_>) -> Vec<u8> {
    TABLE.spell(path, owner)
}

/// Returns a path with the hash of a replica's settings. No local file has such a path.
pub fn suffixed(path: &[u8], settings: &str) -> Vec<u8> {
    [path, format!("{SUFFIX}{:016x}", hash(&settings)).as_bytes()].concat()
}

/// Returns a path without the suffix that it has if it is spelled for a replica.
pub fn without_suffix(path: &str) -> &str {
    path.rsplit_once(SUFFIX).map_or(path, |(path, _)| path)
}

/// Returns a number that no other call returns.
pub fn unique_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl PathTable {
    const fn new() -> PathTable {
        PathTable { slots: [const { AtomicPtr::new(ptr::null_mut()) }; PATHS] }
    }

    fn spell(&self, path: &[u8], owner: PathOwner<'_>) -> Vec<u8> {
        let number = if owner == PathOwner::Unique { unique_number() } else { 0 };
        let unique = number.to_string();
        let settings = match owner {
            PathOwner::Replica(settings) | PathOwner::ByRole(settings) => Some(settings),
            PathOwner::Local => None,
            PathOwner::Unique => Some(unique.as_str()),
        };
        match (self.owner_of(path, settings), owner) {
            (Some(first), _) if first.as_deref() == settings => path.to_vec(),
            (None, PathOwner::Local) => path.to_vec(),
            (_, PathOwner::Local) => respelled(path, 1),
            (_, PathOwner::ByRole(_)) => respelled(path, 2),
            (_, PathOwner::Unique) => respelled(path, number + 3),
            (_, PathOwner::Replica(settings)) => suffixed(path, settings),
        }
    }

    /// Returns the owner of `path`, which becomes `owner` if the path has none yet. Returns None if the table is full.
    fn owner_of(&self, path: &[u8], owner: Option<&str>) -> Option<&Option<String>> {
        let mut new: *mut OwnedPath = ptr::null_mut();
        let start = hash(&path) as usize;
        for slot in (0..PATHS).map(|step| &self.slots[start.wrapping_add(step) % PATHS]) {
            let mut current = slot.load(Ordering::Acquire);
            if current.is_null() {
                if new.is_null() {
                    new = Box::into_raw(Box::new(OwnedPath { path: path.to_vec(), owner: owner.map(str::to_owned) }));
                }
                match slot.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire) {
                    // SAFETY: `new` came from a box and is now in a slot. Entries of slots are never freed or changed.
                    Ok(_) => return Some(unsafe { &(*new).owner }),
                    Err(winner) => current = winner,
                }
            }
            // SAFETY: `current` is the entry of a slot. Such an entry came from a box, and is never freed or changed. The acquiring load makes its
            // content visible.
            let entry = unsafe { &*current };
            if entry.path == path {
                if !new.is_null() {
                    // SAFETY: `new` came from a box, and is in no slot, so no other thread has its address.
                    drop(unsafe { Box::from_raw(new) });
                }
                return Some(&entry.owner);
            }
        }
        None
    }
}

/// Returns another spelling of a path for each number from 1 on. Between the directory and the name it inserts `./` and `.//`, which do not
/// change the file.
fn respelled(path: &[u8], number: usize) -> Vec<u8> {
    let is_separator = |byte: &u8| *byte == b'/' || (cfg!(windows) && *byte == b'\\');
    let name = path.iter().rposition(is_separator).map_or(0, |at| at + 1);
    let bits = (0..usize::BITS - number.leading_zeros()).map(|bit| number >> bit & 1);
    let steps: Vec<&[u8]> = bits.map(|bit| if bit == 1 { &b"./"[..] } else { &b".//"[..] }).collect();
    [&path[..name], &steps.concat(), &path[name..]].concat()
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use PathOwner::{ByRole, Local, Replica, Unique};
    use std::collections::HashSet;

    // Entries are never freed, so each table lives as long as the process.

    fn text(spelling: Vec<u8>) -> String {
        String::from_utf8(spelling).unwrap()
    }

    #[test]
    fn only_the_first_database_gets_the_plain_path() {
        static TABLE: PathTable = PathTable::new();
        let spell = |owner| text(TABLE.spell(b"/d/x.db", owner));
        assert_eq!(spell(Replica("one")), "/d/x.db");
        let two = spell(Replica("two"));
        assert_eq!(two.len(), "/d/x.db#litestream-".len() + 16, "{two}");
        assert_eq!((without_suffix(&two), without_suffix("/d/x.db")), ("/d/x.db", "/d/x.db"));
        assert_eq!(spell(Replica("two")), two);
        assert_ne!(spell(Replica("three")), two);
        assert_eq!(spell(Local), "/d/./x.db");
        assert_eq!((spell(ByRole("one")), spell(ByRole("two"))), ("/d/x.db".to_owned(), "/d/.//./x.db".to_owned()));
        assert_eq!(spell(Replica("one")), "/d/x.db");
        assert_eq!(text(TABLE.spell(b"/d/y.db", Replica("two"))), "/d/y.db");
    }

    #[test]
    fn a_replica_does_not_get_the_path_of_a_local_file() {
        static TABLE: PathTable = PathTable::new();
        assert_eq!(TABLE.spell(b"/d/x.db", Local), b"/d/x.db");
        assert_ne!(TABLE.spell(b"/d/x.db", Replica("one")), b"/d/x.db");
        assert_eq!(TABLE.spell(b"/d/x.db", Local), b"/d/x.db");
    }

    #[test]
    fn a_unique_path_means_the_same_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        std::fs::write(&path, "x").unwrap();
        let path = path.to_str().unwrap();
        static TABLE: PathTable = PathTable::new();
        let owners = [Local, ByRole("one"), Replica("two")].into_iter().chain([Unique; 40]);
        let spellings: Vec<String> = owners.map(|owner| text(TABLE.spell(path.as_bytes(), owner))).collect();
        assert_eq!(spellings.iter().collect::<HashSet<_>>().len(), spellings.len(), "{spellings:?}");
        let is_the_file = |spelling: &&String| std::fs::read(spelling).is_ok_and(|read| read == b"x");
        assert_eq!(spellings.iter().filter(is_the_file).count(), spellings.len() - 1, "all but that of the replica");
        assert!(spellings.iter().all(|spelling| spelling.len() < path.len() + 40), "{spellings:?}");
    }

    #[test]
    fn a_full_table_still_gives_replicas_different_paths() {
        static TABLE: PathTable = PathTable::new();
        for path in 0..PATHS {
            TABLE.spell(path.to_string().as_bytes(), Replica("one"));
        }
        let late = |owner| text(TABLE.spell(b"/late.db", owner));
        assert_ne!(late(Replica("one")), late(Replica("two")));
        assert_eq!(late(Replica("one")), late(Replica("one")));
        assert_ne!(late(Replica("one")), late(Local));
        assert_eq!(late(Local), "/late.db");
    }

    #[test]
    fn threads_agree_on_the_owner_of_a_path() {
        static TABLE: PathTable = PathTable::new();
        let spellings: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|thread| (thread % 2).to_string())
                .map(|settings| scope.spawn(move || TABLE.spell(b"/x", Replica(&settings))))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let plain: Vec<bool> = spellings.iter().map(|spelling| spelling == b"/x").collect();
        assert_eq!(plain.iter().filter(|plain| **plain).count(), 4, "{spellings:?}");
        assert!((0..8).all(|thread| plain[thread] == plain[thread % 2]), "{spellings:?}");
    }
}
