//! Runs SQL on a replica, with SQLite linked into the program:
//!
//! ```sh
//! cargo run --release -p query -- s3://bucket/path "SELECT count(*) FROM orders"
//! cargo run --release -p query -- file:///backups/app --time 2024-05-01T12:00:00Z "SELECT * FROM orders LIMIT 3"
//! ```

use litestream_vfs::ReplicaUri;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::ValueRef;
use rusqlite::{Batch, Connection, ErrorCode, OpenFlags, ffi};
use std::error::Error;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::process::ExitCode;
use std::sync::Mutex;

const USAGE: &str = "usage: query <replica-url> [--time <time> | --txid <txid>] <sql>";

/// The first message that SQLite logged. It has the reason of a failed open; the error itself always has the same text.
static LOGGED: Mutex<Option<String>> = Mutex::new(None);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (uri, sql) = parse(&arguments).ok_or(USAGE)?;
    register()?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    // The error text of rusqlite would show the URI, which may contain credentials.
    let connection = Connection::open_with_flags(uri, flags).map_err(|_| reason("the replica cannot be opened"))?;
    let mut statements = Batch::new(&connection, sql);
    while let Some(mut statement) = statements.next()? {
        print(&mut statement).map_err(explain)?;
    }
    Ok(())
}

/// Returns the URI to open and the SQL to run, or None if the arguments are wrong.
fn parse(arguments: &[String]) -> Option<(String, &str)> {
    let (url, position, sql) = match arguments {
        [url, sql] => (url, None, sql),
        [url, option, position, sql] if option == "--time" || option == "--txid" => {
            (url, Some((&option[2..], position)), sql)
        }
        _ => return None,
    };
    let mut uri = ReplicaUri::new(url);
    if let Some((key, value)) = position {
        uri = uri.parameter(key, value);
    }
    Some((uri.to_string(), sql))
}

/// Registers the VFS in the linked SQLite.
fn register() -> Result<(), Box<dyn Error>> {
    // SAFETY: nothing has used SQLite yet, and the callback is a function, which is never freed.
    let code = unsafe {
        let log = log as unsafe extern "C" fn(*mut c_void, c_int, *const c_char);
        ffi::sqlite3_config(ffi::SQLITE_CONFIG_LOG, log, std::ptr::null_mut::<c_void>())
    };
    assert_eq!(code, ffi::SQLITE_OK, "SQLite was in use before it was configured");
    litestream_vfs::register()?;
    Ok(())
}

unsafe extern "C" fn log(_: *mut c_void, _: c_int, text: *const c_char) {
    // SAFETY: SQLite passes a string with a NUL at its end that stays valid during the call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    if let Ok(mut logged) = LOGGED.lock() {
        logged.get_or_insert(text);
    }
}

/// Returns the first message that SQLite logged, or `otherwise`.
fn reason(otherwise: &str) -> String {
    LOGGED.lock().ok().and_then(|mut logged| logged.take()).unwrap_or_else(|| otherwise.to_owned())
}

/// Returns the text of a statement's error: the logged reason if SQLite itself has only a code for a failure of the VFS.
fn explain(error: rusqlite::Error) -> String {
    use ErrorCode::{DatabaseCorrupt, InternalMalfunction, SystemIoFailure};
    match error.sqlite_error_code() {
        Some(SystemIoFailure | DatabaseCorrupt | InternalMalfunction) => reason(&error.to_string()),
        _ => error.to_string(),
    }
}

/// Prints rows as the sqlite3 shell does in list mode, with a header.
fn print(statement: &mut rusqlite::Statement<'_>) -> rusqlite::Result<()> {
    let columns = statement.column_count();
    println!("{}", statement.column_names().collect::<Vec<_>>().join("|"));
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let values: Vec<String> = (0..columns).map(|at| row.get_ref(at).map(text)).collect::<Result<_, _>>()?;
        println!("{}", values.join("|"));
    }
    Ok(())
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("{number:?}"),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}
