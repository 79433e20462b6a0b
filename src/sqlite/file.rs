//! An open replica file: what SQLite reads, locks and asks of a database, out of pinned views.
//!
//! SQLite lets one thread at a time into a file, but comes back into it while it answers a question that runs SQL: so
//! the state is in cells, and none is borrowed while anything else is called.

use super::access::NoAttach;
use super::api::Api;
use super::control::{ControlCall, ControlOp, ControlValue};
use super::ffi::Sqlite3;
use super::interrupt::Watch;
use super::journal_names::JournalNames;
use super::page_one::Page1Header;
use super::report::{HeldMemory, StatusReport};
use crate::config::{Settings, Target};
use crate::error::{Error, ErrorKind};
use crate::ltx::Txid;
use crate::replica::{Connection, Page, View};
use crate::store::Location;
use crate::time;
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString};
use std::ops::Range;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

/// An open replica file.
#[derive(Debug)]
pub struct DbFile {
    api: Api,
    connection: Connection,
    /// Where SQLite keeps the connection that uses the file; null until it said so. With a shared cache what stands
    /// there changes from call to call.
    db: Cell<*const *mut Sqlite3>,
    /// Whether several connections use the file, by a shared cache.
    is_shared: Cell<bool>,
    /// The view of the read transaction.
    pinned: RefCell<Option<Arc<View>>>,
    /// What was last written to the log in this read transaction: `PRAGMA quick_check` alone can meet the same error at
    /// every page.
    complaint: RefCell<Option<String>>,
    /// SQLite never locks this file, so the view it was opened at stays.
    unlocked: bool,
    /// Whether SQL may move it to another moment.
    time_travel: bool,
    /// There if SQL may not attach replicas beside it.
    no_attach: Option<NoAttach>,
    _companions: JournalNames,
}

/// Whether a read found all it asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Filled {
    /// It did.
    Whole,
    /// The file ended before; the rest is zeros.
    Short,
}

impl DbFile {
    /// Opens the replica of `settings`, which is at `location`, and waits for its first view. `unlocked` if SQLite will not lock the file
    /// (`nolock=1`, `immutable=1`).
    pub fn open(
        api: Api,
        settings: &Settings,
        location: &Location,
        unlocked: bool,
        companions: JournalNames,
    ) -> Result<DbFile, Error> {
        // No connection is known before the file is open, so nobody can interrupt this.
        let connection = Connection::open(settings, location, &|| false)?;
        let pinned = if unlocked { Some(connection.view(&|| false)?) } else { None };
        Ok(DbFile {
            api,
            connection,
            db: Cell::new(ptr::null()),
            is_shared: Cell::new(false),
            pinned: RefCell::new(pinned),
            complaint: RefCell::default(),
            unlocked,
            time_travel: settings.time_travel,
            no_attach: (!settings.attach).then(NoAttach::new),
            _companions: companions,
        })
    }

    /// Whether SQL may attach replicas to a connection of which this is the main database.
    pub fn may_attach(&self) -> bool {
        self.no_attach.is_none()
    }

    /// Notes where SQLite keeps the connection that uses this file. Each connection that opens the file says so once.
    pub fn set_db(&self, db: *const *mut Sqlite3) {
        if !self.db.replace(db).is_null() {
            self.is_shared.set(true);
        }
    }

    /// Starts a read transaction: everything up to [`DbFile::unlock`] comes from one view.
    pub fn lock(&self) -> Result<(), Error> {
        if self.pinned().is_none() {
            let watch = self.watch();
            let view = self.connection.view(&|| watch.interrupted())?;
            self.pinned.replace(Some(view));
        }
        Ok(())
    }

    /// Ends the read transaction.
    pub fn unlock(&self) {
        self.complaint.replace(None);
        if !self.unlocked {
            self.pinned.replace(None);
        }
    }

    /// Whether an error was not the last one in this read transaction already.
    pub fn is_news(&self, error: &Error) -> bool {
        let text = Some(error.to_string());
        self.complaint.replace(text.clone()) != text
    }

