//! Detecting that the application interrupts the current call.
//!
//! The application interrupts with `sqlite3_interrupt`, or with a progress handler that returns non-zero. SQLite checks both between the
//! steps of a statement, and makes no steps while a read waits for the store. So a wait runs a statement of its own on the same
//! connection. This statement does nothing but make steps until SQLite interrupts it.
//!
//! This is sound inside `xRead` and `xLock`. This thread holds the mutex of the connection, which is recursive. The statement uses no
//! table, so it takes no lock, starts no transaction and reads no page, and it is finalized before the method returns. SQLite nests
//! statements itself, for example when it reads a schema. The exception is a shared cache: to prepare a statement, SQLite locks the
//! caches of all schemas in a fixed order, for which it may unlock the one that is being read. So no statement is run once several
//! connections share the file.

use crate::sqlite::api::{Api, Prepared};
use crate::sqlite::ffi::*;
use std::cell::Cell;
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A statement that does nothing but make steps.
#[derive(Clone, Copy)]
pub(super) struct Steps {
    sql: &'static CStr,
    /// The number of rows for one check: about 20,000 steps.
    rows: u32,
    /// Whether the statement has only one row, so that it must be reset for the next.
    restarts: bool,
}

/// The statements for checks, in order of preference.
///
/// The first never ends, so that a trace shows it only once. It has a row about every 1,000 steps. An authorizer that does not know
/// `SQLITE_RECURSIVE` rejects it. The second needs only the right to select, and is restarted about every 100 steps.
const STEPS: [Steps; 2] = [
    Steps {
        sql: c"/* litestream-vfs waits */ WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
          SELECT 1 FROM n WHERE i % 64 = 0",
        rows: 20,
        restarts: false,
    },
    Steps {
        sql: c"/* litestream-vfs waits */ SELECT 1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,\
          1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1",
        rows: 200,
        restarts: true,
    },
];

/// SQL without a statement. The compiler still checks for `sqlite3_interrupt`, and does not call the authorizer.
const NO_STATEMENT: &CStr = c" ";

/// The maximum duration of a check, unless a single call of a progress handler takes longer.
const LONGEST_CHECK: Duration = Duration::from_millis(1);

/// Checks during one call of a method whether the application interrupts it.
pub struct InterruptCheck<'a> {
    api: Api,
    db: *mut Sqlite3,
    /// Whether several connections share the file. Another one may open it during the call.
    is_shared: &'a AtomicBool,
    method: Cell<CheckMethod>,
}

/// How an [`InterruptCheck`] checks. In any case it first calls `sqlite3_is_interrupted`.
#[derive(Default)]
pub(super) enum CheckMethod {
    /// By a statement that is not prepared yet.
    Unprepared,
    /// By a statement.
    Statement(Prepared, Steps),
    /// By the compiler, because no statement can be prepared, or none may run while SQLite begins or has a write transaction. It only finds
    /// `sqlite3_interrupt`.
    Compiler,
    /// By nothing else.
    #[default]
    None,
}

impl InterruptCheck<'_> {
    /// # Safety
    /// `db` is null or a connection that is calling a method of one of its files, so that it is open and this thread holds its mutex. The
    /// check is dropped before the method returns.
    pub(super) unsafe fn new(
        api: Api,
        db: *mut Sqlite3,
        is_shared: &AtomicBool,
        method: CheckMethod,
    ) -> InterruptCheck<'_> {
        InterruptCheck { api, db, is_shared, method: Cell::new(method) }
    }

    /// Whether the application interrupts the call. Calls its progress handler.
    pub fn interrupted(&self) -> bool {
        if self.db.is_null() {
            return false;
        }
        // SAFETY: `db` is not null, so it is open for as long as this check exists, by the contract of `new`.
        if unsafe { self.api.interrupted(self.db) } {
            return true;
        }
        let method = self.method.take();
        if self.is_shared.load(Ordering::Acquire) {
            return false;
        }
        let (interrupted, method) = match method {
            CheckMethod::Unprepared => self.prepare(),
            CheckMethod::Statement(statement, steps) => run(statement, steps),
            CheckMethod::Compiler => {
                (self.compile(NO_STATEMENT).err() == Some(SQLITE_INTERRUPT), CheckMethod::Compiler)
            }
            CheckMethod::None => (false, CheckMethod::None),
        };
        self.method.set(method);
        interrupted
    }

    fn prepare(&self) -> (bool, CheckMethod) {
        for steps in STEPS {
            match self.compile(steps.sql) {
                Ok(Some(statement)) => return run(statement, steps),
                Err(SQLITE_INTERRUPT) => return (true, CheckMethod::None),
                // The application is closing the connection.
                Err(SQLITE_MISUSE) => return (false, CheckMethod::None),
                Ok(None) | Err(_) => {}
            }
        }
        // This also clears the error that the rejected statements left on the connection.
        (self.compile(NO_STATEMENT).err() == Some(SQLITE_INTERRUPT), CheckMethod::Compiler)
    }

    fn compile(&self, sql: &CStr) -> Result<Option<Prepared>, i32> {
        // SAFETY: `db` is not null here. By the contract of `new` it is open and this thread holds its mutex for as long as this check exists,
        // and the statement is part of the check.
        unsafe { Prepared::new(self.api, self.db, sql) }
    }
}

/// Makes the steps of one check. Leaves the statement at a row, because SQLite keeps an interrupt only while a statement is running.
fn run(statement: Prepared, steps: Steps) -> (bool, CheckMethod) {
    let started = Instant::now();
    for _ in 0..steps.rows {
        if steps.restarts {
            statement.reset();
        }
        if statement.step() != SQLITE_ROW {
            return (statement.reset() == SQLITE_INTERRUPT, CheckMethod::None);
        }
        if started.elapsed() > LONGEST_CHECK {
            break;
        }
    }
    (false, CheckMethod::Statement(statement, steps))
}
