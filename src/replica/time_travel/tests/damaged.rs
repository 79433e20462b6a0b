//! Files whose headers cannot be read, because they are damaged or not complete yet.

use crate::config::Target;
use crate::error::ErrorKind;
use crate::ltx::{FileName, Txid};
use crate::replica::Replica;
use crate::replica::time_travel::FileListing;
use crate::replica::time_travel::tests::dated_replica::DatedReplica;
use crate::replica::time_travel::tests::{at, history_of};
use std::sync::Arc;

/// A replica with nine files of level 0, one for each second.
fn nine_syncs() -> DatedReplica {
    let mut dated = DatedReplica::new((1..=9).map(|number| number * 1000).collect());
    (1..=9).for_each(|txid| dated.write(0, txid, txid));
    dated
}

async fn txids(replica: &Replica) -> Vec<u64> {
    history_of(replica).await.into_iter().map(|(txid, _)| txid).collect()
}

/// Returns the times of all files, in the order of their transactions.
async fn times_of_files(replica: &Replica) -> Vec<Option<i64>> {
    let files = replica.time_travel.next_files(&mut FileListing::new(true)).await.expect("files");
    files.into_iter().map(|file| file.time_ms).collect()
}

/// Returns the damage that the search for a time fails with.
async fn damage_at(replica: &Arc<Replica>, ms: i64) -> String {
    let error = replica.view_of(Target::Time(ms)).await.expect_err("a damaged file");
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    error.to_string()
}

#[tokio::test]
async fn the_state_before_an_incomplete_newest_file_is_the_newest_one() {
    // With 120 bytes, the header can be read.
    for length in [0, 64, 120] {
        let dated = nine_syncs();
        dated.cut(0, 9, 9, length);
        let replica = dated.open().await;
        for (ms, txid) in [(1000, 1), (4500, 4), (8000, 8), (8500, 8), (9000, 8), (9500, 8)] {
            assert_eq!(at(&replica, ms).await, Some(Txid(txid)), "{length} bytes, at {ms}");
        }
        let last = if length == 120 { 9 } else { 8 };
        assert_eq!(txids(&replica).await, (1..=last).rev().collect::<Vec<_>>());
        let mut times: Vec<Option<i64>> = dated.times.iter().copied().map(Some).collect();
        times[8] = times[8].filter(|_| length == 120);
        assert_eq!(times_of_files(&replica).await, times);
    }
}

#[tokio::test]
async fn a_time_that_may_be_that_of_a_damaged_file_is_an_error() {
    for length in [0, 64] {
        let dated = nine_syncs();
        let replica = dated.open().await;
        dated.cut(0, 5, 5, length);
        for (ms, txid) in [(1000, 1), (3999, 3)] {
            assert_eq!(at(&replica, ms).await, Some(Txid(txid)), "{length} bytes, at {ms}");
        }
        for ms in [4000, 4500, 5500] {
            let error = damage_at(&replica, ms).await;
            assert!(error.contains(&FileName::of(Txid(5)).to_string()), "{error}");
        }
        assert_eq!(txids(&replica).await, [9, 8, 7, 6, 4, 3, 2, 1]);
    }
}

/// The header of a file that was cut off after it tells which states are before it.
#[tokio::test]
async fn a_damaged_file_with_a_readable_header_is_found_by_its_time() {
    let dated = nine_syncs();
    let replica = dated.open().await;
    dated.cut(0, 5, 5, 120);
    assert_eq!(at(&replica, 4500).await, Some(Txid(4)));
    let error = damage_at(&replica, 5500).await;
    assert!(error.contains(&FileName::of(Txid(5)).to_string()), "{error}");
    assert_eq!(txids(&replica).await, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn a_damaged_compacted_file_is_replaced_by_those_of_level_0() {
    let mut dated = DatedReplica::new((1..=48).map(|number| number * 1000).collect());
    (1..=48).for_each(|txid| dated.write(0, txid, txid));
    [(1, 16), (17, 32), (33, 48)].into_iter().for_each(|(min, max)| dated.write(1, min, max));
    let replica = dated.open().await;
    dated.cut(1, 17, 32, 64);
    for (ms, txid) in [(16_000, 16), (20_500, 20), (31_999, 31), (32_500, 32), (40_000, 40)] {
        assert_eq!(at(&replica, ms).await, Some(Txid(txid)), "at {ms}");
    }
    assert_eq!(txids(&replica).await, (1..=48).rev().collect::<Vec<_>>());
}
