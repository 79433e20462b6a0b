//! Clocks that are wrong: those of writers, whose times listings show, and that of the compactor.

use super::*;
use std::sync::atomic::Ordering;

const HOUR: i64 = 3600 * SECOND;

/// Commits every second, compacts at each boundary, and checks what can be restored.
async fn run_and_check(world: &mut CompactionWorld, compactor: &Compactor, seconds: u64) {
    let mut before = world.restorable();
    for second in 0..seconds {
        world.history.commit();
        before.extend(world.restorable());
        world.files.advance(SECOND).await;
        if second % 3 == 2 {
            compactor.run_once().await.expect("files are listed");
            before = world.check(&before);
        }
    }
    world.check_content();
}

/// A writer whose clock was a week ahead has committed. The times of those after it do not go back.
#[tokio::test(start_paused = true)]
async fn files_whose_times_are_ahead_are_kept_as_long_as_others() {
    let mut world = CompactionWorld::new(11);
    world.files.show_at_least(world.files.now() + 7 * 24 * HOUR);
    let (compactor, _) = world.compactor(u64::MAX);
    run_and_check(&mut world, &compactor, 3 * 144 + 60).await;
    let files = world.files.all();
    let (kept, snapshots) = (names(&files, 0), names(&files, 9));
    assert!((9..20).contains(&kept.len()), "{kept:?}");
    assert!((2..=3).contains(&snapshots.len()), "{snapshots:?}");
    let old = files.iter().filter(|file| (1..=3).contains(&file.level.number()) && file.name.max <= snapshots[0].max);
    assert_eq!(old.count(), 0, "{files:?}");
}

/// As if the clock of the compactor's host were days behind, for a time.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_behind_keeps_files_as_long_as_another() {
    let mut world = CompactionWorld::new(12);
    let (compactor, _) = world.compactor(u64::MAX);
    run_and_check(&mut world, &compactor, 30).await;
    world.files.clock_ahead.store(-48 * HOUR, Ordering::Relaxed);
    run_and_check(&mut world, &compactor, 3 * 144).await;
    let files = world.files.all();
    assert!((9..20).contains(&names(&files, 0).len()), "{files:?}");
    assert!((2..=3).contains(&names(&files, 9).len()), "{files:?}");
    world.files.clock_ahead.store(0, Ordering::Relaxed);
    run_and_check(&mut world, &compactor, 30).await;
}

/// The clock of the compactor's host jumps 25 hours ahead for some runs. Listings show the times of the store, or those of a writer there.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_ahead_deletes_no_state() {
    for shows_writers in [false, true] {
        let mut world = CompactionWorld::new(13);
        let (compactor, _) = world.compactor(u64::MAX);
        run_and_check(&mut world, &compactor, 400).await;
        world.files.clock_ahead.store(25 * HOUR, Ordering::Relaxed);
        if shows_writers {
            world.files.show_at_least(world.files.clock());
        }
        run_and_check(&mut world, &compactor, 15).await;
        world.files.clock_ahead.store(0, Ordering::Relaxed);
        run_and_check(&mut world, &compactor, 200).await;
        assert!((9..20).contains(&names(&world.files.all(), 0).len()), "{:?}", world.files.all());
    }
}