    /// Size in bytes.
    pub fn size(&self) -> Result<u64, Error> {
        Ok(size(&*self.view()?))
    }

    /// Page size in bytes; None if there is no view to tell.
    pub fn page_size(&self) -> Option<u32> {
        self.view().ok().map(|view| view.page_size())
    }

    /// Fills `buffer` with the bytes from `offset` on.
    pub fn read(&self, buffer: &mut [u8], offset: u64) -> Result<Filled, Error> {
        let view = self.view()?;
        let available = size(&view).saturating_sub(offset);
        let wanted = usize::try_from(available).unwrap_or(usize::MAX).min(buffer.len());
        let (inside, behind) = buffer.split_at_mut(wanted);
        self.read_inside(&view, inside, offset)?;
        behind.fill(0);
        Ok(if behind.is_empty() { Filled::Whole } else { Filled::Short })
    }

    /// Fills `buffer` from pages that exist.
    fn read_inside(&self, view: &Arc<View>, mut buffer: &mut [u8], mut offset: u64) -> Result<(), Error> {
        let (page_size, watch) = (u64::from(view.page_size()), self.watch());
        while !buffer.is_empty() {
            // Both fit: the offset lies inside the file, whose page numbers are u32, and pages have at most 65536 bytes.
            let (pgno, start) = ((offset / page_size + 1) as u32, (offset % page_size) as usize);
            let page = self.connection.page(view, pgno, &|| watch.interrupted())?;
            let (part, rest) = buffer.split_at_mut(buffer.len().min(page_size as usize - start));
            match page.as_ref().map(|page| page.get(start..start + part.len())) {
                Some(Some(bytes)) => part.copy_from_slice(bytes),
                Some(None) => return Err(Error::new(ErrorKind::Internal, format!("page {pgno} came short"))),
                // The lock page.
                None => part.fill(0),
            }
            if let (1, Some(page)) = (pgno, &page) {
                self.header(view, page, start..start + part.len())?.patch(part, start);
            }
            offset += part.len() as u64;
            buffer = rest;
        }
        Ok(())
    }

    /// The header that a part of page 1 shows.
    fn header(&self, view: &Arc<View>, page_1: &Page, part: Range<usize>) -> Result<Page1Header, Error> {
        let (counter, commit) = (view.counter(), view.commit());
        let schema_cookie = match Page1Header::shows_schema_cookie(part) {
            true => {
                let watch = self.watch();
                Some(self.connection.schema_cookie(view, page_1, &|| watch.interrupted())?)
            }
            // SQLite reads the counter at the begin of each transaction, which must not wait for pages of the schema.
            false => None,
        };
        Ok(Page1Header { counter, commit, schema_cookie })
    }

    /// Answers a question; `schema` is the name that the file has in its connection, where the asker knows it.
    pub fn answer(&self, question: &ControlOp, schema: Option<&CStr>) -> Result<ControlValue, Error> {
        let watch = self.watch();
        let interrupted = || watch.interrupted();
        match question {
            ControlOp::Txid => Ok(ControlValue::Text(self.settled_view(schema)?.txid().to_string())),
            ControlOp::Time => Ok(ControlValue::Text(time::format(self.settled_view(schema)?.time_ms()))),
            ControlOp::Lag => {
                // Rounded up: a replica that has just been confirmed is not one without an answer.
                let seconds = |lag: Duration| (lag.as_secs_f64() * 1000.0).ceil() / 1000.0;
                Ok(ControlValue::Seconds(self.connection.lag().map_or(-1.0, seconds)))
            }
            ControlOp::MoveTo(moment) => self.move_to(moment),
            ControlOp::Wait { txid, timeout } => self.wait(*txid, *timeout).map(ControlValue::Number),
            ControlOp::Status => Ok(ControlValue::Status(Box::new(self.status(schema)))),
            ControlOp::MoveToTxid(txid) => {
                Ok(ControlValue::Text(self.move_to_target(Target::Txid(*txid))?.txid().to_string()))
            }
            ControlOp::Older(history) => {
                let (rows, rest) = self.connection.older(history.take(), &interrupted)?;
                history.replace(rest);
                Ok(ControlValue::TimeTravel(rows))
            }
            ControlOp::Further(inventory) => {
                let (rows, rest) = self.connection.further(inventory.take(), &interrupted)?;
                inventory.replace(rest);
                Ok(ControlValue::Files(rows))
            }
            ControlOp::Verify(verification) => {
                let view = self.settled_view(schema)?;
                let (rows, rest) = self.connection.verify(view, verification.take(), &interrupted)?;
                verification.replace(rest);
                Ok(ControlValue::Verified(rows))
            }
            ControlOp::Changes { since, until } => {
                let until = match until {
                    Some(until) => self.connection.view_of(*until, &interrupted)?,
                    None => self.settled_view(schema)?,
                };
                Ok(ControlValue::Changes(self.connection.changes_to(until, *since, &interrupted)?))
            }
        }
    }

