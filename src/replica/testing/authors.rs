//! Who has written the newest transaction, if the state is read from a compacted file.

use crate::error::ErrorKind;
use crate::ltx::{Encoder, FileName, Form, Header, Level, Txid, verify};
use crate::replica::testing::one_page;
use crate::replica::{CacheLimits, Replica};
use crate::store::Memory;
use std::sync::Arc;
use std::time::Duration;

/// Returns a replica of three transactions, which are compacted. At level 0 it has the last of them, if that has an author.
async fn compacted(author: Option<u64>) -> Replica {
    let store = Arc::new(Memory::new());
    store.insert(Level::FIRST_COMPACTED, FileName { min: Txid(1), max: Txid(3) }, one_page::merged(1, 3));
    if let Some(node_id) = author {
        let header = Header { node_id, ..verify(&one_page::file(3)).expect("a file").header };
        let mut last = Encoder::new(header, Form::Block);
        last.page(1, &[103; 512]);
        store.insert(Level::ZERO, one_page::name(3), last.finish());
    }
    let replica = Replica::new(store, CacheLimits { memory: 1 << 20, disk: 0 }, Duration::from_secs(1));
    replica.poll(Duration::ZERO).await.expect("a view");
    replica
}

#[tokio::test(start_paused = true)]
async fn the_author_of_a_compacted_transaction_is_read_from_its_own_file() {
    const BY_LITESTREAM: Option<u64> = Some(0);
    const BY_ANOTHER_WRITER: Option<u64> = Some(7);
    for (author, takeover, is_refused) in [
        (BY_LITESTREAM, false, true),
        (BY_LITESTREAM, true, false),
        (BY_ANOTHER_WRITER, false, false),
        // Without the file, it may have been Litestream.
        (None, false, true),
        (None, true, false),
    ] {
        let replica = compacted(author).await;
        let view = replica.head().expect("a view");
        let prepared = replica.writer.prepare(Some(&view), takeover).await;
        let expected = if is_refused { Err(ErrorKind::ReadOnly) } else { Ok(()) };
        assert_eq!(prepared.map_err(|error| error.kind()), expected, "{author:?}, {takeover}");
        assert_eq!(replica.writer.is_ours(&view).await.expect("it is known"), author == BY_ANOTHER_WRITER);
    }
}
