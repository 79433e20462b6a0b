//! The operations of functions, tables and pragmas on an open replica file.

use super::DbFile;
use crate::config::Target;
use crate::error::{Error, ErrorKind};
use crate::ltx::Txid;
use crate::replica::View;
use crate::sqlite::control::{ControlOp, ControlValue, Since};
use crate::time;
use std::cell::RefCell;
use std::ffi::CStr;
use std::sync::Arc;
use std::time::Duration;

/// The remedy for what `time_travel=off` denies to tables.
const ELSEWHERE: &str = "ask on a connection that was opened without time_travel=off";

impl DbFile {
    /// Runs an operation. `schema` is the schema of the file in its connection, if the caller knows it.
    pub fn run(&self, op: &ControlOp, schema: Option<&CStr>) -> Result<ControlValue, Error> {
        let check = self.interrupt_check();
        let interrupted = || check.interrupted();
        match op {
            ControlOp::Txid => Ok(ControlValue::Text(self.settled_view(schema)?.txid().to_string())),
            ControlOp::Time => Ok(ControlValue::Text(time::format(self.settled_view(schema)?.time_ms()))),
            ControlOp::HydrationProgress => {
                let progress =
                    self.connection.hydration_progress().map(|progress| format!("{:.1}", progress.percent()));
                Ok(ControlValue::Text(progress.unwrap_or_else(|| "0".to_owned())))
            }
            ControlOp::HydrationFile => {
                let directory = self.connection.hydration_directory().map(|directory| directory.display().to_string());
                Ok(ControlValue::Text(directory.unwrap_or_default()))
            }
            ControlOp::HydrationError => {
                Ok(ControlValue::Text(self.connection.hydration_obstacle().unwrap_or_default()))
            }
            ControlOp::WriteEnabled => Ok(ControlValue::Text(u8::from(self.may_write()).to_string())),
            ControlOp::EnableWrites(enabled) => {
                self.enable_writes(*enabled)?;
                Ok(ControlValue::Text(u8::from(self.may_write()).to_string()))
            }
            ControlOp::Lag => {
                // Rounded up, so that the lag of a replica that was just confirmed is not 0, which could be taken for a missing value.
                let seconds = |lag: Duration| (lag.as_secs_f64() * 1000.0).ceil() / 1000.0;
                Ok(ControlValue::Seconds(self.connection.lag().map_or(-1.0, seconds)))
            }
            ControlOp::SetTime(moment) => {
                let view = self.move_to(time::parse(moment)?.into())?;
                Ok(ControlValue::Text(time::format(view.time_ms())))
            }
            ControlOp::SetTxid(txid) => Ok(ControlValue::Text(self.move_to(Target::Txid(*txid))?.txid().to_string())),
            ControlOp::Wait { txid, timeout } => self.wait(*txid, *timeout).map(ControlValue::Integer),
            ControlOp::Flush => {
                let txid = self.connection.flush(&interrupted)?.ok_or_else(|| self.connection.empty())?;
                Ok(ControlValue::Text(txid.to_string()))
            }
            ControlOp::DiscardJournal => {
                let names = self.connection.discard_journal()?;
                let names: Vec<_> = names.iter().map(|name| name.display().to_string()).collect();
                Ok(ControlValue::Text(names.join("\n")))
            }
            ControlOp::Status => Ok(ControlValue::Status(Box::new(self.status(schema)))),
            ControlOp::History(_)
            | ControlOp::Files(_)
            | ControlOp::Verify(_)
            | ControlOp::Changes { .. }
            | ControlOp::Table { .. }
            | ControlOp::Diff(_)
            | ControlOp::RowHistory(_) => self.rows(op, schema),
        }
    }

