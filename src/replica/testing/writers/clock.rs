//! A writer whose clock is behind that of the one before it.

use super::*;
use crate::config::Target;
use crate::ltx::Header;
use crate::time;

#[tokio::test(start_paused = true)]
async fn each_transaction_has_a_later_time_than_its_base_and_is_found_by_it() {
    let (files, calm) = (Arc::new(Memory::new()), Arc::new(AtomicBool::new(true)));
    let ahead = time::now_ms() + 3_600_000;
    let mut page_1 = first_page();
    set(&mut page_1, 28, 1);
    let by_another = Header { timestamp_ms: ahead, node_id: 7, ..header(PAGE_SIZE, 1, Txid(1), Txid(1)) };
    let mut first = Encoder::new(by_another, Form::Block);
    first.page(1, &page_1);
    files.insert(Level::ZERO, FileName::of(Txid(1)), first.finish());

    let store = Arc::new(Hostile::new(files, calm, Random::new(1)));
    let (replica, mut cached) = (open(&store), CachedPages::default());
    replica.poll(Duration::ZERO).await.expect("a view");
    for attempt in 1..=2 {
        append(&replica, &mut cached, 1, attempt).await.expect("a commit");
        let head = replica.head().expect("a view");
        assert_eq!((head.txid().0, head.time_ms()), (1 + u64::from(attempt), ahead + i64::from(attempt)));
    }
    // A process that has not seen the times yet.
    let another = open(&store);
    another.poll(Duration::ZERO).await.expect("a view");
    for after in 0..=2 {
        let found = another.view_of(Target::Time(ahead + after)).await.expect("a view").expect("a past state");
        assert_eq!((found.txid().0, found.time_ms()), (1 + after as u64, ahead + after));
    }
}
