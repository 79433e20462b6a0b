//! One full path for one database.
//!
//! With a shared cache SQLite takes two databases of one VFS for the same if their full paths are the same text. A
//! replica's path says nothing about which replica it is, or which moment of it: so a path belongs to whoever asked
//! for it first, and everyone else gets it in another spelling. Without a shared cache a spelling is only what
//! `sqlite3_db_filename` shows.
//!
//! Paths stay taken for the life of the process: between `xFullPathname` and `xOpen` nobody can tell whether an open is
//! still under way. The table is of a fixed size and needs no lock, so that a fork finds nothing held; once it is full,
//! a replica gets the spelling that only its own settings have, which is always right.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// How many paths can be taken. More are no error.
const PATHS: usize = 1024;

/// Who has which path, open addressing by the path's hash.
struct Taken {
    slots: [AtomicPtr<Path>; PATHS],
}

struct Path {
    path: Vec<u8>,
    owner: Option<String>,
}

static TAKEN: Taken = Taken::new();

/// What comes between a path and the number of the settings that it is spelled for.
const MARK: &str = "#litestream-";

/// The spelling of the full path `path` for a replica read with these settings (any text that differs where the content
/// does), or for a file of the default VFS.
pub fn spell(path: &[u8], settings: Option<&str>) -> Vec<u8> {
    TAKEN.spell(path, settings)
}

/// The path as it was before it was spelled for a replica, for people.
pub fn unspelled(path: &str) -> &str {
    path.rsplit_once(MARK).map_or(path, |(path, _)| path)
}

impl Taken {
    const fn new() -> Taken {
        Taken { slots: [const { AtomicPtr::new(ptr::null_mut()) }; PATHS] }
    }

    fn spell(&self, path: &[u8], settings: Option<&str>) -> Vec<u8> {
        match (self.owner(path, settings), settings) {
            (Some(owner), _) if owner.as_deref() == settings => path.to_vec(),
            (None, None) => path.to_vec(),
            (_, None) => detour(path),
            (_, Some(settings)) => [path, format!("{MARK}{:016x}", hash(&settings)).as_bytes()].concat(),
        }
    }

    /// Who has `path`: `owner`, if nobody had it before. None if the table is full.
    fn owner(&self, path: &[u8], owner: Option<&str>) -> Option<&Option<String>> {
        let mut new: *mut Path = ptr::null_mut();
        let start = hash(&path) as usize;
        for slot in (0..PATHS).map(|step| &self.slots[start.wrapping_add(step) % PATHS]) {
            let mut there = slot.load(Ordering::Acquire);
            if there.is_null() {
                if new.is_null() {
                    new = Box::into_raw(Box::new(Path { path: path.to_vec(), owner: owner.map(str::to_owned) }));
                }
                match slot.compare_exchange(there, new, Ordering::AcqRel, Ordering::Acquire) {
                    // SAFETY: the box is leaked, and nothing changes it from here on.
                    Ok(_) => return Some(unsafe { &(*new).owner }),
                    Err(faster) => there = faster,
                }
            }
            // SAFETY: what stands in a slot was leaked, and nothing changes it.
            let there = unsafe { &*there };
            if there.path == path {
                if !new.is_null() {
                    // SAFETY: it came from a box and went into no slot.
                    drop(unsafe { Box::from_raw(new) });
                }
                return Some(&there.owner);
            }
        }
        None
    }
}

/// The same file by another text: its name in its directory, by way of the directory itself.
fn detour(path: &[u8]) -> Vec<u8> {
    let is_separator = |byte: &u8| *byte == b'/' || (cfg!(windows) && *byte == b'\\');
    let name = path.iter().rposition(is_separator).map_or(0, |at| at + 1);
    [&path[..name], b"./", &path[name..]].concat()
}

fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(spelling: Vec<u8>) -> String {
        String::from_utf8(spelling).unwrap()
    }

    #[test]
    fn the_first_has_the_path_and_others_have_it_spelled_differently() {
        let taken = Taken::new();
        let spell = |settings| text(taken.spell(b"/d/x.db", settings));
        assert_eq!(spell(Some("one")), "/d/x.db");
        let two = spell(Some("two"));
        assert_eq!(two.len(), "/d/x.db#litestream-".len() + 16, "{two}");
        assert_eq!((unspelled(&two), unspelled("/d/x.db")), ("/d/x.db", "/d/x.db"));
        assert_eq!(spell(Some("two")), two);
        assert_ne!(spell(Some("three")), two);
        assert_eq!(spell(None), "/d/./x.db");
        assert_eq!(spell(Some("one")), "/d/x.db");
        assert_eq!(text(taken.spell(b"/d/y.db", Some("two"))), "/d/y.db");
    }

    #[test]
    fn a_replica_does_not_share_a_local_file_s_path() {
        let taken = Taken::new();
        assert_eq!(taken.spell(b"/d/x.db", None), b"/d/x.db");
        assert_ne!(taken.spell(b"/d/x.db", Some("one")), b"/d/x.db");
        assert_eq!(taken.spell(b"/d/x.db", None), b"/d/x.db");
    }

    #[test]
    fn a_full_table_still_keeps_replicas_apart() {
        let taken = Taken::new();
        for path in 0..PATHS {
            taken.spell(path.to_string().as_bytes(), Some("one"));
        }
        let late = |settings| text(taken.spell(b"/late.db", settings));
        assert_ne!(late(Some("one")), late(Some("two")));
        assert_eq!(late(Some("one")), late(Some("one")));
        assert_ne!(late(Some("one")), late(None));
        assert_eq!(late(None), "/late.db");
    }

    #[test]
    fn threads_agree_on_who_has_a_path() {
        let taken = Taken::new();
        let spellings: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|who| (who % 2).to_string())
                .map(|who| {
                    scope.spawn(|| {
                        let who = who;
                        taken.spell(b"/x", Some(&who))
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let plain: Vec<bool> = spellings.iter().map(|spelling| spelling == b"/x").collect();
        assert_eq!(plain.iter().filter(|plain| **plain).count(), 4, "{spellings:?}");
        assert!((0..8).all(|who| plain[who] == plain[who % 2]), "{spellings:?}");
    }
}
