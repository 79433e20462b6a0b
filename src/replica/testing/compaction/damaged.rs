//! Damaged files, around which the others are compacted.

use super::*;

/// The files of level 0 are still there.
#[tokio::test(start_paused = true)]
async fn a_snapshot_is_made_of_other_files_if_compacted_ones_are_damaged() {
    let mut failures = 0;
    for seed in 0..20 {
        let mut world = CompactionWorld::new(seed);
        let (compactor, _) = world.compactor(u64::MAX);
        run_for(&mut world, &compactor, 9).await;
        for name in &names(&world.files.all(), 1)[..2] {
            world.damage(Level::FIRST_COMPACTED, *name);
        }
        let reports = run_for(&mut world, &compactor, 200).await;
        failures += reports.iter().map(|report| report.failures.len()).sum::<usize>();
        let first = names(&world.files.all(), 9)[0];
        assert!(first.max >= Txid(9), "{first:?}");
        let files: Vec<Listed> = world.files.all().into_iter().filter(|file| file.name.max >= first.max).collect();
        for txid in world.restorable().into_iter().filter(|txid| *txid >= first.max) {
            world.history.check(&files, txid);
        }
    }
    assert!(failures > 0, "a file with every page has always replaced the damaged ones");
}

/// The ends of the damaged file are as they should be, so it looks complete.
#[tokio::test(start_paused = true)]
async fn what_only_a_damaged_file_contains_besides_is_not_deleted() {
    let mut noticed = 0;
    for seed in 0..20 {
        let mut world = CompactionWorld::new(seed);
        let (compactor, _) = world.compactor(u64::MAX);
        run_for(&mut world, &compactor, 3).await;
        let name = FileName { min: Txid(1), max: Txid(3) };
        world.damage(Level::FIRST_COMPACTED, name);
        let reports = run_for(&mut world, &compactor, 60).await;
        // A file with every page can have replaced it before anybody has read it.
        let is_noticed = reports.iter().any(|report| !report.failures.is_empty());
        noticed += u32::from(is_noticed);
        let kept = names(&world.files.all(), 0).iter().filter(|kept| kept.max <= name.max).count();
        assert_eq!(kept, if is_noticed { 3 } else { 0 });
        let last = reports.last().expect("a run");
        assert_eq!(!last.failures.is_empty(), is_noticed, "it is reported as long as it is there");
    }
    assert!(noticed > 3, "{noticed} of 20");
}

/// The bytes were damaged in transit, or the disk was repaired.
#[tokio::test(start_paused = true)]
async fn a_file_that_was_damaged_for_a_time_is_merged_later() {
    let mut noticed = 0;
    for seed in 0..20 {
        let mut world = CompactionWorld::new(seed);
        let (compactor, _) = world.compactor(u64::MAX);
        (0..9).for_each(|_| world.history.commit());
        let name = FileName::of(Txid(5));
        let bytes = world.damage(Level::ZERO, name);
        world.files.advance(3 * SECOND).await;
        let report = compactor.run_once().await.expect("files are listed");
        let name_of = |min, max| FileName { min: Txid(min), max: Txid(max) };
        if !report.failures.is_empty() {
            noticed += 1;
            assert_eq!(names(&world.files.all(), 1), [name_of(1, 4), name_of(6, 9)], "{report:?}");
        }
        world.files.memory.insert(Level::ZERO, name, bytes);
        run_for(&mut world, &compactor, 60).await;
        let level_2 = names(&world.files.all(), 2);
        assert!(level_2.iter().any(|merged| merged.min <= name.min && name.max <= merged.max), "{level_2:?}");
        world.check_content();
    }
    assert!(noticed > 3, "{noticed} of 20");
}
