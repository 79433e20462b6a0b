//! What arrives for a job while a thread of the host waits for it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

tokio::task_local! {
    static CURRENT: Progress;
}

/// Counts the answers of a store that arrive for one job, in whichever task.
#[derive(Clone, Default, Debug)]
pub(crate) struct Progress(Arc<AtomicU64>);

impl Progress {
    /// The job, whose answers are counted here.
    pub(crate) fn of<F: Future>(&self, job: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), job)
    }

    /// How many answers have arrived.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts an answer, or a part of one, for the job under way. Does nothing where nobody waits.
pub(crate) fn arrived() {
    let _ = CURRENT.try_with(|progress| progress.0.fetch_add(1, Ordering::Relaxed));
}

/// A part of the job under way that runs in a task of its own.
pub(crate) fn part_of_current<F: Future>(part: F) -> impl Future<Output = F::Output> + use<F> {
    let progress = CURRENT.try_with(Progress::clone).unwrap_or_default();
    progress.of(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_arrives_counts_for_the_job_it_was_asked_by_in_every_task() {
        let (one, other) = (Progress::default(), Progress::default());
        let job = one.of(async {
            arrived();
            let part = tokio::spawn(part_of_current(async { arrived() }));
            let stranger = tokio::spawn(async { arrived() });
            part.await.and(stranger.await).expect("no panic");
        });
        job.await;
        other.of(async {}).await;
        arrived();
        assert_eq!((one.count(), other.count()), (2, 0));
    }
}
