//! Transactions that are missing, with later ones there.

use crate::config::Target;
use crate::ltx::{FileName, Level, Txid};
use crate::replica::session::registry;
use crate::replica::testing::flaky::Flaky;
use crate::replica::testing::one_page::{name, of_two, written};
use crate::replica::{CacheLimits, Replica};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

fn file_of(txid: u64) -> Vec<u8> {
    of_two(txid, txid)
}

/// A replica in which transactions 5 to 7 are lost, with a reader that was there before or that comes afterwards.
async fn with_a_hole(untagged: bool, is_new: bool) -> (Arc<Flaky>, Arc<Replica>) {
    let store = Flaky::new(untagged);
    let replica = Arc::new(Replica::new(store.clone(), CacheLimits { memory: 1 << 20, disk: 0 }, SECOND));
    (1..=4).for_each(|txid| store.files.insert(Level::ZERO, name(txid), file_of(txid)));
    let follow = async || {
        replica.open(Target::Latest, 5 * SECOND, true).await.expect("a view");
        drop(tokio::spawn(registry::follow(replica.clone())));
        sleep(5 * SECOND).await;
    };
    if !is_new {
        follow().await;
    }
    (8..=9).for_each(|txid| store.files.insert(Level::ZERO, name(txid), file_of(txid)));
    if is_new {
        follow().await;
    }
    (store, replica)
}

fn state(replica: &Replica) -> String {
    replica.health.state(replica.head().is_some())
}

fn txid(replica: &Replica) -> Option<Txid> {
    replica.head().map(|head| head.txid())
}

#[tokio::test(start_paused = true)]
async fn a_hole_is_a_state_of_its_own_in_which_lag_grows() {
    for (untagged, is_new) in [(false, false), (false, true), (true, false), (true, true)] {
        let (store, replica) = with_a_hole(untagged, is_new).await;
        let counter = replica.head().expect("a view").counter();
        // The state before may be confirmed until the hole is seen.
        sleep(35 * SECOND).await;
        let told = state(&replica);
        let missing = "TXIDs 0000000000000005 to 0000000000000007 are missing, and later ones are there";
        assert!(told.contains(missing) && told.contains("`litestream restore`"), "{told}");
        let lag = replica.lag().expect("a view");
        store.take_requests();
        for second in 0..60 {
            store.files.insert(Level::ZERO, name(10 + second), file_of(10 + second));
            sleep(SECOND).await;
        }
        assert!(replica.lag().expect("a view") > lag + 59 * SECOND);
        assert_eq!((txid(&replica), state(&replica)), (Some(Txid(4)), told));
        assert_eq!(replica.head().expect("a view").counter(), counter);
        let error = replica.follower.freshen(3600 * SECOND).await;
        let is_confirmed = !is_new;
        assert_eq!(error.is_ok(), is_confirmed, "{error:?}");
        let error = replica.follower.freshen(2 * SECOND).await.expect_err("it is stale").to_string();
        assert!(error.contains(missing), "{error}");
        let requests = store.take_requests();
        let lists = requests.iter().filter(|request| request.starts_with("list")).count();
        assert!(lists <= 33, "{lists} listings in a minute");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hole_that_a_higher_level_bridges_or_that_is_filled_ends() {
    for (untagged, is_bridged) in [(false, false), (false, true), (true, false), (true, true)] {
        let (store, replica) = with_a_hole(untagged, false).await;
        sleep(35 * SECOND).await;
        assert!(state(&replica).contains("are missing"));
        let counter = replica.head().expect("a view").counter();
        if is_bridged {
            store.files.insert(Level::SNAPSHOT, FileName { min: Txid(1), max: Txid(8) }, of_two(1, 8));
            sleep(33 * SECOND).await;
        } else {
            (5..=7).for_each(|txid| store.files.insert(Level::ZERO, name(txid), file_of(txid)));
            sleep(6 * SECOND).await;
        }
        assert_eq!((txid(&replica), state(&replica).as_str()), (Some(Txid(9)), "following"));
        assert_ne!(replica.head().expect("a view").counter(), counter);
        assert!(replica.follower.freshen(3 * SECOND).await.is_ok());
    }
}

/// A state that comes after the hole and is whole by itself is taken, as soon as the hole is seen.
#[tokio::test(start_paused = true)]
async fn what_comes_after_a_hole_is_taken_if_it_holds_every_page() {
    let (store, replica) = with_a_hole(false, false).await;
    store.files.insert(
        Level::new(1).expect("a level"),
        FileName { min: Txid(8), max: Txid(9) },
        written(8, 9, 2, 2, 1),
    );
    sleep(35 * SECOND).await;
    assert_eq!((txid(&replica), state(&replica).as_str()), (Some(Txid(9)), "following"));
}
