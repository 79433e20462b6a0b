//! The SQL functions that every connection has.
//!
//! | function | result |
//! |---|---|
//! | `litestream_txid([schema])` | TEXT, the TXID of the state that reads see |
//! | `litestream_lag([schema])` | REAL, seconds since the replica last confirmed the newest state that is served, −1 before the first |
//! | `litestream_time([schema])` | TEXT, when that state was written |
//! | `litestream_set_time(moment[, schema])` | TEXT, the time of the state at that moment, where the schema now is |
//! | `litestream_wait(txid[, seconds[, schema]])` | 1 once the replica has that transaction, 0 if that took longer (5 s) |
//! | `litestream_status([schema])` | TEXT, a JSON object: how the replica and this reader are doing |
//!
//! `schema` is `main` unless given.

use super::api::Api;
use super::argument::Argument;
use super::control::{ControlCall, ControlOp, ControlValue};
use super::errors::Complaint;
use super::ffi::*;
use super::guard::guard;
use crate::ltx::Txid;
use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::Duration;

/// How many SQLite libraries of one process can have the functions. Those after have the pragmas.
const LIBRARIES: usize = 16;

/// Whose routines a function uses. SQLite calls a function with nothing that could be looked into without routines, so
/// every library gets functions of its own, and finds its routines under their number.
static ROUTINES: [AtomicPtr<Api>; LIBRARIES] = [const { AtomicPtr::new(ptr::null_mut()) }; LIBRARIES];

/// A function: its name, the fewest and the most arguments it takes, of which the schema is the last, who may call it, and
/// its body.
type FunctionDef = (&'static CStr, [c_int; 2], c_int, ScalarFunction);

/// How many functions there are.
const FUNCTIONS: usize = 6;

/// How long `litestream_wait` waits where it is not told.
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
        // Not from a view or a trigger: reading must neither move the reader nor hold it up.
        (c"litestream_set_time", [1, 2], SQLITE_DIRECTONLY, set_time::<LIBRARY>),
        (c"litestream_wait", [1, 3], SQLITE_DIRECTONLY, wait::<LIBRARY>),
    ]
}

/// The functions of one SQLite library.
#[derive(Debug)]
pub struct Functions {
    library: Option<usize>,
}

