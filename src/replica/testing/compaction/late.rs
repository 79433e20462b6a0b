//! Files that a suspended writer has created too late.

use super::history::PAGE_SIZE;
use super::*;
use crate::ltx::{Encoder, Form, Header};

/// A writer that was suspended for longer than the retention has created a file under an old name. Later files with every page replace it.
#[tokio::test(start_paused = true)]
async fn a_file_that_is_not_part_of_the_history_is_not_merged() {
    let mut refused = 0;
    for seed in 0..20 {
        let mut world = CompactionWorld::new(seed);
        let (compactor, _) = world.compactor(u64::MAX);
        (0..5).for_each(|_| world.history.commit());
        let name = FileName::of(Txid(4));
        let right = world.files.memory.get(Level::ZERO, name).expect("a file").to_vec();
        let mut late = Encoder::new(Header { node_id: 8, ..verify(&right).expect("a file").header }, Form::Block);
        late.page(1, &[1; PAGE_SIZE]);
        world.files.insert(Level::ZERO, name, late.finish());
        world.files.advance(100 * SECOND).await;
        let report = compactor.run_once().await.expect("files are listed");
        assert!(report.deleted.is_empty() && report.failures.len() <= 1, "{report:?}");
        refused += u32::from(report.created.is_empty());
        world.files.insert(Level::ZERO, name, right);
        world.files.advance(100 * SECOND).await;
        compactor.run_once().await.expect("files are listed");
        let files = world.files.all();
        assert_eq!(names(&files, 1), [FileName { min: Txid(1), max: Txid(5) }]);
        world.history.check(&files, Txid(5));
    }
    assert!(refused > 5, "{refused} of 20");
}

/// Between two listings of a compactor, another one compacts and deletes files, and a suspended writer creates one of them again.
#[tokio::test(start_paused = true)]
async fn a_file_that_is_created_again_between_two_listings_is_not_merged() {
    let overdue = async || {
        let mut world = CompactionWorld::new(5);
        (0..6).for_each(|_| world.history.commit());
        world.files.advance(100 * SECOND).await;
        world
    };
    let mut other = overdue().await;
    other.compactor(u64::MAX).0.run_once().await.expect("files are listed");
    let compacted = FileName { min: Txid(1), max: Txid(6) };
    let merged = other.files.memory.get(Level::FIRST_COMPACTED, compacted).expect("a merged file").to_vec();

    let mut world = overdue().await;
    let (compactor, client) = world.compactor(u64::MAX);
    let (files, name) = (world.files.clone(), FileName::of(Txid(4)));
    client.after_the_next_listing(move || {
        files.insert(Level::FIRST_COMPACTED, compacted, merged);
        let right = files.memory.get(Level::ZERO, name).expect("a file").to_vec();
        for deleted in [4, 5] {
            assert!(files.memory.remove(Level::ZERO, FileName::of(Txid(deleted))));
        }
        let mut late = Encoder::new(Header { node_id: 8, ..verify(&right).expect("a file").header }, Form::Block);
        late.page(1, &[1; PAGE_SIZE]);
        files.insert_of_age(Level::ZERO, name, late.finish(), 50 * SECOND);
    });
    compactor.run_once().await.expect("files are listed");
    let files = world.files.all();
    assert_eq!(names(&files, 1), [compacted]);
    world.history.check(&files, Txid(6));
}
