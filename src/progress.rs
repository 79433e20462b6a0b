//! Counts the responses of the store for a job, so that the thread that waits for the job can tell a slow store from a silent one.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

tokio::task_local! {
    static CURRENT: Progress;
}

/// A counter of the responses that arrive for one job, in all its tasks.
#[derive(Clone, Default, Debug)]
pub(crate) struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Runs a job whose responses are counted here.
    pub(crate) fn track<F: Future>(&self, job: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), job)
    }

    /// Returns the number of responses so far.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts a response, or a part of one, for the current job. Has no effect if there is no current job.
pub(crate) fn arrived() {
    let _ = CURRENT.try_with(|progress| progress.0.fetch_add(1, Ordering::Relaxed));
}

/// Makes a future part of the current job, for a task of its own.
pub(crate) fn part_of_current<F: Future>(part: F) -> impl Future<Output = F::Output> + use<F> {
    let progress = CURRENT.try_with(Progress::clone).unwrap_or_default();
    progress.track(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn responses_in_every_task_of_a_job_are_counted() {
        let (one, other) = (Progress::default(), Progress::default());
        let job = one.track(async {
            arrived();
            let part = tokio::spawn(part_of_current(async { arrived() }));
            let unrelated = tokio::spawn(async { arrived() });
            part.await.and(unrelated.await).expect("no panic");
        });
        job.await;
        other.track(async {}).await;
        arrived();
        assert_eq!((one.count(), other.count()), (2, 0));
    }
}
