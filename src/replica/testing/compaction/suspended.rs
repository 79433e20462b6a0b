//! Compactors that are suspended at any request. Meanwhile the replica is replaced or deleted, or other processes go on.

use super::client::CompactorRequest;
use super::store::FileContents;
use super::*;
use crate::lock::Mutex;
use std::sync::atomic::Ordering;

const HOUR: i64 = 3600 * SECOND;

/// Returns a replica of which every level is due.
async fn due(seed: u64) -> CompactionWorld {
    let mut world = CompactionWorld::new(seed);
    let (compactor, _) = world.compactor(u64::MAX);
    run_for(&mut world, &compactor, 130).await;
    for _ in 0..20 {
        world.history.commit();
        world.files.advance(SECOND).await;
    }
    world
}

/// Returns the files of such a replica, and the same after a run.
async fn contents(seed: u64) -> (FileContents, FileContents) {
    let mut world = due(seed).await;
    let before = world.files.contents();
    let report = world.compactor(u64::MAX).0.run_once().await.expect("files are listed");
    let levels: Vec<u8> = report.created.iter().map(|(level, _)| level.number()).collect();
    assert_eq!(levels, [1, 2, 3, 9]);
    assert!(report.deleted.len() > 5 && report.failures.is_empty(), "{report:?}");
    (before, world.files.contents())
}

/// Suspends a run at one of its requests, for so long. Meanwhile the replica is replaced by other files. Returns None if the run has fewer
/// requests.
async fn run_suspended(
    request: u64,
    others: &FileContents,
    ms: i64,
) -> Option<(CompactionWorld, CompactorRequest, CompactionReport)> {
    let mut world = due(7).await;
    let (compactor, client) = world.compactor(u64::MAX);
    let (files, replacing) = (world.files.clone(), others.clone());
    client.suspend_at(request, async move {
        files.replace(&replacing);
        files.advance(ms).await;
    });
    let report = compactor.run_once().await.expect("files are listed");
    client.suspended_at().map(|kind| (world, kind, report))
}

