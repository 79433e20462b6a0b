//! Whether the application wants the call under way to stop.
//!
//! It says so with `sqlite3_interrupt`, or with a progress handler that returns non-zero. SQLite looks for both between the
//! steps of a statement, and a statement takes no steps while its read waits for the store. So a wait runs a statement of
//! its own on the same connection: one that only takes steps, until SQLite ends it.
//!
//! This is sound inside `xRead` and `xLock`. This thread holds the connection's mutex, which is recursive. The statement
//! uses no table, so it takes no lock, begins no transaction and reads no page, and it is finalized before the call returns.
//! SQLite nests statements itself, also while it reads a schema. The one exception is a shared cache: to prepare a statement
//! there locks the caches of all schemas in a fixed order, which may unlock the one that is being read. So no
//! statement is run on a file that several connections share.

use super::api::{Api, Prepared};
use super::ffi::*;
use std::cell::Cell;
use std::ffi::CStr;
use std::time::{Duration, Instant};

/// SQL that takes steps and does nothing else.
#[derive(Clone, Copy)]
struct Steps {
    sql: &'static CStr,
    /// How many rows are taken at each look: about 20,000 steps.
    rows: u32,
    /// Whether it has one row, so that it has to begin again for the next.
    restarts: bool,
}

/// What a wait runs, most suitable first.
///
/// The first is one endless statement, so that a trace shows it once, with a row every 1,000 steps. An authorizer that does not
/// know `SQLITE_RECURSIVE` refuses it. The second needs nothing but what every reader may do, and is run again for each
/// 100 steps.
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

/// Compiles to nothing. The compiler looks for `sqlite3_interrupt` all the same, and asks no authorizer.
const NOTHING: &CStr = c" ";

/// One look takes no longer than this, unless a single call of a progress handler does.
const LONGEST_LOOK: Duration = Duration::from_millis(1);

/// Looks, during one call of SQLite's, whether the application wants it to stop.
pub struct Watch {
    api: Api,
    db: *mut Sqlite3,
    means: Cell<Means>,
}

/// How a [`Watch`] finds out.
#[derive(Default)]
enum Means {
    /// By a statement that is not prepared yet.
    Unprepared,
    /// By a statement.
    Statement(Prepared, Steps),
    /// By the compiler: no statement can be prepared.
    Compiler,
    /// Only by what `sqlite3_is_interrupted` says.
    #[default]
    None,
}

impl Watch {
    /// `may_run` unless several connections share the file.
    ///
    /// # Safety
    /// `db` is null, or the connection that makes the call under way, which the watch does not outlive.
    pub unsafe fn new(api: Api, db: *mut Sqlite3, may_run: bool) -> Watch {
        let means = if may_run { Means::Unprepared } else { Means::None };
        Watch { api, db, means: Cell::new(means) }
    }

    /// Whether the application wants the call to stop. Calls its progress handler.
    pub fn interrupted(&self) -> bool {
        if self.db.is_null() {
            return false;
        }
        // SAFETY: `new` promised that the connection is open.
        if unsafe { self.api.interrupted(self.db) } {
            return true;
        }
        let (interrupted, means) = match self.means.take() {
            Means::Unprepared => self.prepare(),
            Means::Statement(statement, steps) => run(statement, steps),
            Means::Compiler => (self.compile(NOTHING).err() == Some(SQLITE_INTERRUPT), Means::Compiler),
            Means::None => (false, Means::None),
        };
        self.means.set(means);
        interrupted
    }

    fn prepare(&self) -> (bool, Means) {
        for steps in STEPS {
            match self.compile(steps.sql) {
                Ok(Some(statement)) => return run(statement, steps),
                Err(SQLITE_INTERRUPT) => return (true, Means::None),
                // The application is closing the connection.
                Err(SQLITE_MISUSE) => return (false, Means::None),
                Ok(None) | Err(_) => {}
            }
        }
        // This also clears the message that the refusal left on the connection.
        (self.compile(NOTHING).err() == Some(SQLITE_INTERRUPT), Means::Compiler)
    }

    fn compile(&self, sql: &CStr) -> Result<Option<Prepared>, i32> {
        // SAFETY: `new` promised that the connection makes the call under way, so this thread has it.
        unsafe { Prepared::new(self.api, self.db, sql) }
    }
}

/// Takes steps. The statement is left at a row: a statement that runs keeps SQLite from forgetting an interrupt.
fn run(statement: Prepared, steps: Steps) -> (bool, Means) {
    let begun = Instant::now();
    for _ in 0..steps.rows {
        if steps.restarts {
            statement.reset();
        }
        if statement.step() != SQLITE_ROW {
            return (statement.reset() == SQLITE_INTERRUPT, Means::None);
        }
        if begun.elapsed() > LONGEST_LOOK {
            break;
        }
    }
    (false, Means::Statement(statement, steps))
}