impl Functions {
    /// The functions of the library of `api`, which calls them by a copy that stays.
    pub fn new(api: Api) -> Functions {
        let api = Box::into_raw(Box::new(api));
        let free = |slot: &AtomicPtr<Api>| {
            slot.compare_exchange(ptr::null_mut(), api, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        Functions { library: ROUTINES.iter().position(free) }
    }

    /// Creates the functions on a connection; answers a result code.
    ///
    /// # Safety
    /// `db` is an open connection of that library, and `api` its routines.
    pub unsafe fn create(&self, api: Api, db: *mut Sqlite3) -> c_int {
        let Some(library) = self.library else {
            api.log(SQLITE_ERROR, "too many SQLite libraries in one process for the functions of litestream-vfs");
            return SQLITE_OK;
        };
        for (name, [fewest, most], flags, body) in DEFINITIONS[library] {
            for arguments in fewest..=most {
                // SAFETY: as promised; the bodies have the number of this library.
                match unsafe { api.create_function(db, name, arguments, flags, body) } {
                    // Busy: it is there already, and a statement of the connection is running.
                    SQLITE_OK | SQLITE_BUSY => {}
                    code => return code,
                }
            }
        }
        SQLITE_OK
    }
}

/// The bodies of functions: each puts a question, which it makes of the arguments before the schema.
macro_rules! functions {
    ($($name:ident($arguments:ident, schema at $schema:literal) $question:expr;)*) => {
        $(
            unsafe extern "C" fn $name<const LIBRARY: usize>(
                context: *mut Context,
                count: c_int,
                arguments: *mut *mut Value,
            ) {
                let question = |$arguments: &[Argument]| -> Result<ControlOp, String> { $question };
                // SAFETY: SQLite calls a function of this library.
                unsafe { call::<LIBRARY>(context, count, arguments, question, $schema) }
            }
        )*
    };
}

functions! {
    txid(_arguments, schema at 0) Ok(ControlOp::Txid);
    lag(_arguments, schema at 0) Ok(ControlOp::Lag);
    time(_arguments, schema at 0) Ok(ControlOp::Time);
    status(_arguments, schema at 0) Ok(ControlOp::Status);
    set_time(arguments, schema at 1) moment(arguments).map(ControlOp::MoveTo);
    wait(arguments, schema at 2) Ok(ControlOp::Wait { txid: awaited(arguments)?, timeout: timeout(arguments)? });
}

fn moment(arguments: &[Argument]) -> Result<String, String> {
    match arguments.first() {
        Some(Argument::Text(text)) => Ok(text.to_string_lossy().into_owned()),
        _ => Err("litestream_set_time needs a moment, such as '2024-05-01T12:00:00Z' or 'LATEST'".to_owned()),
    }
}

fn awaited(arguments: &[Argument]) -> Result<Txid, String> {
    let txid = match arguments.first() {
        Some(Argument::Integer(number)) => u64::try_from(*number).ok().map(Txid),
        Some(Argument::Text(text)) => text.to_str().ok().and_then(|text| text.parse().ok()),
        _ => None,
    };
    txid.ok_or_else(|| "litestream_wait needs a TXID: an integer, or text of 16 hexadecimal digits".to_owned())
}

fn timeout(arguments: &[Argument]) -> Result<Duration, String> {
    let seconds = match arguments.get(1) {
        None | Some(Argument::Null) => return Ok(WAIT),
        Some(Argument::Integer(seconds)) => Some(*seconds as f64),
        Some(Argument::Text(text)) => text.to_str().ok().and_then(|text| text.parse().ok()),
    };
    let timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    timeout.ok_or_else(|| "the timeout of litestream_wait is a number of seconds, 0 or more".to_owned())
}

/// Puts a question, made of the arguments, to the schema named by argument `schema`, and gives back the answer.
///
/// # Safety
/// SQLite called a function of library `LIBRARY` with `context` and `count` arguments.
unsafe fn call<const LIBRARY: usize>(
    context: *mut Context,
    count: c_int,
    arguments: *mut *mut Value,
    question: impl FnOnce(&[Argument]) -> Result<ControlOp, String>,
    schema: usize,
) {
    guard("an SQL function", (), || {
        // SAFETY: a function exists only once its library's routines are there, and they stay.
        let api = unsafe { *ROUTINES[LIBRARY].load(Ordering::Acquire) };
        // SAFETY: there are `count` arguments.
        let argument = |at: c_int| unsafe { Argument::read(api, *arguments.add(at as usize)) };
        let mut arguments: Vec<Argument> = (0..count).map(argument).collect();
        let schema = (schema < arguments.len()).then(|| arguments.remove(schema)).and_then(Argument::into_text);
        let schema = schema.unwrap_or_else(|| c"main".to_owned());
        // SAFETY: the connection that calls is open.
        let ask = |question: ControlOp| unsafe { ask(api, api.connection(context), &schema, &question) };
        // SAFETY: the call is under way.
        unsafe {
            match question(&arguments).map_err(Complaint::from).and_then(ask) {
                Ok(ControlValue::Number(number)) => api.result_integer(context, number),
                Ok(ControlValue::Seconds(seconds)) => api.result_real(context, seconds),
                Ok(answer) => api.result_text(context, &answer.into_text()),
                Err(complaint) => api.result_error(context, complaint.code, &complaint.text),
            }
        }
    })
}

/// Puts a question to the file behind a schema.
///
/// # Safety
/// `db` is open, and calling.
pub unsafe fn ask(api: Api, db: *mut Sqlite3, schema: &CStr, question: &ControlOp) -> Result<ControlValue, Complaint> {
    let mut request = ControlCall::new(schema, Some(question));
    // SAFETY: as promised.
    let code = unsafe { request.send(api, db) };
    match request.answer {
        Some(answer) => answer.map_err(Complaint::from),
        None => Err(not_ours(&schema.to_string_lossy(), code).into()),
    }
}

fn not_ours(schema: &str, code: c_int) -> String {
    match code {
        SQLITE_ERROR => format!("there is no schema '{schema}'"),
        _ => format!(
            "the schema '{schema}' is not read through the litestream VFS; open or attach it as \
             'file:{schema}.db?vfs=litestream&replica_url=…'"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_told_from_what_is_not_there() {
        assert_eq!(not_ours("aux", SQLITE_ERROR), "there is no schema 'aux'");
        assert!(not_ours("main", SQLITE_NOTFOUND).starts_with("the schema 'main' is not read through"));
    }
}
