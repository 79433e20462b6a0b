//! Opening the replica of the command line.

use crate::args::{Moment, Replica};
use crate::failure::{Failure, last_error};
use crate::{interrupt, log};
use litestream_vfs::ltx::Txid;
use litestream_vfs::{ReplicaUri, time};
use rusqlite::{Connection, OpenFlags};

/// Opens the newest state.
pub fn open(replica: &Replica) -> Result<Connection, Failure> {
    connect(uri(replica))
}

/// Opens the state at a moment.
pub fn open_at(replica: &Replica, moment: &Moment) -> Result<Connection, Failure> {
    connect(moved_to(uri(replica), moment))
}

/// Opens the state at a moment, and stays at it. The state is that of a transaction, so that it can be named.
pub fn open_and_stay(replica: &Replica, moment: &Moment) -> Result<Connection, Failure> {
    // Of two parameters with one name, SQLite uses the first.
    let movable = ReplicaUri::new(&replica.url).parameter("time_travel", "on");
    let connection = connect(moved_to(with_settings(movable, replica), moment))?;
    let txid: String = connection.query_row("SELECT litestream_txid()", [], |row| row.get(0))?;
    connection.pragma_update(None, "litestream_txid", txid)?;
    Ok(connection)
}

/// Opens the state at a time or a TXID, or the newest, and reads it for as long as the connection is open. So several statements read one state.
pub fn open_until(replica: &Replica, until: Option<&str>) -> Result<Connection, Failure> {
    let is_txid = until.is_some_and(|until| until.parse::<Txid>().is_ok());
    let (txid, at) = if is_txid { (until, None) } else { (None, until) };
    let connection = open_at(replica, &Moment { at: at.map(str::to_owned), txid: txid.map(str::to_owned) })?;
    connection.execute_batch("BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1")?;
    Ok(connection)
}

/// Returns which state a connection reads, for people.
pub fn state(connection: &Connection) -> Result<String, Failure> {
    let state = "SELECT 'TXID ' || litestream_txid() || ', ' || litestream_time()";
    Ok(connection.query_row(state, [], |row| row.get(0))?)
}

/// Returns a time that means the same later: `5 minutes ago` counts from now. Other text stays as it is.
pub fn absolute(moment: &str) -> String {
    match time::parse(moment) {
        Ok(time::Moment::At(ms)) if moment.parse::<Txid>().is_err() => time::format(ms),
        _ => moment.to_owned(),
    }
}

/// Opens the newest state, which is fetched into the cache directory in the background.
pub fn open_and_hydrate(replica: &Replica, cache: Option<&str>) -> Result<Connection, Failure> {
    // Of two parameters with one name, SQLite uses the first.
    let hydrated = ReplicaUri::new(&replica.url).parameter("hydration_enabled", "on");
    let cached = cache.into_iter().fold(hydrated, |uri, cache| uri.parameter("cache_dir", cache));
    connect(with_settings(cached, replica))
}

fn uri(replica: &Replica) -> ReplicaUri {
    with_settings(ReplicaUri::new(&replica.url), replica)
}

fn with_settings(uri: ReplicaUri, replica: &Replica) -> ReplicaUri {
    replica.settings.iter().fold(uri, |uri, (name, value)| uri.parameter(name, value))
}

fn moved_to(uri: ReplicaUri, moment: &Moment) -> ReplicaUri {
    match (&moment.at, &moment.txid) {
        (Some(time), _) => uri.time(time),
        (None, Some(txid)) => uri.txid(txid),
        (None, None) => uri,
    }
}

/// Opens the only connection of the program.
fn connect(uri: ReplicaUri) -> Result<Connection, Failure> {
    log::start();
    interrupt::install()?;
    // SQL may attach and write local databases.
    litestream_vfs::forbid_writing();
    litestream_vfs::register().map_err(|error| Failure::Reason(error.to_string()))?;
    let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_URI;
    // The error of rusqlite would show the URI, which may contain credentials.
    Connection::open_with_flags(uri.to_string(), flags).map_err(|_| {
        let reason = last_error().unwrap_or_else(|| "the replica cannot be opened".to_owned());
        Failure::Reason(cause(&reason).replacen("the URI parameter ", "", 1))
    })
}

/// Returns the cause in the reason of a failed open, without the name that [`ReplicaUri`] chose for the database.
fn cause(reason: &str) -> &str {
    let named = reason.strip_prefix("cannot open ").and_then(|rest| rest.split_once("replica.db: "));
    named.map_or(reason, |(_, cause)| cause)
}
