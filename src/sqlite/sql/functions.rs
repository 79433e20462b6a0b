//! The SQL functions of every connection.
//!
//! | function | result |
//! |---|---|
//! | `litestream_txid([schema])` | TEXT, the TXID of the state that reads see |
//! | `litestream_lag([schema])` | REAL, seconds since the replica last confirmed the newest state that it serves, −1 before the first confirmation |
//! | `litestream_time([schema])` | TEXT, the time at which the state that reads see was written |
//! | `litestream_set_time(moment[, schema])` | TEXT, moves the schema to a moment and returns the time of its state |
//! | `litestream_wait(txid[, seconds[, schema]])` | 1 once the replica has the transaction, 0 after the timeout (5 s) |
//! | `litestream_flush([schema])` | TEXT, the newest TXID of the replica, once the transactions of this process are there |
//! | `litestream_discard_journal([schema])` | TEXT, the new names of the files of a journal that cannot be uploaded |
//! | `litestream_status([schema])` | TEXT, a JSON object: the status of the replica and of this reader |
//! | `litestream_last_error()` | TEXT, why the last open, read or poll failed; NULL if none failed |
//!
//! `schema` defaults to `main`.

use super::argument::Argument;
use crate::ltx::Txid;
use crate::sqlite::api::Api;
use crate::sqlite::control::{self, ControlOp, ControlValue};
use crate::sqlite::errors::SqlError;
use crate::sqlite::ffi::*;
use crate::sqlite::guard::guard;
use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::Duration;

/// How many SQLite libraries of one process can have the functions. Later ones have only the pragmas and tables.
const LIBRARIES: usize = 16;

/// The routines of each library that has the functions, by the number of the library.
///
/// The arguments of a function cannot be read without the routines of the library that calls it. So each library gets its own
/// instances of the functions, which know the number of the library at compile time.
static ROUTINES: [AtomicPtr<Api>; LIBRARIES] = [const { AtomicPtr::new(ptr::null_mut()) }; LIBRARIES];

/// A function: its name, its minimum and maximum number of arguments, its flags, and its implementation. The schema is always the
/// last argument.
type FunctionDef = (&'static CStr, [c_int; 2], c_int, ScalarFunction);

/// The number of functions.
const FUNCTIONS: usize = 9;

/// The default timeout of `litestream_wait`.
const WAIT: Duration = Duration::from_secs(5);

macro_rules! libraries {
    ($($number:literal)*) => {
        /// The functions of each library.
        static DEFINITIONS: [[FunctionDef; FUNCTIONS]; LIBRARIES] = [$(definitions::<$number>()),*];
    };
}

libraries!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);

const fn definitions<const LIBRARY: usize>() -> [FunctionDef; FUNCTIONS] {
    [
        (c"litestream_txid", [0, 1], SQLITE_INNOCUOUS, txid::<LIBRARY>),
        (c"litestream_lag", [0, 1], SQLITE_INNOCUOUS, lag::<LIBRARY>),
        (c"litestream_time", [0, 1], SQLITE_INNOCUOUS, time::<LIBRARY>),
        (c"litestream_status", [0, 1], SQLITE_INNOCUOUS, status::<LIBRARY>),
        // A view or trigger of the database must not be able to move or delay its reader.
        (c"litestream_set_time", [1, 2], SQLITE_DIRECTONLY, set_time::<LIBRARY>),
        (c"litestream_wait", [1, 3], SQLITE_DIRECTONLY, wait::<LIBRARY>),
        (c"litestream_flush", [0, 1], SQLITE_DIRECTONLY, flush::<LIBRARY>),
        (c"litestream_discard_journal", [0, 1], SQLITE_DIRECTONLY, discard_journal::<LIBRARY>),
        // It names replicas of the process that the database need not know.
        (c"litestream_last_error", [0, 0], SQLITE_DIRECTONLY, last_error::<LIBRARY>),
    ]
}

/// The functions of one SQLite library.
#[derive(Debug)]
pub struct Functions {
    /// The number of the library. None if there are too many libraries.
    library: Option<usize>,
}

