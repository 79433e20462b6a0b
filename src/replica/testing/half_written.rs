//! Files that are there by half, since their store does not write them in one step.

use crate::error::ErrorKind;
use crate::ltx::{FileName, Level, Txid};
use crate::replica::testing::one_page::{file, name};
use crate::replica::{CacheLimits, Replica};
use crate::store::Memory;
use std::sync::Arc;
use std::time::Duration;

/// A store with that many files, and a replica of it that has not looked yet.
fn replica(files: u64) -> (Arc<Memory>, Arc<Replica>) {
    let store = Arc::new(Memory::new());
    (1..=files).for_each(|txid| store.insert(Level::ZERO, name(txid), file(txid)));
    let replica = Replica::new(store.clone(), CacheLimits { memory: 0, disk: 0 }, Duration::from_secs(1));
    (store, Arc::new(replica))
}

async fn poll(replica: &Arc<Replica>) -> Result<Option<Txid>, ErrorKind> {
    let polled = replica.poll(Duration::ZERO).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    polled.map(|()| replica.head().map(|view| view.txid())).map_err(|error| error.kind())
}

/// Polls that ask by name, look and list among them.
const POLLS: usize = 12;

#[tokio::test(start_paused = true)]
async fn the_newest_file_is_waited_for_however_much_of_it_is_there() {
    let whole = file(4);
    for length in [0, 1, 99, 100, 110, whole.len() / 2, whole.len() - 16, whole.len() - 1] {
        // Who followed so far, and who comes while it is written.
        for is_new in [false, true] {
            let (store, replica) = replica(3);
            if !is_new {
                assert_eq!(poll(&replica).await, Ok(Some(Txid(3))));
            }
            store.insert(Level::ZERO, name(4), whole[..length].to_vec());
            for _ in 0..POLLS {
                assert_eq!(poll(&replica).await, Ok(Some(Txid(3))), "{length} bytes");
            }
            let (told, _) = replica.health.last_error().expect("it is told");
            assert!(told.contains(&name(4).to_string()) && told.ends_with("is waited for"), "{told}");
            store.insert(Level::ZERO, name(4), whole.clone());
            assert_eq!(poll(&replica).await, Ok(Some(Txid(4))), "{length} bytes");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_file_by_half_is_no_backup_yet() {
    let (store, replica) = replica(0);
    store.insert(Level::ZERO, name(1), file(1)[..120].to_vec());
    for _ in 0..POLLS {
        assert_eq!(poll(&replica).await, Ok(None));
    }
    store.insert(Level::ZERO, name(1), file(1));
    assert_eq!(poll(&replica).await, Ok(Some(Txid(1))));
}

#[tokio::test(start_paused = true)]
async fn a_file_by_half_that_others_came_after_is_damaged_and_left_out_if_they_hold_every_page() {
    for is_new in [false, true] {
        let (store, replica) = replica(3);
        if !is_new {
            assert_eq!(poll(&replica).await, Ok(Some(Txid(3))));
        }
        store.insert(Level::ZERO, name(4), file(4)[..120].to_vec());
        store.insert(Level::ZERO, name(5), file(5));
        for _ in 0..POLLS {
            assert_eq!(poll(&replica).await, Ok(Some(Txid(5))));
        }
        let (told, _) = replica.health.last_error().expect("it is told");
        assert!(told.contains(&name(4).to_string()) && told.contains("is damaged"), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_by_half_at_another_level_is_damaged() {
    let (store, replica) = replica(3);
    store.insert(Level::SNAPSHOT, FileName { min: Txid(1), max: Txid(4) }, file(1)[..120].to_vec());
    assert_eq!(poll(&replica).await, Err(ErrorKind::Damaged));
}
