//! The fault matrix: every operation meets every kind of fault at each of its requests in turn, once and from then on.
//!
//! The rows are right or the error names the cause, within the deadline. The operation after the fault is right, and no task is left.
//! `matrix.txt` has the results: first those of a fault of one request, then those of a fault of all later requests. "rows or error" means
//! that it depends on the request. If the results change on purpose, `LITESTREAM_VFS_WRITE_MATRIX=1` writes the file again.

mod fault;
mod journal;
mod operations;
mod outage;
mod sample;
mod store;
mod writes;

use crate::error::Error;
use crate::lock::Mutex;
use crate::store::golden;
use fault::{DEADLINE, Fault};
use operations::{FaultWorld, Operation, SECOND};
use sample::{NEWEST, NEXT, SAMPLE};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use store::FaultPlan;
use tokio::time::{Instant, sleep};

/// More requests than any operation makes.
const MOST_REQUESTS: u64 = 200;

/// How an operation that met a fault ended.
struct FaultOutcome {
    /// The requests that met the fault.
    met: u64,
    result: Result<(), Error>,
    took: Duration,
}

/// Runs an operation with a fault, and again without. Then ends the process.
async fn run(operation: Operation, plan: FaultPlan) -> FaultOutcome {
    // One bit is found at once in files that are read as a whole, and later in others.
    let mut world = FaultWorld::new(operation, plan.fault == Fault::WrongBit).await;
    world.store.set_plan(Some(plan));
    let started = Instant::now();
    let result = world.run(operation).await;
    let took = started.elapsed();
    let met = world.store.set_plan(None);
    if met > 0 {
        // A request that meets the fault ends within the deadline, and the error of a failed poll is returned for a second.
        sleep(DEADLINE + 2 * SECOND).await;
        world.check_after(operation).await;
    }
    drop(world);
    sleep(600 * SECOND).await;
    FaultOutcome { met, result, took }
}

impl FaultWorld {
    /// Checks the operation after the fault.
    async fn check_after(&mut self, operation: Operation) {
        match operation {
            // As an application does after a commit whose outcome is unknown.
            Operation::Commit => self.replica.poll(Duration::ZERO).await.expect("a healthy store"),
            // A replica that seemed to be empty is believed to be there when a second poll sees it.
            Operation::Poll if self.run(operation).await.is_err() => sleep(SECOND).await,
            _ => {}
        }
        self.run(operation).await.unwrap_or_else(|error| panic!("after the fault: {error}"));
        match operation {
            Operation::Commit => {
                let there = self.check_commits().await;
                assert_eq!(self.head().txid().0, NEWEST.0 + there, "no transaction is there twice");
            }
            // Both transactions can be one file.
            Operation::Flush => {
                let there = self.check_commits().await;
                assert!((NEWEST.0 + 1..=NEWEST.0 + there).contains(&self.head().txid().0), "{}", self.head().txid());
            }
            Operation::Compaction => drop(writes::check_states(&self.store).await),
            Operation::Poll => self.check(NEXT).await,
            Operation::CacheFill | Operation::Hydration => {
                self.restart();
                self.run(Operation::CacheFill).await.expect("a healthy store");
            }
            _ => self.check(NEWEST).await,
        }
    }
}

/// Runs an operation on a clock of its own. Returns the outcome, and the number of tasks that are left.
fn outcome(operation: Operation, plan: FaultPlan) -> (FaultOutcome, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let outcome = runtime.block_on(run(operation, plan));
    (outcome, runtime.metrics().num_alive_tasks())
}

/// Describes how an operation ended for each request that met a fault. `violations` gets what was wrong.
fn cell(operation: Operation, fault: Fault, lasts: bool, violations: &mut Vec<String>) -> String {
    let (mut rows, mut errors) = (0, 0);
    for first in 1..MOST_REQUESTS {
        let plan = FaultPlan { fault, first, lasts };
        let mut violation = |what: String| violations.push(format!("{operation:?} {plan:?}: {what}"));
        let Ok((outcome, tasks)) = std::panic::catch_unwind(|| outcome(operation, plan)) else {
            violation("panicked".to_owned());
            continue;
        };
        if outcome.met == 0 {
            break;
        }
        if tasks > 0 {
            violation(format!("{tasks} tasks are left"));
        }
        if outcome.took > operation.deadline(outcome.met) {
            violation(format!("took {:?} and ended with {:?}", outcome.took, outcome.result));
        }
        match outcome.result {
            Ok(()) => rows += 1,
            Err(error) => {
                errors += 1;
                let text = error.to_string();
                if !fault.causes().iter().any(|cause| text.contains(cause)) {
                    violation(format!("the error does not name the cause: {text}"));
                }
            }
        }
    }
    let text = match (rows, errors) {
        (0, 0) => "-",
        (_, 0) => "rows",
        (0, _) => "error",
        _ => "rows or error",
    };
    text.to_owned()
}

/// Describes an operation: a line for each fault, once and lasting.
fn describe(operation: Operation) -> (String, Vec<String>) {
    let (mut text, mut violations) = (format!("{}\n", operation.name()), Vec::new());
    for fault in Fault::ALL {
        let [once, lasting] = [false, true].map(|lasts| cell(operation, fault, lasts, &mut violations));
        text += &format!("    {:24} {once:16} {lasting}\n", fault.name());
    }
    (text, violations)
}

#[test]
fn every_operation_gives_right_rows_or_an_error_that_names_the_cause() {
    LazyLock::force(&SAMPLE);
    let next = AtomicUsize::new(0);
    let found: Mutex<BTreeMap<usize, (String, Vec<String>)>> = Mutex::default();
    let run = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(operation) = Operation::ALL.get(at).copied() else { return };
            let described = describe(operation);
            println!("{}{}", described.0, described.1.join("\n"));
            found.lock().insert(at, described);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(run))));
    let (texts, violations): (Vec<String>, Vec<Vec<String>>) = std::mem::take(&mut *found.lock()).into_values().unzip();
    let violations = violations.concat();
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
    golden::compare(&texts.concat(), "src/replica/testing/faults/matrix.txt", include_str!("matrix.txt"));
}
