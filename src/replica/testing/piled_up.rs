//! Many files of level 0, because nothing compacts them.

use crate::ltx::{Encoder, FileName, Form, Level, Txid};
use crate::replica::files::ltx_file::FetchSizes;
use crate::replica::prefetch::Prefetcher;
use crate::replica::testing::{header, random_page};
use crate::replica::{CacheLimits, Replica};
use crate::store::Memory;
use std::sync::Arc;
use std::time::Duration;

const PAGE_SIZE: usize = 1 << 16;

/// How many pages each file has: almost a megabyte, which is still read whole.
const EACH: u32 = 15;

const FILES: u32 = 12;

/// The transaction that adds pages to the database.
fn file(number: u32) -> Vec<u8> {
    let (end, txid) = (number * EACH, Txid(number.into()));
    let mut encoder = Encoder::new(header(PAGE_SIZE, end, txid, txid), Form::Block);
    (end - EACH + 1..=end).for_each(|pgno| encoder.page(pgno, &random_page(pgno, PAGE_SIZE, 1)));
    encoder.finish()
}

#[tokio::test(start_paused = true)]
async fn a_part_of_them_is_in_memory_and_is_not_read_again() {
    let store = Arc::new(Memory::new());
    for number in 1..=FILES {
        store.insert(Level::ZERO, FileName::of(Txid(number.into())), file(number));
    }
    let (limits, sizes) =
        (CacheLimits { memory: 1 << 20, disk: 0 }, FetchSizes { kept_sync: 8 << 20, ..FetchSizes::USUAL });
    let replica = Arc::new(Replica::with(store, limits, Duration::from_secs(1), sizes, None));
    replica.poll(Duration::ZERO).await.expect("a view");
    let view = replica.head().expect("a view");
    assert_eq!((view.txid(), view.files().count()), (Txid(FILES.into()), FILES as usize));
    let held = view.held();
    assert!(held > 7 << 20 && held <= 8 << 20, "{held} bytes");
    for pgno in (1..=FILES * EACH).rev() {
        let page = replica.page(&view, pgno, &Prefetcher::new()).await.expect("a page").expect("a page");
        assert_eq!(*page, *random_page(pgno, PAGE_SIZE, 1), "{pgno}");
    }

    let before = replica.files.store.counts();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        replica.poll(Duration::ZERO).await.expect("a view");
    }
    let after = replica.files.store.counts();
    assert!(after.lists > before.lists + 20, "the replica is listed completely");
    assert!(after.bytes - before.bytes < 1 << 20, "{} bytes", after.bytes - before.bytes);
}
