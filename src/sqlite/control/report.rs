//! The status that `litestream_status` returns.

use crate::replica::{LeaseState, Status, View, age};
use crate::time;
use serde_json::{Map, Value, json};
use std::ffi::CString;
use std::fmt;
use std::sync::Arc;

/// The reason why a reader does not see the newest view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeldBy {
    /// Nothing holds the reader: its next read sees the newest view.
    No,
    /// An open read transaction, or an unfinished statement.
    Transaction,
    /// The reader was moved to another moment.
    Moment,
    /// The database was opened with `nolock` or `immutable`.
    Unlocked,
}

/// The status of a replica and of one of its readers. Displayed as a JSON object.
#[derive(Debug)]
pub struct StatusReport {
    /// The schema of the database in the reader's connection. None if it could not be determined.
    pub schema: Option<CString>,
    /// The view that the reader sees.
    pub view: Option<Arc<View>>,
    /// The reason why the view is not the newest.
    pub held_by: HeldBy,
    /// The status of the replica, which is the same for all of its readers.
    pub status: Option<Status>,
}

impl StatusReport {
    /// Returns the names and values of all fields, in display order.
    pub fn fields(&self) -> Vec<(&'static str, Value)> {
        let mut fields = self.reader_fields();
        fields.extend(self.status.as_ref().map(replica_fields).into_iter().flatten());
        fields
    }

    fn reader_fields(&self) -> Vec<(&'static str, Value)> {
        let view = self.view.as_deref();
        let held_by = match self.held_by {
            HeldBy::No => Value::Null,
            HeldBy::Transaction => "transaction".into(),
            HeldBy::Moment => "moment".into(),
            HeldBy::Unlocked => "opened without locks".into(),
        };
        vec![
            ("schema", json!(self.schema.as_ref().map(|schema| schema.to_string_lossy()))),
            ("txid", json!(view.map(|view| view.txid().to_string()))),
            ("time", json!(view.map(|view| time::format(view.time_ms())))),
            ("age", json!(view.map(|view| age(view).as_secs_f64()))),
            ("held_by", held_by),
        ]
    }
}

fn replica_fields(status: &Status) -> Vec<(&'static str, Value)> {
    let error = status.last_error.as_ref();
    let conflict = status.writer.last_conflict.as_ref();
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
        ("prefetched_bytes", json!(status.speculation.fetched)),
        ("prefetched_bytes_used", json!(status.speculation.used)),
        ("cache_bytes", json!(status.cached.memory)),
        ("cache_size", json!(status.limits.memory)),
        ("disk_cache_bytes", json!(status.cached.disk)),
        ("disk_cache_size", json!(status.limits.disk)),
        ("writes", json!(status.counts.writes)),
        ("conflicts", json!(status.writer.conflicts)),
        ("last_conflict", json!(conflict.map(|(text, _)| text))),
        ("last_conflict_time", json!(conflict.map(|(_, ms)| time::format(*ms)))),
        ("write_error", json!(status.writer.stopped)),
        ("pending_transactions", json!(status.writer.journal.transactions)),
        ("pending_bytes", json!(status.writer.journal.bytes)),
        ("journal", json!(status.writer.journal.path)),
        ("journal_error", json!(status.writer.journal.failure)),
        ("lease", json!(status.writer.lease.as_ref().map(lease))),
        ("compaction_error", json!(status.writer.compaction_error)),
    ]
}

fn lease(state: &LeaseState) -> String {
    match state {
        LeaseState::Held => "held".to_owned(),
        LeaseState::HeldBy { owner, expires_ms } => format!("held by {owner} until {}", time::format(*expires_ms)),
    }
}

impl fmt::Display for StatusReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object: Map<String, Value> =
            self.fields().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        write!(f, "{}", Value::Object(object))
    }
}
