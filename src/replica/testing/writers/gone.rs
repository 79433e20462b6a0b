//! Replicas that another program deletes, or sets back to an earlier state, while a process writes.

use super::*;

/// So many transactions that the last one has not changed every page. A file with every page is a state of its own.
const MANY: u32 = PER_PAGE + 1;

/// A replica with so many transactions, and the process that has written them.
async fn written(count: u32) -> (Arc<Memory>, Arc<Hostile>, Arc<Replica>, CachedPages) {
    let (files, calm) = (Arc::new(Memory::new()), Arc::new(AtomicBool::new(true)));
    let store = Arc::new(Hostile::new(files.clone(), calm, Random::new(1)));
    let (replica, mut cached) = (open(&store), CachedPages::default());
    for attempt in 1..=count {
        append(&replica, &mut cached, 1, attempt).await.expect("a commit");
    }
    (files, store, replica, cached)
}

/// Deletes files of level 0, by their transactions.
async fn remove(files: &Memory, is_removed: impl Fn(u64) -> bool) {
    let all = files.list(Level::ZERO, Txid(1)).await.expect("a listing");
    for file in all.iter().filter(|file| is_removed(file.name.max.0)) {
        assert!(files.remove(Level::ZERO, file.name));
    }
}

/// Compacts [`MANY`] transactions into level 1.
async fn compact(files: &Memory) -> FileName {
    let (last, name) = (Txid(MANY.into()), FileName { min: Txid(1), max: Txid(MANY.into()) });
    files.insert(Level::FIRST_COMPACTED, name, state(files, last).await.expect("a state"));
    name
}

/// Commits three transactions, and deletes the files after the first `kept`. Then that process commits nothing more, and leaves nothing there.
/// Another one goes on.
async fn delete_after(kept: u64) {
    let (files, store, replica, mut cached) = written(3).await;
    remove(&files, |txid| txid > kept).await;
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

/// Two writers, of which each would build on what the other one creates while the states before it are deleted.
#[tokio::test(start_paused = true)]
async fn two_writers_commit_nothing_to_a_replica_that_was_deleted() {
    let (files, store, one, mut cached_by_one) = written(MANY).await;
    let (other, mut cached_by_other) = (open(&store), CachedPages::default());
    other.poll(Duration::ZERO).await.expect("the newest state");
    remove(&files, |_| true).await;
    let append_to_other = async {
        // The first writer has created its next file, and looks for the one before it.
        sleep(Duration::from_millis(50)).await;
        let first = append(&other, &mut cached_by_other, 2, 1).await;
        let second = append(&other, &mut cached_by_other, 2, 2).await;
        [first, second].map(|result| result.expect_err("its base is gone").kind())
    };
    let (of_one, of_other) = tokio::join!(append(&one, &mut cached_by_one, 1, MANY + 1), append_to_other);
    // Its file stays, because another one follows it.
    assert_eq!(of_one.expect_err("its base is gone").kind(), ErrorKind::Unconfirmed);
    let again = append(&one, &mut CachedPages::default(), 1, MANY + 2).await;
    assert_eq!(again.expect_err("its base is gone").kind(), ErrorKind::ReadOnly);
    assert_eq!(of_other, [ErrorKind::Conflict, ErrorKind::ReadOnly]);
}

/// A deletion that takes time, as of a directory: the files of level 0 go first.
#[tokio::test(start_paused = true)]
async fn nothing_more_is_committed_once_a_replica_is_deleted_level_by_level() {
    let (files, _, replica, mut cached) = written(MANY).await;
    let (last, compacted) = (Txid(MANY.into()), compact(&files).await);
    remove(&files, |_| true).await;
    append(&replica, &mut cached, 1, MANY + 1).await.expect("its base is compacted");
    assert!(files.remove(Level::FIRST_COMPACTED, compacted));
    let error = append(&replica, &mut cached, 1, MANY + 2).await.expect_err("the state before its base is gone");
    assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
    assert!(error.to_string().contains(&format!("the file of TXID {last}")), "{error}");
}

/// Retention keeps only the last file of level 0.
#[tokio::test(start_paused = true)]
async fn a_commit_after_a_pause_lists_one_level_more() {
    let (files, _, replica, mut cached) = written(MANY).await;
    compact(&files).await;
    remove(&files, |txid| txid < u64::from(MANY)).await;
    let mut lists = Vec::new();
    for attempt in MANY + 1..=MANY + 2 {
        let before = replica.files.store.counts();
        append(&replica, &mut cached, 1, attempt).await.expect("a commit");
        let now = replica.files.store.counts();
        assert_eq!(now.writes - before.writes, 1);
        lists.push(now.lists - before.lists);
    }
    assert_eq!(lists, [2, 1]);
}
