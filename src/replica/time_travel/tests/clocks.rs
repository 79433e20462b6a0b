//! Property tests of the search by time, with clocks that are set back.

use crate::replica::time_travel::tests::at;
use crate::replica::time_travel::tests::dated_replica::DatedReplica;
use proptest::prelude::*;

fn run(test: impl Future<Output = Result<(), TestCaseError>>) -> Result<(), TestCaseError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test)
}

proptest! {
    /// With few files all headers are read, so header times and modification times may be arbitrary.
    #[test]
    fn the_running_maximum_of_the_times_counts(
        written in prop::collection::vec((0u8..3, 1u64..4, -40i64..60), 1..15),
        compacted: bool,
        snapshot in any::<prop::sample::Index>(),
        late in 0i64..500,
        modified in prop::collection::vec(0i64..2000, 20),
        searched in prop::collection::vec(500i64..1500, 10),
    ) {
        let mut dated = DatedReplica::new(Vec::new());
        let (mut now, mut modified) = (1000, modified.into_iter());
        for (level, length, went) in written {
            let min = dated.last() + 1;
            now += went;
            // Of the transactions in a file only the last can be found.
            dated.times.resize((min + if compacted { length } else { 1 }) as usize - 1, now);
            let level = if compacted { 1 + level } else { 0 };
            dated.put(level, min, dated.last(), now, modified.next().expect("enough"));
        }
        if compacted {
            // The time of a snapshot is when it was made.
            let end = *snapshot.get(&dated.ends);
            dated.put(9, 1, end, dated.times[end as usize - 1] + late, modified.next().expect("enough"));
        }
        run(async {
            let replica = dated.open().await;
            let edges: Vec<i64> = dated.times.iter().flat_map(|ms| [ms - 1, *ms, ms + 1]).collect();
            for ms in searched.into_iter().chain(edges) {
                prop_assert_eq!(at(&replica, ms).await, dated.expected_txid(ms), "at {}", ms);
            }
            Ok(())
        })?;
    }

    /// Many files with times that never decrease. Modification times are arbitrary.
    #[test]
    fn a_search_among_many_states_is_exact(
        steps in prop::collection::vec((0i64..3, 0i64..1000), 1..600),
        kept in 0u64..600,
        snapshot in any::<prop::sample::Index>(),
        searched in prop::collection::vec(0i64..1300, 20),
    ) {
        let mut now = 100;
        let (times, modified): (Vec<i64>, Vec<i64>) = steps
            .into_iter()
            .map(|(went, modified)| {
                now += went;
                (now, modified)
            })
            .unzip();
        let mut dated = DatedReplica::new(times);
        for txid in 1..=dated.last() {
            let (ms, modified) = (dated.times[txid as usize - 1], modified[txid as usize - 1]);
            // Retention has deleted old files of level 0.
            if txid > kept / 8 * 8 || txid > dated.last() / 8 * 8 {
                dated.put(0, txid, txid, ms, modified);
            }
            if txid % 8 == 0 {
                dated.put(1, txid - 7, txid, ms, modified);
            }
        }
        // Made long after its last transaction, whose time another file has.
        let end = *snapshot.get(&dated.ends);
        dated.put(9, 1, end, dated.times[end as usize - 1] + 1000, 0);
        run(async {
            let replica = dated.open().await;
            for ms in searched {
                prop_assert_eq!(at(&replica, ms).await, dated.expected_txid(ms), "at {}", ms);
            }
            Ok(())
        })?;
    }

    /// A clock ran ahead for a while and was set back. A time that it showed only in that period leads to the state
    /// before the period, and a time that it showed twice leads to the first of the two states.
    #[test]
    fn a_clock_that_was_set_back_is_noticed(
        transactions in 100u64..400,
        start in 0.0f64..0.8,
        ahead in 100i64..100_000,
        intact: bool,
        searched in prop::collection::vec(any::<prop::sample::Index>(), 20),
    ) {
        let first = (transactions as f64 * start) as i64;
        let stretch = first..first + transactions as i64 / 5;
        let real = |number: i64| 1000 + number * 100;
        let shown = |number| real(number) + if stretch.contains(&number) { ahead } else { 0 };
        let mut dated = DatedReplica::new((1..=transactions as i64).map(shown).collect());
        for txid in 1..=transactions {
            let ms = dated.times[txid as usize - 1];
            let modified = if intact { ms } else { real(txid as i64) };
            dated.put(0, txid, txid, ms, modified);
            if txid % 4 == 0 {
                dated.put(1, txid - 3, txid, ms, modified);
            }
        }
        run(async {
            let replica = dated.open().await;
            for ms in searched {
                let ms = dated.times[ms.index(dated.times.len())] + 50;
                let expected = dated.expected_txid(ms);
                // A shorter period may go unnoticed.
                let first = expected.unwrap_or_default().0 as usize;
                let later = dated.times[first..].iter().take_while(|shown| **shown > ms).count();
                if first + later == dated.times.len() || later >= dated.times.len() / 10 {
                    prop_assert_eq!(at(&replica, ms).await, expected, "at {}", ms);
                }
            }
            Ok(())
        })?;
    }
}
