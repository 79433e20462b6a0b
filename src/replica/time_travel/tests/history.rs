//! The history of a replica.

use crate::config::Target;
use crate::ltx::{Level, Txid};
use crate::replica::time_travel::MomentList;
use crate::replica::time_travel::tests::dated_replica::DatedReplica;
use crate::replica::time_travel::tests::{history_of, requests_since};
use std::sync::atomic::Ordering;

#[tokio::test]
async fn the_newest_states_of_a_day_are_returned_without_listing_it() {
    let dated = DatedReplica::healthy(86_400);
    let replica = dated.open().await;
    dated.store.listed.store(0, Ordering::Relaxed);
    let before = replica.files.store.counts();
    let mut history = MomentList::default();
    let rows = replica.time_travel.older_states(&mut history).await.expect("rows");
    let txids: Vec<u64> = rows.iter().map(|row| row.txid.0).collect();
    assert_eq!(txids, (86_385..=86_400).rev().collect::<Vec<_>>());
    assert!(
        rows.iter().all(|row| row.time_ms == row.txid.0 as i64 * 1000 && row.pages == 2 && row.level == Level::ZERO)
    );
    assert_eq!(dated.store.listed.load(Ordering::Relaxed), 64);
    assert!(requests_since(&replica, before) < 40);

    let mut count = txids.len();
    loop {
        let rows = replica.time_travel.older_states(&mut history).await.expect("rows");
        let last = 86_400 - count as u64;
        assert!(rows.iter().zip((1..=last).rev()).all(|(row, expected)| row.txid == Txid(expected)));
        count += rows.len();
        if rows.is_empty() {
            break;
        }
    }
    assert_eq!(count, 86_400);
}

#[tokio::test]
async fn the_history_has_all_reachable_states_at_any_level() {
    // Only the end of level 0 is left, and no files lead to transactions 11 to 20.
    let mut dated = DatedReplica::new((1..=300).map(|number| number * 10).collect());
    for (level, min, max) in [(9, 1, 10), (1, 15, 20), (9, 1, 40), (2, 41, 200), (1, 201, 216), (1, 217, 290)] {
        dated.write(level, min, max);
    }
    (280..=300).for_each(|txid| dated.write(0, txid, txid));
    let replica = dated.open().await;
    let listed = history_of(&replica).await;
    let mut expected: Vec<(u64, u8)> = (290..=300).rev().map(|txid| (txid, 0)).collect();
    expected.extend([(216, 1), (200, 2), (40, 9), (10, 9)]);
    assert_eq!(listed, expected);
    for (txid, _) in listed {
        assert!(replica.view_of(Target::Txid(Txid(txid))).await.is_ok(), "{txid} is available");
    }
}

#[tokio::test]
async fn a_replica_with_only_level_0_is_listed_from_its_end() {
    let mut dated = DatedReplica::new((1..=1000).collect());
    (1..=1000).for_each(|txid| dated.write(0, txid, txid));
    let replica = dated.open().await;
    dated.store.listed.store(0, Ordering::Relaxed);
    let rows = replica.time_travel.older_states(&mut MomentList::default()).await.expect("rows");
    assert_eq!(rows.len(), 16);
    assert_eq!(dated.store.listed.load(Ordering::Relaxed), 65);
}
