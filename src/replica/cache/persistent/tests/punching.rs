//! Eviction of single pages.

use super::eviction::{FILLED, fill, set_head};
use super::*;
use crate::replica::cache::persistent::contents::FRESH;
use crate::replica::folder::CAN_PUNCH;

/// Makes pages in the first group ones that were written a minute earlier.
#[cfg(target_os = "linux")]
fn make_older(file: &File, slots: std::ops::Range<u64>) {
    for slot in slots {
        let (at, mut written) = (slot * slots::TRAILER as u64 + 12, [0; 4]);
        read_exact_at(file, &mut written, at).expect("a trailer");
        write_all_at(file, &(u32::from_le_bytes(written) - 60).to_le_bytes(), at).expect("a trailer");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_oldest_pages_are_punched_out() {
    let cache = Directory::new();
    let directory = cache.open();
    let identity = FileIdentity { name: name(2), ..identity(5) };
    let _slots = directory.slots(2, &identity, Box::new(all));
    put_all(&directory, 2, 512);
    set_head(&directory, &[2]);
    let file = cache.slot_file();
    make_older(&file, 0..slots::GROUP);
    let before = file.metadata().expect("metadata").blocks();
    directory.evict(3 << 19);
    assert!(file.metadata().expect("metadata").blocks() * 512 + (1 << 20) <= before * 512);
    assert_eq!((page(&directory, 2, 1), page(&directory, 2, 256)), (None, None));
    assert_eq!((page(&directory, 2, 257), page(&directory, 2, 512)), (Some(bytes(257)), Some(bytes(512))));
}

/// Eight pages are in one block of the file system.
#[test]
#[cfg(target_os = "linux")]
fn a_block_is_freed_once_its_last_page_is_evicted_and_other_processes_are_told_at_once() {
    let cache = Directory::new();
    let directory = cache.open();
    let identity = FileIdentity { name: name(2), page_size: 512, ..identity(5) };
    let _slots = directory.slots(2, &identity, Box::new(all));
    for pgno in 1..=8 {
        assert!(directory.put(PageKey { file: 2, pgno }, &bytes(pgno)[..512], StoredForm::Block(70)));
    }
    set_head(&directory, &[2]);
    let file = cache.slot_file();
    directory.evict(LARGE);
    let mut told = directory.last_eviction();
    for (older, allocated, left) in [(0..4, 8192, vec![5, 6, 7, 8]), (4..8, 4096, vec![])] {
        make_older(&file, older);
        let size = cache.open().held();
        assert_eq!(size, 2 * 4096 + 4096, "the trailers, the pages and the record");
        directory.evict(size - 1);
        let blocks = file.metadata().expect("metadata").blocks();
        assert_eq!((blocks * 512, directory.held()), (allocated, allocated + 4096));
        let pages: Vec<u32> = (1..=8).filter(|pgno| page(&directory, 2, *pgno).is_some()).collect();
        assert_eq!(pages, left);
        let last = told;
        told = directory.last_eviction();
        assert_ne!(told, last);
    }
}

#[test]
fn where_no_page_can_be_punched_out_files_go_that_were_written_longest_ago() {
    let cache = Directory::new();
    let directory = cache.open();
    fill(&directory, &[1, 2, 3]);
    set_head(&directory, &[1, 2, 3]);
    for (end, seconds) in [(1, 60), (2, 30)] {
        age(&cache.files(&format!("9-1-{end}."))[0], Duration::from_secs(FRESH + seconds));
    }
    let evict = |bound| {
        CAN_PUNCH.set(false);
        directory.evict(bound);
        CAN_PUNCH.set(true);
        let left = (1..=4).filter(|end| !cache.files(&format!("9-1-{end}.")).is_empty());
        (left.collect::<Vec<u64>>(), directory.held())
    };
    let record = 4096;
    assert_eq!(evict(3 * FILLED + record - 1), (vec![2, 3], 2 * FILLED + record), "no more than necessary");
    // The last file is larger than the size after eviction, but it has just been written.
    assert_eq!(evict(FILLED + record + 4096), (vec![3], FILLED + record));
    assert_eq!(evict(FILLED + record - 1), (vec![], record), "the bound holds in any case");
    // No record names this one yet.
    fill(&directory, &[4]);
    let told = directory.last_eviction();
    assert_eq!(evict(1), (vec![4], FILLED + record));
    assert_eq!(directory.last_eviction(), told);
    let _slots = directory.slots(4, &FileIdentity { name: name(4), ..identity(5) }, Box::new(all));
    assert!((1..=256).all(|pgno| page(&directory, 4, pgno) == Some(bytes(pgno))));
}
