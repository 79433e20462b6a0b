//! The names of the journals and WALs of open replica files. These files never exist: the journal of a replica that is written is temporary.
//!
//! SQLite checks for both at the start of every read transaction, and passes the same pointer each time. So the names are identified by
//! address, and another file with the same name that is open through the default VFS is not affected.
//!
//! The names are in a hash table with a chain of slots for each hash value. Slots are reused and never freed, so that lookups need no
//! lock, and a fork at any moment leaves the table usable. The table grows to the largest number of files that were ever open at the same time,
//! with 16 bytes for each name.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicUsize, Ordering};

const CHAINS: usize = 256;

static CHAIN: [AtomicPtr<NameSlot>; CHAINS] = [const { AtomicPtr::new(ptr::null_mut()) }; CHAINS];

/// What a name means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JournalName {
    /// The journal of a file that is written.
    Journal,
    /// A journal or a WAL that must not be opened.
    Forbidden,
}

struct NameSlot {
    /// The address of the name, [`FREE`] or [`TAKEN`].
    address: AtomicUsize,
    /// A [`JournalName`] as a number. Set before the address.
    meaning: AtomicU8,
    next: *const NameSlot,
}

const FREE: usize = 0;
/// The slot is being filled. No name has this address.
const TAKEN: usize = 1;

/// The names of a file's journal and WAL. Dropping it removes them from the table.
#[derive(Debug)]
pub struct JournalNames([usize; 2]);

impl JournalNames {
    /// Adds the names of a file's journal and WAL to the table. Null is ignored. The strings must live until the result is dropped.
    pub fn insert<T>(journal: *const T, wal: *const T, is_written: bool) -> JournalNames {
        let names = [journal.addr(), wal.addr()];
        let meanings = [if is_written { JournalName::Journal } else { JournalName::Forbidden }, JournalName::Forbidden];
        names
            .into_iter()
            .zip(meanings)
            .filter(|(address, _)| *address != 0)
            .for_each(|(name, meaning)| insert(name, meaning));
        JournalNames(names)
    }
}

impl Drop for JournalNames {
    fn drop(&mut self) {
        for address in self.0.into_iter().filter(|address| *address != 0) {
            if let Some(slot) = find(address) {
                slot.address.store(FREE, Ordering::Release);
            }
        }
    }
}

/// Returns what a name means, if it is the name of the journal or the WAL of an open replica file.
pub fn meaning<T>(name: *const T) -> Option<JournalName> {
    let slot = find(Some(name.addr()).filter(|address| *address > TAKEN)?)?;
    match slot.meaning.load(Ordering::Relaxed) {
        meaning if meaning == JournalName::Journal as u8 => Some(JournalName::Journal),
        _ => Some(JournalName::Forbidden),
    }
}

/// Whether `name` is the name of the journal or the WAL of an open replica file.
pub fn contains<T>(name: *const T) -> bool {
    meaning(name).is_some()
}

fn chain(address: usize) -> &'static AtomicPtr<NameSlot> {
    // Names are in allocations of a few hundred bytes, so their addresses differ in the higher bits.
    &CHAIN[(address ^ (address >> 8)) % CHAINS]
}

fn slots(address: usize) -> impl Iterator<Item = &'static NameSlot> {
    let mut at = chain(address).load(Ordering::Acquire).cast_const();
    std::iter::from_fn(move || {
        // SAFETY: `at` is null or a slot of a chain. A slot is leaked before it is added to a chain, and afterwards only its atomic changes.
        let slot = unsafe { at.as_ref() }?;
        at = slot.next;
        Some(slot)
    })
}

fn find(address: usize) -> Option<&'static NameSlot> {
    slots(address).find(|slot| slot.address.load(Ordering::Acquire) == address)
}

fn insert(address: usize, meaning: JournalName) {
    let fill = |slot: &NameSlot| {
        slot.meaning.store(meaning as u8, Ordering::Relaxed);
        slot.address.store(address, Ordering::Release);
    };
    let take =
        |slot: &&NameSlot| slot.address.compare_exchange(FREE, TAKEN, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    if let Some(slot) = slots(address).find(take) {
        return fill(slot);
    }
    let (taken, unset) = (AtomicUsize::new(TAKEN), AtomicU8::new(0));
    let slot = Box::leak(Box::new(NameSlot { address: taken, meaning: unset, next: ptr::null() }));
    fill(slot);
    let chain = chain(address);
    let mut head = chain.load(Ordering::Acquire);
    loop {
        slot.next = head;
        match chain.compare_exchange_weak(head, slot, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return,
            Err(newer) => head = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_address_while_the_file_is_open() {
        let names = ["a.db-journal", "a.db-wal"].map(String::from);
        let same_text = names.clone();
        let open = JournalNames::insert(names[0].as_ptr(), names[1].as_ptr(), true);
        let meanings = [JournalName::Journal, JournalName::Forbidden].map(Some);
        assert_eq!(names.each_ref().map(|name| meaning(name.as_ptr())), meanings);
        assert!(!same_text.iter().any(|name| contains(name.as_ptr())));
        drop(open);
        assert!(!names.iter().any(|name| contains(name.as_ptr())));
        assert!(!contains(ptr::null::<u8>()));
    }

    #[test]
    fn many_threads_insert_and_remove_their_names() {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(|| {
                    let names: Vec<[Box<u8>; 2]> = (0..500).map(|_| [Box::new(0), Box::new(0)]).collect();
                    for _ in 0..20 {
                        let open: Vec<_> = names
                            .iter()
                            .map(|[j, w]| JournalNames::insert(&raw const **j, &raw const **w, false))
                            .collect();
                        assert!(names.iter().flatten().all(|name| contains(&raw const **name)));
                        drop(open);
                        assert!(!names.iter().flatten().any(|name| contains(&raw const **name)));
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    }
}