/// Suspends a run at each of its requests after the first listing in turn, for so long. Meanwhile the replica is replaced by other files. No
/// file of the old history is there afterwards, and all others are.
async fn replace_during_each_request(others: &FileContents, ms: i64) {
    let (before, after) = contents(7).await;
    let mut kinds = Vec::new();
    for request in 2.. {
        let Some((world, kind, report)) = run_suspended(request, others, ms).await else { break };
        kinds.push(kind);
        let found = world.files.contents();
        let of_old = |(file, bytes): &(&(Level, FileName), _)| {
            others.get(*file).is_none() && (before.get(*file) == Some(*bytes) || after.get(*file) == Some(*bytes))
        };
        let old: Vec<_> = found.iter().filter(of_old).map(|(file, _)| file).collect();
        assert!(old.is_empty(), "request {request}, {kind:?}: {old:?} is there, {report:?}");
        let missing = others.iter().filter(|(file, bytes)| found.get(*file) != Some(*bytes)).count();
        // Nothing can be done about a deletion that has begun. Without a suspension, those after it follow at once.
        let may_miss = match kind {
            CompactorRequest::Delete if ms == 0 => usize::MAX,
            CompactorRequest::Delete => 1,
            _ => 0,
        };
        assert!(missing <= may_miss, "request {request}, {kind:?}: {missing} are missing, {report:?}");
    }
    for kind in [CompactorRequest::List, CompactorRequest::Read, CompactorRequest::Create, CompactorRequest::Delete] {
        assert!(kinds.contains(&kind), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_suspended_changes_nothing_in_another_history_with_the_same_names() {
    let (others, _) = contents(8).await;
    assert!(others.keys().eq(contents(7).await.0.keys()), "the same names");
    for ms in [0, HOUR] {
        replace_during_each_request(&others, ms).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_suspended_adds_nothing_to_a_replica_that_was_deleted() {
    let (others, _) = contents(8).await;
    let others: FileContents = others.into_iter().filter(|((_, name), _)| name.max <= Txid(3)).collect();
    for others in [FileContents::new(), others] {
        for ms in [0, HOUR] {
            replace_during_each_request(&others, ms).await;
        }
    }
}

/// The other history is longer, and its first files of level 0 are deleted. Nothing shows any more whether it continues the listed one.
#[tokio::test(start_paused = true)]
async fn a_run_that_was_suspended_goes_on_only_if_it_knows_the_history() {
    let mut world = CompactionWorld::new(8);
    let (compactor, _) = world.compactor(u64::MAX);
    run_for(&mut world, &compactor, 200).await;
    let others = world.files.contents();
    for request in 2.. {
        let Some((world, kind, _)) = run_suspended(request, &others, HOUR).await else { break };
        let mut found = world.files.contents();
        if kind == CompactorRequest::Create {
            // It is unknown whether what was about to be created is right, and others may already build on it.
            let added: Vec<_> = found.extract_if(.., |file, _| !others.contains_key(file)).collect();
            assert!(added.len() <= 1, "request {request}: {} files", added.len());
        }
        assert!(found == others, "request {request}, {kind:?}");
    }
}

/// What others do while a run is suspended.
struct Others {
    world: CompactionWorld,
    /// The states that could be restored.
    restorable: BTreeSet<Txid>,
    /// The files of levels 1 to 9 at the end, none of which is old enough to be deleted.
    compacted: Vec<(Level, FileName)>,
}

/// Commits, compacts, and deletes what the files of the suspended run replace as well.
async fn go_on(others: Arc<Mutex<Others>>, compactor: Compactor) {
    let files = others.lock().world.files.clone();
    for second in 0..90 {
        others.lock().world.history.commit();
        files.advance(SECOND).await;
        if second % 3 == 2 {
            compactor.run_once().await.expect("files are listed");
            let Others { world, restorable, .. } = &mut *others.lock();
            restorable.extend(world.restorable());
            *restorable = world.check(restorable);
        }
    }
    others.lock().compacted = files.contents().into_keys().filter(|(level, _)| *level != Level::ZERO).collect();
}

#[tokio::test(start_paused = true)]
async fn every_state_stays_if_others_go_on_while_a_run_is_suspended() {
    let mut kinds = Vec::new();
    for request in 1.. {
        let mut world = due(7).await;
        let ((compactor, client), (other, _)) = (world.compactor(u64::MAX), world.compactor(u64::MAX));
        let restorable = world.restorable();
        let others = Arc::new(Mutex::new(Others { world, restorable, compacted: Vec::new() }));
        client.suspend_at(request, go_on(others.clone(), other));
        let report = compactor.run_once().await.expect("files are listed");
        assert!(report.failures.is_empty(), "request {request}: {report:?}");
        let Some(kind) = client.suspended_at() else { break };
        kinds.push(kind);
        let Others { world, restorable, compacted } = &*others.lock();
        world.check(restorable);
        world.check_content();
        let found = world.files.contents();
        let lost: Vec<_> = compacted.iter().filter(|file| !found.contains_key(file)).collect();
        assert!(lost.is_empty(), "request {request}, {kind:?}: {lost:?}, {report:?}");
    }
    assert!(kinds.contains(&CompactorRequest::Create) && kinds.contains(&CompactorRequest::Delete), "{kinds:?}");
}

/// What it costs to know the history.
#[tokio::test(start_paused = true)]
async fn a_run_lists_one_level_more_if_it_creates_or_deletes_files() {
    let mut world = CompactionWorld::new(7);
    let (compactor, client) = world.compactor(u64::MAX);
    let mut runs = BTreeSet::new();
    for second in 0..120 {
        if second < 60 {
            world.history.commit();
        }
        world.files.advance(SECOND).await;
        if second % 3 == 2 {
            let report = compactor.run_once().await.expect("files are listed");
            let changes = !report.created.is_empty() || !report.deleted.is_empty();
            runs.insert((report.all_levels, changes, client.lists.swap(0, Ordering::Relaxed)));
        }
    }
    let expected = [(false, false, 2), (false, true, 3), (true, false, 10), (true, true, 11)];
    assert_eq!(runs, expected.into());
}
