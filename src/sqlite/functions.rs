//! The SQL functions that every connection has.
//!
//! | function | result |
//! |---|---|
//! | `litestream_txid([schema])` | TEXT, the TXID of the state that reads see |
//! | `litestream_lag([schema])` | INTEGER, seconds since the replica last answered, −1 before it first did |
//! | `litestream_time([schema])` | TEXT, when that state was written |
//! | `litestream_set_time(moment[, schema])` | TEXT, the time of the state at that moment, where the schema now is |
//!
//! `schema` is `main` unless given.

use super::api::Api;
use super::ffi::*;
use super::guard::guard;
use super::question::{Answer, Question, REQUEST, Request};
use std::ffi::{CStr, CString, c_int};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// How many SQLite libraries of one process can have the functions. Those after have the pragmas.
const LIBRARIES: usize = 16;

/// Whose routines a function uses. SQLite calls a function with nothing that could be looked into without routines, so
/// every library gets functions of its own, and finds its routines under their number.
static ROUTINES: [AtomicPtr<Api>; LIBRARIES] = [const { AtomicPtr::new(ptr::null_mut()) }; LIBRARIES];

/// A function: its name, the most arguments it takes (it also takes one fewer, without the schema), who may call it, and
/// its body.
type Definition = (&'static CStr, c_int, c_int, ScalarFunction);

macro_rules! libraries {
    ($($number:literal)*) => {
        /// The functions of each library.
        static DEFINITIONS: [[Definition; 4]; LIBRARIES] = [$(definitions::<$number>()),*];
    };
}

libraries!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);

const fn definitions<const LIBRARY: usize>() -> [Definition; 4] {
    [
        (c"litestream_txid", 1, SQLITE_INNOCUOUS, txid::<LIBRARY>),
        (c"litestream_lag", 1, SQLITE_INNOCUOUS, lag::<LIBRARY>),
        (c"litestream_time", 1, SQLITE_INNOCUOUS, time::<LIBRARY>),
        // Not from a view or a trigger: reading must not move the reader.
        (c"litestream_set_time", 2, SQLITE_DIRECTONLY, set_time::<LIBRARY>),
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
        for (name, most, flags, body) in DEFINITIONS[library] {
            for arguments in most - 1..=most {
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

unsafe extern "C" fn txid<const LIBRARY: usize>(context: *mut Context, count: c_int, arguments: *mut *mut Value) {
    // SAFETY: SQLite calls a function of this library.
    unsafe { call::<LIBRARY>(context, count, arguments, |_| Some(Question::Txid), 0) }
}

unsafe extern "C" fn lag<const LIBRARY: usize>(context: *mut Context, count: c_int, arguments: *mut *mut Value) {
    // SAFETY: SQLite calls a function of this library.
    unsafe { call::<LIBRARY>(context, count, arguments, |_| Some(Question::Lag), 0) }
}

unsafe extern "C" fn time<const LIBRARY: usize>(context: *mut Context, count: c_int, arguments: *mut *mut Value) {
    // SAFETY: SQLite calls a function of this library.
    unsafe { call::<LIBRARY>(context, count, arguments, |_| Some(Question::Time), 0) }
}

unsafe extern "C" fn set_time<const LIBRARY: usize>(context: *mut Context, count: c_int, arguments: *mut *mut Value) {
    let question = |moment: Option<CString>| Some(Question::MoveTo(moment?.to_string_lossy().into_owned()));
    // SAFETY: SQLite calls a function of this library.
    unsafe { call::<LIBRARY>(context, count, arguments, question, 1) }
}

/// Puts a question, made of the first argument, to the schema named by argument `schema`, and gives back the answer.
///
/// # Safety
/// SQLite called a function of library `LIBRARY` with `context` and `count` arguments.
unsafe fn call<const LIBRARY: usize>(
    context: *mut Context,
    count: c_int,
    arguments: *mut *mut Value,
    question: impl FnOnce(Option<CString>) -> Option<Question>,
    schema: c_int,
) {
    guard("an SQL function", (), || {
        // SAFETY: a function exists only once its library's routines are there, and they stay.
        let api = unsafe { *ROUTINES[LIBRARY].load(Ordering::Acquire) };
        // SAFETY: there are `count` arguments.
        let argument = |at: c_int| if at < count { unsafe { api.text(*arguments.add(at as usize)) } } else { None };
        let schema = argument(schema).unwrap_or_else(|| c"main".to_owned());
        let answer = match question(argument(0)) {
            // SAFETY: the connection that calls is open.
            Some(question) => unsafe { ask(api, api.connection(context), &schema, &question) },
            None => Err("litestream_set_time needs a moment, such as '2024-05-01T12:00:00Z' or 'LATEST'".to_owned()),
        };
        // SAFETY: the call is under way.
        unsafe {
            match answer {
                Ok(Answer::Text(text)) => api.result_text(context, &text),
                Ok(Answer::Seconds(seconds)) => api.result_integer(context, seconds),
                Err(text) => api.result_error(context, &text),
            }
        }
    })
}

/// Puts a question to the file behind a schema.
///
/// # Safety
/// `db` is open, and calling.
unsafe fn ask(api: Api, db: *mut Sqlite3, schema: &CStr, question: &Question) -> Result<Answer, String> {
    let mut request = Request::new(schema, Some(question));
    // SAFETY: as promised, and `REQUEST` takes a request.
    let code = unsafe { api.file_control(db, schema, REQUEST, (&raw mut request).cast()) };
    match request.answer {
        Some(answer) => answer.map_err(|error| error.to_string()),
        None => Err(not_ours(&schema.to_string_lossy(), code)),
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
