//! What `litestream_status` says.

use crate::replica::{Status, View, age};
use crate::time;
use serde_json::{Map, Value, json};
use std::ffi::CString;
use std::fmt;
use std::sync::Arc;

/// What keeps a reader at an older view than the newest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeldMemory {
    /// Nothing: the next read sees the newest.
    No,
    /// An open read transaction, or an unfinished statement.
    Transaction,
    /// It was sent to another moment.
    Moment,
    /// It was opened with `nolock` or `immutable`.
    Unlocked,
}

/// How a replica and one of its readers are doing. Displayed as a JSON object.
#[derive(Debug)]
pub struct StatusReport {
    /// The schema of the reader's connection, if it could be found.
    pub schema: Option<CString>,
    /// What it reads.
    pub view: Option<Arc<View>>,
    /// Why it does not read the newest.
    pub held: HeldMemory,
    /// The replica, as all its readers share it.
    pub status: Option<Status>,
}

impl StatusReport {
    /// Names and values, in the order in which they are shown.
    pub fn fields(&self) -> Vec<(&'static str, Value)> {
        let mut fields = self.reader_fields();
        fields.extend(self.status.as_ref().map(replica_fields).into_iter().flatten());
        fields
    }

    fn reader_fields(&self) -> Vec<(&'static str, Value)> {
        let view = self.view.as_deref();
        let held = match self.held {
            HeldMemory::No => Value::Null,
            HeldMemory::Transaction => "transaction".into(),
            HeldMemory::Moment => "moment".into(),
            HeldMemory::Unlocked => "opened without locks".into(),
        };
        vec![
            ("schema", json!(self.schema.as_ref().map(|schema| schema.to_string_lossy()))),
            ("txid", json!(view.map(|view| view.txid().to_string()))),
            ("time", json!(view.map(|view| time::format(view.time_ms())))),
            ("age", json!(view.map(|view| age(view).as_secs_f64()))),
            ("held_by", held),
        ]
    }
}

fn replica_fields(status: &Status) -> Vec<(&'static str, Value)> {
    let error = status.last_error.as_ref();
    vec![
        ("head_txid", json!(status.head.map(|(txid, _)| txid.to_string()))),
        ("head_time", json!(status.head.map(|(_, ms)| time::format(ms)))),
        ("lag", json!(status.lag.map(|lag| lag.as_secs_f64()))),
        ("state", json!(status.state)),
        ("last_error", json!(error.map(|(text, _)| text))),
        ("last_error_time", json!(error.map(|(_, ms)| time::format(*ms)))),
        ("replica", json!(status.replica)),
        ("poll_interval", json!(status.poll_interval.as_secs_f64())),
        ("connections", json!(status.connections)),
        ("lists", json!(status.counts.lists)),
        ("reads", json!(status.counts.reads)),
        ("bytes", json!(status.counts.bytes)),
        ("cache_hits", json!(status.cache_hits)),
        ("cache_misses", json!(status.cache_misses)),
        ("prefetched_bytes", json!(status.guesses.fetched)),
        ("prefetched_bytes_used", json!(status.guesses.used)),
        ("cache_bytes", json!(status.cached.memory)),
        ("cache_size", json!(status.bounds.memory)),
        ("disk_cache_bytes", json!(status.cached.disk)),
        ("disk_cache_size", json!(status.bounds.disk)),
    ]
}

impl fmt::Display for StatusReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object: Map<String, Value> =
            self.fields().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        write!(f, "{}", Value::Object(object))
    }
}
