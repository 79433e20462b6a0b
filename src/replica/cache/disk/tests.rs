use super::*;
use crate::replica::cache::Page;
use std::fs::File;

const SIZE: u32 = 512;

fn page(content: u8) -> Page {
    page_of(SIZE, content)
}

fn page_of(size: u32, content: u8) -> Page {
    let fill = |bytes: &mut [u8]| {
        bytes.fill(content);
        Ok::<(), ()>(())
    };
    Page::new(size, 0, fill).expect("a page")
}

fn key(pgno: u32) -> PageKey {
    PageKey { file: 7, pgno }
}

fn content(disk: &Disk, pgno: u32) -> Option<u8> {
    let page = disk.get(key(pgno), None)?;
    assert!(page.iter().all(|byte| *byte == page[0]));
    Some(page[0])
}

#[test]
fn pages_are_returned_unchanged_and_the_oldest_are_overwritten() {
    let disk = Disk::new(4 * u64::from(SIZE) + 100);
    (1..=6).for_each(|pgno| disk.put(key(pgno), &page(pgno as u8)));
    let found: Vec<_> = (1..=6).map(|pgno| content(&disk, pgno)).collect();
    assert_eq!(found, [None, None, Some(3), Some(4), Some(5), Some(6)]);
    assert_eq!((disk.held(), disk.room(SIZE)), (4 * u64::from(SIZE), 4 * u64::from(SIZE)));
    assert!(disk.contains(key(3)) && !disk.contains(key(1)));
}

#[test]
fn pages_of_a_forgotten_file_are_gone_and_can_be_added_again() {
    let disk = Disk::new(3 * u64::from(SIZE));
    let other = PageKey { file: 8, pgno: 1 };
    disk.put(key(1), &page(1));
    disk.put(other, &page(2));
    disk.forget(7);
    assert_eq!((content(&disk, 1), disk.get(other, None).map(|page| page[0])), (None, Some(2)));
    (1..=3).for_each(|pgno| disk.put(key(pgno), &page(pgno as u8 + 10)));
    assert_eq!([1, 2, 3].map(|pgno| content(&disk, pgno)), [Some(11), Some(12), Some(13)]);
}

#[test]
fn a_page_of_another_size_replaces_all_pages() {
    let disk = Disk::new(1 << 20);
    disk.put(key(1), &page(1));
    disk.put(key(2), &page_of(1024, 9));
    assert_eq!((content(&disk, 1), content(&disk, 2), disk.held()), (None, Some(9), 1024));
}

#[test]
fn a_file_that_cannot_be_written_is_not_used() {
    let disk = Disk::new(1 << 20);
    let file = tempfile::NamedTempFile::new().expect("a file");
    disk.state.write().file = Some(File::open(file.path()).expect("the file is opened read-only"));
    disk.put(key(1), &page(1));
    assert_eq!((content(&disk, 1), disk.held(), disk.room(SIZE)), (None, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_written_is_tried_again_after_a_pause() {
    let disk = Disk::new(1 << 20);
    let file = tempfile::NamedTempFile::new().expect("a file");
    disk.state.write().file = Some(File::open(file.path()).expect("the file is opened read-only"));
    disk.put(key(1), &page(1));
    disk.state.write().file = None;
    disk.put(key(1), &page(1));
    assert_eq!((content(&disk, 1), disk.room(SIZE)), (None, 0), "writing is not tried again before the pause ends");
    tokio::time::advance(PAUSE).await;
    disk.put(key(1), &page(1));
    assert_eq!((content(&disk, 1), disk.room(SIZE)), (Some(1), 1 << 20));
}

#[test]
fn a_failed_overwrite_drops_all_pages() {
    let disk = Disk::new(2 * u64::from(SIZE));
    (1..=2).for_each(|pgno| disk.put(key(pgno), &page(pgno as u8)));
    let file = tempfile::NamedTempFile::new().expect("a file");
    disk.state.write().file = Some(File::open(file.path()).expect("the file is opened read-only"));
    // Overwrites page 1, which may be partly overwritten when the write fails.
    disk.put(key(3), &page(3));
    assert_eq!([1, 2, 3].map(|pgno| content(&disk, pgno)), [None; 3]);
}