    /// Runs an operation that only tables use.
    fn rows(&self, op: &ControlOp, schema: Option<&CStr>) -> Result<ControlValue, Error> {
        let check = self.interrupt_check();
        let interrupted = || check.interrupted();
        match op {
            ControlOp::History(moments) => {
                let (rows, rest) = self.connection.older_states(moments.take(), &interrupted)?;
                moments.replace(rest);
                Ok(ControlValue::History(rows))
            }
            ControlOp::Files(listing) => {
                let (rows, rest) = self.connection.next_files(listing.take(), &interrupted)?;
                listing.replace(rest);
                Ok(ControlValue::Files(rows))
            }
            ControlOp::Verify(verification) => {
                self.check_time_travel("SQL may not read all files", ELSEWHERE)?;
                let view = self.settled_view(schema)?;
                let (rows, rest) = self.connection.verify(view, verification.take(), &interrupted)?;
                verification.replace(rest);
                Ok(ControlValue::Verified(rows))
            }
            ControlOp::Changes { since, until } => {
                let until = self.view_at(*until, schema)?;
                Ok(ControlValue::Changes(self.connection.changes_to(until, *since, &interrupted)?))
            }
            ControlOp::Table { name, since, until } => {
                self.check_time_travel("SQL may not read the rows of other moments", ELSEWHERE)?;
                let until = self.view_at(*until, schema)?;
                let since = match since {
                    Since::At(since) => self.connection.view_of(*since, &interrupted)?,
                    Since::Previous => self.connection.view_before(until.txid(), &interrupted)?,
                    Since::Same => until.clone(),
                };
                Ok(ControlValue::Table(Box::new(self.connection.table(name.clone(), since, until, &interrupted)?)))
            }
            ControlOp::Diff(diff) => {
                let taken = taken(diff)?;
                let (rows, rest) = self.connection.next_rows(taken, &interrupted)?;
                diff.replace(Some(rest));
                Ok(ControlValue::RowChanges(rows))
            }
            ControlOp::RowHistory(history) => {
                let taken = taken(history)?;
                let (step, rest) = self.connection.older_version(taken, &interrupted)?;
                history.replace(Some(rest));
                Ok(ControlValue::HistoryStep(step))
            }
            _ => Err(Error::internal("an operation that tables do not use has no rows")),
        }
    }

    /// Returns the view of a moment, or the one that reads see.
    fn view_at(&self, target: Option<Target>, schema: Option<&CStr>) -> Result<Arc<View>, Error> {
        let check = self.interrupt_check();
        match target {
            Some(target) => self.connection.view_of(target, &|| check.interrupted()),
            None => self.settled_view(schema),
        }
    }

    /// Moves to another moment and returns its view. An open read transaction keeps its own view. Connections that use this file through a
    /// shared cache move too.
    fn move_to(&self, target: Target) -> Result<Arc<View>, Error> {
        let denied = "SQL may not move this database to another moment";
        self.check_time_travel(denied, "open or attach the replica again, with the URI parameter `time` or `txid`")?;
        if self.unlocked {
            let text = "a database opened with nolock or immutable stays at the moment at which it was opened";
            return Err(Error::new(ErrorKind::Config, text).remedy("open it with the URI parameter `time` instead"));
        }
        match self.view() {
            // `litestream_time()` may have returned the time of this state. Then this state is meant, not another one of the same time.
            Ok(current) if target == Target::Time(current.time_ms()) => Ok(self.connection.stay_at(current)),
            _ => {
                let check = self.interrupt_check();
                self.connection.move_to(target, &|| check.interrupted())
            }
        }
    }

    /// Fails if the connection was opened with `time_travel=off`. `denied` says what it may not do.
    fn check_time_travel(&self, denied: &str, remedy: &str) -> Result<(), Error> {
        match self.time_travel {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Config, format!("{denied}: time_travel is off")).remedy(remedy)),
        }
    }

    /// Waits for a transaction. Returns 1 once a view that includes it is published, or 0 after the timeout.
    fn wait(&self, txid: Txid, timeout: Duration) -> Result<i64, Error> {
        if self.pinned().is_some() {
            let text = "litestream_wait cannot wait inside a read transaction, which sees one state until it ends";
            return Err(Error::new(ErrorKind::Config, text).remedy("call it before the transaction"));
        }
        let check = self.interrupt_check();
        self.connection.wait_for(txid, timeout, &|| check.interrupted()).map(i64::from)
    }
}

/// Takes the state of an operation, which is there unless the operation failed before.
fn taken<T>(state: &RefCell<Option<T>>) -> Result<T, Error> {
    state.take().ok_or_else(|| Error::internal("an operation continues after it has failed"))
}
