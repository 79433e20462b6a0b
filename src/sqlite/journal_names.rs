//! The names of journals and WALs that belong to open replica files, which never exist.
//!
//! SQLite asks for both at the start of every read transaction, and passes the very string each time, so a file's
//! companions are known by address: another file of the same name, opened through the default VFS, keeps its own.
//!
//! A table of chains of slots, one chain for every value of some address bits. Slots are reused and never freed, so
//! that a look needs no lock and a fork at any moment leaves a table that works; it grows to the most files that were
//! ever open at once, 16 bytes a name.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

const CHAINS: usize = 256;

static CHAIN: [AtomicPtr<NameSlot>; CHAINS] = [const { AtomicPtr::new(ptr::null_mut()) }; CHAINS];

struct NameSlot {
    /// The address, 0 in a free slot.
    address: AtomicUsize,
    next: *const NameSlot,
}

/// Two names while they are in the table.
#[derive(Debug)]
pub struct JournalNames([usize; 2]);

impl JournalNames {
    /// Enters the journal's and the WAL's name of a file. The strings must stay until this is dropped.
    pub fn enter<T>(journal: *const T, wal: *const T) -> JournalNames {
        let names = [journal.addr(), wal.addr()];
        names.into_iter().filter(|address| *address != 0).for_each(insert);
        JournalNames(names)
    }
}

impl Drop for JournalNames {
    fn drop(&mut self) {
        for address in self.0.into_iter().filter(|address| *address != 0) {
            if let Some(slot) = find(address) {
                slot.address.store(0, Ordering::Release);
            }
        }
    }
}

/// Whether `name` is that of a replica file's journal or WAL.
pub fn contains<T>(name: *const T) -> bool {
    !name.is_null() && find(name.addr()).is_some()
}

fn chain(address: usize) -> &'static AtomicPtr<NameSlot> {
    // Names come out of allocations of a few hundred bytes, so neighbours differ above the lowest bits.
    &CHAIN[(address ^ (address >> 8)) % CHAINS]
}

fn slots(address: usize) -> impl Iterator<Item = &'static NameSlot> {
    let mut at = chain(address).load(Ordering::Acquire).cast_const();
    std::iter::from_fn(move || {
        // SAFETY: a slot reached from a chain was leaked before it was linked in, and only its atomic ever changes.
        let slot = unsafe { at.as_ref() }?;
        at = slot.next;
        Some(slot)
    })
}

fn find(address: usize) -> Option<&'static NameSlot> {
    slots(address).find(|slot| slot.address.load(Ordering::Acquire) == address)
}

fn insert(address: usize) {
    let take = |slot: &NameSlot| slot.address.compare_exchange(0, address, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    if slots(address).any(take) {
        return;
    }
    let slot = Box::leak(Box::new(NameSlot { address: AtomicUsize::new(address), next: ptr::null() }));
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
    fn names_are_known_by_address_while_the_file_is_open() {
        let names = ["a.db-journal", "a.db-wal"].map(String::from);
        let same_text = names.clone();
        let open = JournalNames::enter(names[0].as_ptr(), names[1].as_ptr());
        assert!(names.iter().all(|name| contains(name.as_ptr())));
        assert!(!same_text.iter().any(|name| contains(name.as_ptr())));
        drop(open);
        assert!(!names.iter().any(|name| contains(name.as_ptr())));
        assert!(!contains(ptr::null::<u8>()));
    }

    #[test]
    fn many_threads_find_their_own_names_and_lose_them() {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(|| {
                    let names: Vec<[Box<u8>; 2]> = (0..500).map(|_| [Box::new(0), Box::new(0)]).collect();
                    for _ in 0..20 {
                        let open: Vec<_> =
                            names.iter().map(|[j, w]| JournalNames::enter(&raw const **j, &raw const **w)).collect();
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
