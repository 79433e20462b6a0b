//! Attempts to switch to a WAL, which a replica does not have.
//!
//! SQLite leaves the journal mode as it is if a VFS has no shared memory, except with `locking_mode=EXCLUSIVE`, with which a WAL needs none. So
//! the pragma is answered then. For an unqualified pragma SQLite asks only the main file, and switches all: so the commit of a switch is refused
//! as well.

use super::DbFile;
use super::page1::{ROLLBACK, WAL};
use super::snapshot::Snapshot;
use crate::error::{Error, ErrorKind};
use crate::replica::Overlay;
use crate::replica::header::{COUNTER, SCHEMA_COOKIE, VALID_FOR, VERSIONS};

/// Offset and length of the fields that differ from those that are shown: the change counter, the schema cookie, which SQLite may have counted
/// itself, version-valid-for and the version of SQLite.
const COUNTED: [(usize, usize); 3] = [(COUNTER, 4), (SCHEMA_COOKIE, 4), (VALID_FOR, 8)];

impl DbFile {
    /// Returns the journal mode, if SQLite would switch the file to a WAL instead of leaving it in this mode.
    pub fn mode_instead_of_wal(&self) -> Option<String> {
        let db = self.db();
        if !self.writes || db.is_null() {
            return None;
        }
        let schema = self.schema(db).ok()?;
        let mode =
            |pragma: &str| Some(self.query_pragma(db, &schema, pragma).ok()?.first()?.to_string_lossy().into_owned());
        if mode("locking_mode")? == "exclusive" { mode("journal_mode") } else { None }
    }

    /// Fails if a transaction does nothing but to switch the file to a WAL. A backup from a database with a WAL sets the schema cookie too.
    pub(super) fn refuse_wal(&self, overlay: &Overlay, snapshot: &Snapshot) -> Result<(), Error> {
        let Some(view) = snapshot.view() else { return Ok(()) };
        let mut page = vec![0; view.page_size() as usize];
        let is_switch = overlay.size() == snapshot.size()
            && overlay.numbers().eq([1_u32])
            && overlay.read(1, 0, &mut page)?
            && page[VERSIONS..VERSIONS + 2] == WAL
            && page[SCHEMA_COOKIE..SCHEMA_COOKIE + 4] == self.shown.cookie().to_be_bytes();
        if !is_switch {
            return Ok(());
        }
        let mut before = vec![0; page.len()];
        self.read_base(snapshot, 1, 0, &mut before)?;
        page[VERSIONS..VERSIONS + 2].copy_from_slice(&ROLLBACK);
        for (at, length) in COUNTED {
            page[at..at + length].copy_from_slice(&before[at..at + length]);
        }
        if page == before { Err(no_wal()) } else { Ok(()) }
    }
}

/// Returns the error of a switch to a WAL.
pub fn no_wal() -> Error {
    Error::new(ErrorKind::ReadOnly, "a replica has no WAL, which SQLite uses with locking_mode=EXCLUSIVE").remedy(
        "set journal_mode=WAL by `PRAGMA schema.journal_mode` for other databases only; after a backup from a database with a WAL, open the \
         replica again",
    )
}