    /// Moves to another moment, in words.
    fn move_to(&self, moment: &str) -> Result<ControlValue, Error> {
        let target = time::parse(moment)?.into();
        Ok(ControlValue::Text(time::format(self.move_to_target(target)?.time_ms())))
    }

    /// Moves to another moment. A read transaction that is open keeps its view. Connections that share this file by a
    /// shared cache move with it.
    fn move_to_target(&self, target: Target) -> Result<Arc<View>, Error> {
        if !self.time_travel {
            let text = "SQL may not move this database to another moment: time_travel is off";
            return Err(Error::new(ErrorKind::Config, text)
                .remedy("open or attach the replica once more, with the URI parameter `time` or `txid`"));
        }
        if self.unlocked {
            let text = "a database opened with nolock or immutable stays at the moment it was opened at";
            return Err(Error::new(ErrorKind::Config, text).remedy("open it with the URI parameter `time` instead"));
        }
        match self.view() {
            // `litestream_time()` returned the time of this state, which is therefore the one that is meant.
            Ok(seen) if target == Target::Time(seen.time_ms()) => Ok(self.connection.stay_at(seen)),
            _ => {
                let watch = self.watch();
                self.connection.move_to(target, &|| watch.interrupted())
            }
        }
    }

    /// Waits for a transaction; 1 once a view that includes it is published, 0 if that took too long.
    fn wait(&self, txid: Txid, timeout: Duration) -> Result<i64, Error> {
        if self.pinned().is_some() {
            let text = "litestream_wait cannot wait inside a read transaction, which sees one state from begin to end";
            return Err(Error::new(ErrorKind::Config, text).remedy("call it before the transaction"));
        }
        let watch = self.watch();
        self.connection.wait_for(txid, timeout, &|| watch.interrupted()).map(i64::from)
    }

    /// How the replica and this reader are doing. Takes no lock and reads no page, so that it answers when nothing else
    /// does.
    fn status(&self, schema: Option<&CStr>) -> StatusReport {
        // A function or a table, which know the schema, are asked by a statement; a pragma before there is one.
        let asking = usize::from(schema.is_some());
        let schema = schema.map(CStr::to_owned).or_else(|| self.schema(self.db()).ok());
        let held = match (self.connection.is_parked(), self.pinned()) {
            (true, _) => HeldMemory::Moment,
            (false, None) => HeldMemory::No,
            (false, Some(_)) if self.unlocked => HeldMemory::Unlocked,
            (false, Some(_)) if self.outlives(asking, schema.as_deref()) => HeldMemory::Transaction,
            (false, Some(_)) => HeldMemory::No,
        };
        StatusReport { schema, view: self.view().ok(), held, status: self.connection.status() }
    }

