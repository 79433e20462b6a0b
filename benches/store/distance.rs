//! How far away the server is, and what it was asked from there.

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
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
    traffic: Mutex<Traffic>,
}

#[derive(Debug, Default)]
struct Traffic {
    lists: u64,
    reads: u64,
    others: u64,
    bytes: u64,
    /// Round trips one after another: how often a request came while none was under way.
    rounds: u64,
    under_way: u64,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    List,
    Read,
    Other,
}

impl Distance {
    /// Moves the server.
    pub fn set(&self, milliseconds: f64, megabytes_per_second: f64) {
        self.latency_us.store((milliseconds * 1e3) as u64, Ordering::Relaxed);
        self.bytes_per_second.store((megabytes_per_second * 1e6) as u64, Ordering::Relaxed);
    }

    /// What was asked since this was last called, as JSON.
    pub fn take_counts(&self) -> String {
        let mut traffic = self.traffic();
        let now = Traffic { under_way: traffic.under_way, ..Traffic::default() };
        let Traffic { lists, reads, others, bytes, rounds, .. } = std::mem::replace(&mut *traffic, now);
        format!(r#"{{"lists": {lists}, "reads": {reads}, "others": {others}, "bytes": {bytes}, "rounds": {rounds}}}"#)
    }

    /// A request comes, and has travelled when this is done. It is under way while what is answered lives.
    pub async fn travel(self: &Arc<Self>, kind: Kind) -> Request {
        let request = Request::begin(self, kind);
        let latency = Duration::from_micros(self.latency_us.load(Ordering::Relaxed));
        if !latency.is_zero() {
            sleep(latency).await;
        }
        request
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().expect("no panic while it was locked")
    }
}

/// A request under way.
pub struct Request(Arc<Distance>);

impl Request {
    fn begin(distance: &Arc<Distance>, kind: Kind) -> Request {
        let mut traffic = distance.traffic();
        match kind {
            Kind::List => traffic.lists += 1,
            Kind::Read => traffic.reads += 1,
            Kind::Other => traffic.others += 1,
        }
        traffic.rounds += u64::from(traffic.under_way == 0);
        traffic.under_way += 1;
        Request(distance.clone())
    }

    /// Answers with bytes, at the pace of the distance.
    pub fn answer(self, bytes: Bytes) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + Sync + 'static {
        self.0.traffic().bytes += bytes.len() as u64;
        let (rate, start) = (self.0.bytes_per_second.load(Ordering::Relaxed), Instant::now());
        let pieces: Vec<(usize, Bytes)> =
            (0..bytes.len()).step_by(PIECE).map(|at| (at, bytes.slice(at..bytes.len().min(at + PIECE)))).collect();
        stream::iter(pieces).then(move |(at, piece)| {
            let _under_way = &self;
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
        self.0.traffic().under_way -= 1;
    }
}
