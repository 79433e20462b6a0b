//! Replicas that another program deletes, or sets back to an earlier state, while a process writes.

use super::*;

/// Commits three transactions, and deletes the files after the first `kept`. Then that process commits nothing more, and leaves nothing there.
/// Another one goes on.
async fn delete_after(kept: u64) {
    let (files, calm) = (Arc::new(Memory::new()), Arc::new(AtomicBool::new(true)));
    let store = Arc::new(Hostile::new(files.clone(), calm, Random::new(1)));
    let (replica, mut cached) = (open(&store), CachedPages::default());
    for attempt in 1..=3 {
        append(&replica, &mut cached, 1, attempt).await.expect("a commit");
    }
    let all = files.list(Level::ZERO, Txid(1)).await.expect("a listing");
    for file in all.iter().filter(|file| file.name.max.0 > kept) {
        assert!(files.remove(Level::ZERO, file.name));
    }
    for attempt in 4..=5 {
        let error = append(&replica, &mut cached, 1, attempt).await.expect_err("its base is gone");
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
        assert!(error.to_string().contains("the file of TXID 0000000000000003"), "{error}");
        assert!(error.to_string().contains("was deleted by another program"), "{error}");
    }
    assert_eq!(files.list(Level::ZERO, Txid(1)).await.expect("a listing").len() as u64, kept);
    let another = open(&store);
    let _ = another.poll(Duration::ZERO).await;
    append(&another, &mut CachedPages::default(), 2, 1).await.expect("a commit");
    let expected: Vec<(u32, u32)> = (1..=kept as u32).map(|attempt| (1, attempt)).chain([(2, 1)]).collect();
    assert_eq!(entries(&another).await, expected);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_committed_to_a_replica_that_was_deleted() {
    delete_after(0).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_committed_to_a_replica_that_was_set_back() {
    delete_after(2).await;
}
