//! How far away the server is, and what it was asked from there.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use s3s::S3Result;
use s3s::access::{S3Access, S3AccessContext};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Bytes between two looks at the clock. Timers are good to a millisecond, so the pace is kept against the first byte's
/// time rather than from piece to piece.
const PIECE: usize = 32 << 10;

/// The delay before an answer's first byte, and the pace of those after it.
#[derive(Debug, Default)]
pub struct Distance {
    latency_us: AtomicU64,
    /// 0 for as fast as can be.
    bytes_per_second: AtomicU64,
    counts: Mutex<Counts>,
    open: AtomicU64,
}

#[derive(Debug, Default)]
struct Counts {
    lists: u64,
    reads: u64,
    others: u64,
    bytes: u64,
    open: u64,
}

impl Distance {
    /// Moves the server.
    pub fn set(&self, milliseconds: f64, megabytes_per_second: f64) {
        self.latency_us.store((milliseconds * 1e3) as u64, Ordering::Relaxed);
        self.bytes_per_second.store((megabytes_per_second * 1e6) as u64, Ordering::Relaxed);
    }

    /// What was asked since this was last called, as JSON.
    pub fn take_counts(&self) -> String {
        let Counts { lists, reads, others, bytes, open } = std::mem::take(&mut *self.counts());
        format!(r#"{{"lists": {lists}, "reads": {reads}, "others": {others}, "bytes": {bytes}, "open": {open}}}"#)
    }

    fn count(&self, operation: &str) {
        let mut counts = self.counts();
        match operation {
            "GetObject" => counts.reads += 1,
            "ListObjectsV2" => counts.lists += 1,
            _ => counts.others += 1,
        }
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().expect("no panic while it was locked")
    }

    /// Sends bytes at the pace of this distance. The request counts as open until they are sent or dropped.
    pub fn send(
        self: &Arc<Self>,
        bytes: Bytes,
    ) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + Sync + 'static {
        self.counts().bytes += bytes.len() as u64;
        let (rate, start, open) = (self.bytes_per_second.load(Ordering::Relaxed), Instant::now(), Open::new(self));
        let pieces: Vec<(usize, Bytes)> =
            (0..bytes.len()).step_by(PIECE).map(|at| (at, bytes.slice(at..bytes.len().min(at + PIECE)))).collect();
        stream::iter(pieces).then(move |(at, piece)| {
            let _open = &open;
            let due = (at + piece.len()) as u64 * 1_000_000;
            async move {
                if let Some(us) = due.checked_div(rate) {
                    sleep_until(start + Duration::from_micros(us)).await;
                }
                Ok(piece)
            }
        })
    }
}

/// Counts a request as open while it lives.
struct Open(Arc<Distance>);

impl Open {
    fn new(distance: &Arc<Distance>) -> Open {
        let open = distance.open.fetch_add(1, Ordering::Relaxed) + 1;
        let mut counts = distance.counts();
        counts.open = counts.open.max(open);
        Open(distance.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The way that every request comes, before it is answered.
pub struct Way(pub Arc<Distance>);

#[async_trait]
impl S3Access for Way {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        self.0.count(context.s3_op().name());
        let latency = Duration::from_micros(self.0.latency_us.load(Ordering::Relaxed));
        if !latency.is_zero() {
            sleep(latency).await;
        }
        Ok(())
    }
}
