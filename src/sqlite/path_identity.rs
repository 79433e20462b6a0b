//! One full path for one database.
//!
//! With a shared cache SQLite takes two databases of one VFS for the same if their full paths are the same text. The path of a
//! replica does not say which replica it is, or at which moment. So a path belongs to the first database that asks for it, and every
//! other one gets the path in another spelling. Without a shared cache the spelling only shows in `sqlite3_db_filename`.
//!
//! Paths stay taken for the life of the process: between `xFullPathname` and `xOpen` nothing tells whether an open is still under
//! way. The table has a fixed size and needs no lock, so that a fork finds nothing held. Once it is full, a replica gets the spelling
//! that only its own settings have, which is always right.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// How many paths can be taken. More are no error.
const PATHS: usize = 1024;

/// Who has which path, open addressing by the path's hash.
struct TakenName {
    slots: [AtomicPtr<Path>; PATHS],
}

struct Path {
    path: Vec<u8>,
    owner: Option<String>,
}

static TAKEN: TakenName = TakenName::new();

/// What comes between a path and the number of the settings that it is spelled for.
const MARK: &str = "#litestream-";

/// Whose a path is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathOwner<'a> {
    /// A replica that is read with these settings: any text that differs where the content does.
    Replica(&'a str),
    /// Such a replica, or a local file: every spelling has to be a path of the file.
    ByRole(&'a str),
    /// A file of the default VFS.
    Local,
    /// Any file at all, so that no two may be taken for the same.
    Unknown,
}

/// The spelling of the full path `path` for this owner.
pub fn spell(path: &[u8], owner: PathOwner<'_>) -> Vec<u8> {
    TAKEN.spell(path, owner)
}

/// The path as it was before it was spelled for a replica, for people.
pub fn unspelled(path: &str) -> &str {
    path.rsplit_once(MARK).map_or(path, |(path, _)| path)
}

/// How many paths were asked for by [`PathOwner::Unknown`].
static UNKNOWN: AtomicUsize = AtomicUsize::new(0);

impl TakenName {
    const fn new() -> TakenName {
        TakenName { slots: [const { AtomicPtr::new(ptr::null_mut()) }; PATHS] }
    }

    fn spell(&self, path: &[u8], owner: PathOwner<'_>) -> Vec<u8> {
        let number = UNKNOWN.fetch_add(usize::from(owner == PathOwner::Unknown), Ordering::Relaxed);
        let unique = number.to_string();
        let settings = match owner {
            PathOwner::Replica(settings) | PathOwner::ByRole(settings) => Some(settings),
            PathOwner::Local => None,
            PathOwner::Unknown => Some(unique.as_str()),
        };
        match (self.owner(path, settings), owner) {
            (Some(taken), _) if taken.as_deref() == settings => path.to_vec(),
            (None, PathOwner::Local) => path.to_vec(),
            (_, PathOwner::Local) => detour(path, 1),
            (_, PathOwner::ByRole(_)) => detour(path, 2),
            (_, PathOwner::Unknown) => detour(path, number + 3),
            (_, PathOwner::Replica(settings)) => [path, format!("{MARK}{:016x}", hash(&settings)).as_bytes()].concat(),
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

/// The same file by another text, one for each number from 1 on: its name, by way of its directory itself.
fn detour(path: &[u8], number: usize) -> Vec<u8> {
    let is_separator = |byte: &u8| *byte == b'/' || (cfg!(windows) && *byte == b'\\');
    let name = path.iter().rposition(is_separator).map_or(0, |at| at + 1);
    let bits = (0..usize::BITS - number.leading_zeros()).map(|bit| number >> bit & 1);
    let steps: Vec<&[u8]> = bits.map(|bit| if bit == 1 { &b"./"[..] } else { &b".//"[..] }).collect();
    [&path[..name], &steps.concat(), &path[name..]].concat()
}

fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    use PathOwner::{ByRole, Local, Replica, Unknown};
    use std::collections::HashSet;

    fn text(spelling: Vec<u8>) -> String {
        String::from_utf8(spelling).unwrap()
    }

    #[test]
    fn the_first_has_the_path_and_others_have_it_spelled_differently() {
        let taken = TakenName::new();
        let spell = |owner| text(taken.spell(b"/d/x.db", owner));
        assert_eq!(spell(Replica("one")), "/d/x.db");
        let two = spell(Replica("two"));
        assert_eq!(two.len(), "/d/x.db#litestream-".len() + 16, "{two}");
        assert_eq!((unspelled(&two), unspelled("/d/x.db")), ("/d/x.db", "/d/x.db"));
        assert_eq!(spell(Replica("two")), two);
        assert_ne!(spell(Replica("three")), two);
        assert_eq!(spell(Local), "/d/./x.db");
        assert_eq!((spell(ByRole("one")), spell(ByRole("two"))), ("/d/x.db".to_owned(), "/d/.//./x.db".to_owned()));
        assert_eq!(spell(Replica("one")), "/d/x.db");
        assert_eq!(text(taken.spell(b"/d/y.db", Replica("two"))), "/d/y.db");
    }

    #[test]
    fn a_replica_does_not_share_a_local_file_s_path() {
        let taken = TakenName::new();
        assert_eq!(taken.spell(b"/d/x.db", Local), b"/d/x.db");
        assert_ne!(taken.spell(b"/d/x.db", Replica("one")), b"/d/x.db");
        assert_eq!(taken.spell(b"/d/x.db", Local), b"/d/x.db");
    }

    #[test]
    fn a_path_of_unknown_meaning_is_shared_with_none_and_leads_to_the_same_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        std::fs::write(&path, "x").unwrap();
        let path = path.to_str().unwrap();
        let taken = TakenName::new();
        let owners = [Local, ByRole("one"), Replica("two")].into_iter().chain([Unknown; 40]);
        let spellings: Vec<String> = owners.map(|owner| text(taken.spell(path.as_bytes(), owner))).collect();
        assert_eq!(spellings.iter().collect::<HashSet<_>>().len(), spellings.len(), "{spellings:?}");
        let is_there = |spelling: &&String| std::fs::read(spelling).is_ok_and(|read| read == b"x");
        assert_eq!(spellings.iter().filter(is_there).count(), spellings.len() - 1, "all but the replica's");
        assert!(spellings.iter().all(|spelling| spelling.len() < path.len() + 40), "{spellings:?}");
    }

    #[test]
    fn a_full_table_still_keeps_replicas_apart() {
        let taken = TakenName::new();
        for path in 0..PATHS {
            taken.spell(path.to_string().as_bytes(), Replica("one"));
        }
        let late = |owner| text(taken.spell(b"/late.db", owner));
        assert_ne!(late(Replica("one")), late(Replica("two")));
        assert_eq!(late(Replica("one")), late(Replica("one")));
        assert_ne!(late(Replica("one")), late(Local));
        assert_eq!(late(Local), "/late.db");
    }

    #[test]
    fn threads_agree_on_who_has_a_path() {
        let taken = TakenName::new();
        let spellings: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|who| (who % 2).to_string())
                .map(|who| {
                    scope.spawn(|| {
                        let who = who;
                        taken.spell(b"/x", Replica(&who))
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
