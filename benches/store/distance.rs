//! The latency and bandwidth of the server, and counts of its requests.

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// The bytes that are sent at once. Timers have a resolution of a millisecond, so each piece is scheduled from the time
/// of the first byte, not from the piece before.
const PIECE: usize = 32 << 10;

/// The time to the first byte of a response, and the rate of the bytes after it.
#[derive(Debug, Default)]
pub struct Distance {
    latency_us: AtomicU64,
    /// 0 means no limit.
    bytes_per_second: AtomicU64,
    traffic: Mutex<Traffic>,
}

#[derive(Debug, Default)]
struct Traffic {
    lists: u64,
    reads: u64,
    others: u64,
    bytes: u64,
    /// Sequential round trips: the requests that arrived while no other was in progress.
    rounds: u64,
    in_progress: u64,
}

/// The kind of a request.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    List,
    Read,
    Other,
}

impl Distance {
    /// Sets the latency and the bandwidth.
    pub fn set(&self, milliseconds: f64, megabytes_per_second: f64) {
        self.latency_us.store((milliseconds * 1e3) as u64, Ordering::Relaxed);
        self.bytes_per_second.store((megabytes_per_second * 1e6) as u64, Ordering::Relaxed);
    }

    /// Returns the counts since the last call as JSON.
    pub fn take_counts(&self) -> String {
        let mut traffic = self.traffic();
        let now = Traffic { in_progress: traffic.in_progress, ..Traffic::default() };
        let Traffic { lists, reads, others, bytes, rounds, .. } = std::mem::replace(&mut *traffic, now);
        format!(r#"{{"lists": {lists}, "reads": {reads}, "others": {others}, "bytes": {bytes}, "rounds": {rounds}}}"#)
    }

    /// Waits for the latency. The request is in progress until the returned value is dropped.
    pub async fn start_request(self: &Arc<Self>, kind: Kind) -> Request {
        let request = Request::begin(self, kind);
        let latency = Duration::from_micros(self.latency_us.load(Ordering::Relaxed));
        if !latency.is_zero() {
            sleep(latency).await;
        }
        request
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().expect("no thread panicked while it held the lock")
    }
}

/// A request in progress.
pub struct Request(Arc<Distance>);

impl Request {
    fn begin(distance: &Arc<Distance>, kind: Kind) -> Request {
        let mut traffic = distance.traffic();
        match kind {
            Kind::List => traffic.lists += 1,
            Kind::Read => traffic.reads += 1,
            Kind::Other => traffic.others += 1,
        }
        traffic.rounds += u64::from(traffic.in_progress == 0);
        traffic.in_progress += 1;
        Request(distance.clone())
    }

    /// Returns the bytes as a stream at the bandwidth of the server.
    pub fn respond(self, bytes: Bytes) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + Sync + 'static {
        self.0.traffic().bytes += bytes.len() as u64;
        let (rate, start) = (self.0.bytes_per_second.load(Ordering::Relaxed), Instant::now());
        let pieces: Vec<(usize, Bytes)> =
            (0..bytes.len()).step_by(PIECE).map(|at| (at, bytes.slice(at..bytes.len().min(at + PIECE)))).collect();
        stream::iter(pieces).then(move |(at, piece)| {
            let _in_progress = &self;
            let due = ((at + piece.len()) as u64 * 1_000_000).checked_div(rate);
            async move {
                if let Some(us) = due {
                    sleep_until(start + Duration::from_micros(us)).await;
                }
                Ok(piece)
            }
        })
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.traffic().in_progress -= 1;
    }
}