impl Functions {
    /// Assigns a number to the library of `api`. Leaks a copy of `api`, because the functions can be called until the process ends.
    pub fn new(api: Api) -> Functions {
        let api = Box::into_raw(Box::new(api));
        let take = |slot: &AtomicPtr<Api>| {
            slot.compare_exchange(ptr::null_mut(), api, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        Functions { library: ROUTINES.iter().position(take) }
    }

    /// Creates the functions on a connection. Returns a result code.
    ///
    /// # Safety
    /// `db` is an open connection of the library that [`Functions::new`] got, and `api` has its routines.
    pub unsafe fn create(&self, api: Api, db: *mut Sqlite3) -> c_int {
        let Some(library) = self.library else {
            api.log(SQLITE_ERROR, "too many SQLite libraries in one process for the functions of litestream-vfs");
            return SQLITE_OK;
        };
        for (name, [fewest, most], flags, function) in DEFINITIONS[library] {
            for arguments in fewest..=most {
                // SAFETY: `db` is open by the contract of this function, and the functions of this number call the routines of its library.
                match unsafe { api.create_function(db, name, arguments, flags, function) } {
                    // SQLITE_BUSY means that the function exists already and that a statement is running.
                    SQLITE_OK | SQLITE_BUSY => {}
                    code => return code,
                }
            }
        }
        SQLITE_OK
    }
}

/// Implements functions that run an operation. Each makes the operation from the arguments before the schema.
macro_rules! functions {
    ($($name:ident($arguments:ident, schema at $schema:literal) $op:expr;)*) => {
        $(
            unsafe extern "C" fn $name<const LIBRARY: usize>(
                context: *mut Context,
                count: c_int,
                arguments: *mut *mut Value,
            ) {
                fn op($arguments: &[Argument]) -> Result<ControlOp, String> {
                    $op
                }
                // SAFETY: SQLite passes the context and `count` arguments of the current call. `Functions::create` registers this instance
                // only with the library of number `LIBRARY`.
                unsafe { call(LIBRARY, context, count, arguments, op, $schema) }
            }
        )*
    };
}

functions! {
    txid(_arguments, schema at 0) Ok(ControlOp::Txid);
    lag(_arguments, schema at 0) Ok(ControlOp::Lag);
    time(_arguments, schema at 0) Ok(ControlOp::Time);
    status(_arguments, schema at 0) Ok(ControlOp::Status);
    flush(_arguments, schema at 0) Ok(ControlOp::Flush);
    discard_journal(_arguments, schema at 0) Ok(ControlOp::DiscardJournal);
    set_time(arguments, schema at 1) parse_moment(arguments).map(ControlOp::SetTime);
    wait(arguments, schema at 2) Ok(ControlOp::Wait { txid: parse_txid(arguments)?, timeout: parse_timeout(arguments)? });
}

/// `litestream_last_error()`, the only function that needs no replica.
unsafe extern "C" fn last_error<const LIBRARY: usize>(context: *mut Context, _: c_int, _: *mut *mut Value) {
    guard("an SQL function", (), || {
        let api = api_of(LIBRARY);
        // SAFETY: `context` is that of the current call.
        unsafe {
            match crate::last_error::last() {
                Some(text) => api.result_text(context, &text),
                None => api.result_null(context),
            }
        }
    })
}

/// Returns the routines of the library of this number, which calls an instance of a function.
fn api_of(library: usize) -> Api {
    // SAFETY: `Functions::new` stored a leaked `Api` under this number before `create` registered any function with it.
    unsafe { *ROUTINES[library].load(Ordering::Acquire) }
}

fn parse_moment(arguments: &[Argument]) -> Result<String, String> {
    match arguments.first() {
        Some(Argument::Text(text)) => Ok(text.to_string_lossy().into_owned()),
        _ => Err("litestream_set_time needs a moment, such as '2024-05-01T12:00:00Z' or 'LATEST'".to_owned()),
    }
}

fn parse_txid(arguments: &[Argument]) -> Result<Txid, String> {
    let txid = match arguments.first() {
        Some(Argument::Integer(number)) => u64::try_from(*number).ok().map(Txid),
        Some(Argument::Text(text)) => text.to_str().ok().and_then(|text| text.parse().ok()),
        _ => None,
    };
    txid.ok_or_else(|| "litestream_wait needs a TXID: an integer, or text of 16 hexadecimal digits".to_owned())
}

fn parse_timeout(arguments: &[Argument]) -> Result<Duration, String> {
    let seconds = match arguments.get(1) {
        None | Some(Argument::Null) => return Ok(WAIT),
        Some(Argument::Integer(seconds)) => Some(*seconds as f64),
        Some(Argument::Real(seconds)) => Some(*seconds),
        Some(Argument::Text(text)) => text.to_str().ok().and_then(|text| text.parse().ok()),
        Some(Argument::Blob(_)) => None,
    };
    let timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    timeout.ok_or_else(|| "the timeout of litestream_wait is a number of seconds, 0 or more".to_owned())
}

/// Runs the operation that `op` makes from the arguments, on the schema that argument number `schema` names. Sets the result of the call.
///
/// # Safety
/// `context`, `count` and `arguments` are those of the current call of a function, by the library of number `library`.
unsafe fn call(
    library: usize,
    context: *mut Context,
    count: c_int,
    arguments: *mut *mut Value,
    op: fn(&[Argument]) -> Result<ControlOp, String>,
    schema: usize,
) {
    guard("an SQL function", (), || {
        let api = api_of(library);
        // SAFETY: `arguments` has `count` entries, which SQLite keeps until the current call returns.
        let argument = |at: c_int| unsafe { Argument::read(api, *arguments.add(at as usize)) };
        let mut arguments: Vec<Argument> = (0..count).map(argument).collect();
        let schema = (schema < arguments.len()).then(|| arguments.remove(schema)).and_then(Argument::into_text);
        let schema = schema.unwrap_or_else(|| c"main".to_owned());
        // SAFETY: `context` is that of the current call. Its connection is open, and SQLite holds its mutex while it calls a function.
        let run = |op: ControlOp| unsafe { control::run(api, api.connection(context), &schema, &op) };
        // SAFETY: `context` is valid until the current call returns.
        unsafe {
            match op(&arguments).map_err(SqlError::from).and_then(run) {
                Ok(ControlValue::Integer(number)) => api.result_integer(context, number),
                Ok(ControlValue::Seconds(seconds)) => api.result_real(context, seconds),
                Ok(value) => api.result_text(context, value.into_text()),
                Err(error) => api.result_error(context, error.code, &error.text),
            }
        }
    })
}