    /// Whether the read transaction goes on after the statements that ask, of which there are `asking`. Those read the
    /// main schema themselves if they name any table.
    fn outlives(&self, asking: usize, schema: Option<&CStr>) -> bool {
        let db = self.db();
        if db.is_null() {
            return true;
        }
        // SAFETY: the connection is the one that is calling.
        let (begun, statements) = unsafe { (!self.api.autocommit(db), self.api.unfinished(db)) };
        let exclusive =
            |schema| self.pragma(db, schema, "locking_mode").is_ok_and(|mode| mode == [c"exclusive".to_owned()]);
        begun || statements > asking || schema.is_some_and(exclusive)
    }

    /// The view that an answer is about, and that the reads after it in the same transaction will see.
    ///
    /// After BEGIN SQLite takes its lock at the first read, and the replica may go on until then. So the read
    /// transaction is started here, by SQL: a view that was only remembered could outlive the transaction, of whose
    /// end SQLite tells nobody who holds no lock.
    fn settled_view(&self, schema: Option<&CStr>) -> Result<Arc<View>, Error> {
        let db = self.db();
        // SAFETY: the connection is the one that is calling.
        if self.pinned().is_none() && !db.is_null() && !unsafe { self.api.autocommit(db) } {
            let started = match schema {
                Some(schema) => self.start_transaction(db, schema),
                None => self.schema(db).and_then(|schema| self.start_transaction(db, &schema)),
            };
            started.map_err(|cause| {
                Error::new(
                    ErrorKind::Internal,
                    format!("the read transaction of this answer cannot be started: {cause}"),
                )
            })?;
        }
        self.view()
    }

    fn start_transaction(&self, db: *mut Sqlite3, schema: &CStr) -> Result<(), String> {
        self.pragma(db, schema, "user_version")?;
        // An authorizer can have SQLite leave the pragma out and say nothing.
        self.pinned().map(|_| ()).ok_or_else(|| "PRAGMA user_version is not allowed here".to_owned())
    }

    /// What a pragma says about a schema.
    fn pragma(&self, db: *mut Sqlite3, schema: &CStr, name: &str) -> Result<Vec<CString>, String> {
        let quoted = schema.to_string_lossy().replace('"', "\"\"");
        // SAFETY: the connection is the one that is calling, so this thread has it.
        unsafe { self.api.query(db, &format!("PRAGMA \"{quoted}\".{name}"), 0) }
    }

    /// The name of this file in its connection.
    fn schema(&self, db: *mut Sqlite3) -> Result<CString, String> {
        // SAFETY: as in `start_transaction`. The second column is the name.
        let schemas = unsafe { self.api.query(db, "PRAGMA database_list", 1) }?;
        let is_this = |schema: &CString| {
            let mut request = ControlCall::new(schema, None);
            // SAFETY: the connection is the one that is calling.
            unsafe { request.send(self.api, db) };
            ptr::eq(request.file, self)
        };
        schemas.into_iter().find(is_this).ok_or_else(|| "its schema has no name".to_owned())
    }

    /// The pinned view, or the one that was last seen: outside a transaction nobody asks for a fresh one.
    fn view(&self) -> Result<Arc<View>, Error> {
        match self.pinned() {
            Some(view) => Ok(view),
            None => self.connection.last_view(),
        }
    }

    fn pinned(&self) -> Option<Arc<View>> {
        self.pinned.borrow().clone()
    }

    /// The connection that is using the file, null before SQLite told.
    fn db(&self) -> *mut Sqlite3 {
        // SAFETY: SQLite gave the address for as long as the file is open, and changes what stands there only while no
        // call is under way.
        unsafe { self.db.get().as_ref() }.copied().unwrap_or(ptr::null_mut())
    }

    /// Tells during the call under way whether the application wants it to stop.
    fn watch(&self) -> Watch {
        // SAFETY: the connection is the one that is calling, and the watch ends before the call does.
        unsafe { Watch::new(self.api, self.db(), !self.is_shared.get()) }
    }
}

fn size(view: &View) -> u64 {
    u64::from(view.commit()) * u64::from(view.page_size())
}
