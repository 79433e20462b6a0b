//! Opening a replica by a name that SQLite passes to `xOpen`.

use super::access::{self, AccessCondition, NamedDirectory};
use crate::config::Settings;
use crate::error::{Error, ErrorKind};
use crate::sqlite::ffi::*;
use crate::sqlite::file::methods::ReplicaFile;
use crate::sqlite::file::{DbFile, FileAccess};
use crate::sqlite::names;
use crate::sqlite::names::journal_names::JournalNames;
use crate::sqlite::registration::Registration;
use crate::store::Location;
use std::ffi::{CStr, c_char, c_int};

/// Converts the flags of `xOpen` to those of a file that was opened read-only.
pub fn read_only(flags: c_int) -> c_int {
    flags & !(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) | SQLITE_OPEN_READONLY
}

/// The replica to open, according to a name and the environment.
pub struct OpenedName {
    settings: Settings,
    location: Location,
}

impl OpenedName {
    /// Returns the flags that `xOpen` returns, if SQLite passed `flags`.
    pub fn out_flags(&self, flags: c_int) -> c_int {
        if self.settings.writes { flags } else { read_only(flags) }
    }
}

/// Reads the name of a replica. Also returns the condition under which the replica may be opened, or None if there is no condition. Sends no
/// request to the replica.
///
/// # Safety
/// `name` is a name that SQLite passed to `xOpen` for a main database file, and the file is not closed.
pub unsafe fn read_name(
    registration: &Registration,
    name: *const c_char,
) -> Result<(OpenedName, Option<AccessCondition>), Error> {
    // SAFETY: SQLite passed `name` to `xOpen` for a main database file, by the contract of this function.
    let parameter = |key: &str| unsafe { names::parameter(registration, name, key) };
    let read = Settings::read(parameter).and_then(|mut settings| {
        // SQLite has not parsed a name that contains a URI, so its flags do not show this.
        settings.writes &= parameter("mode").as_deref() != Some("ro");
        let location = Location::parse(&settings.replica_url)?;
        let [url, cache_dir, hydration_path, buffer_path] =
            ["replica_url", "cache_dir", "hydration_path", "buffer_path"]
                .map(|key| parameter(key).filter(|value| !value.is_empty()));
        let named = [("cache_dir", cache_dir.or(hydration_path)), ("buffer_path", buffer_path)];
        let directory = |(setting, path): (_, Option<_>)| path.map(|path| NamedDirectory { setting, path });
        let condition = access::check(url.as_deref(), named.into_iter().filter_map(directory).collect(), &location)?;
        Ok((OpenedName { settings, location }, condition))
    });
    // SAFETY: `name` is a string that SQLite keeps until the file is closed.
    read.map_err(|error| unsafe { not_opened(name, error) })
}

/// Opens a replica and writes the file to `file`. `flags` are those that `xOpen` returns.
///
/// # Safety
/// `name` is a name that SQLite passed to `xOpen` for a main database file, and `file` is the memory that it passed for this file.
pub unsafe fn open(
    registration: &Registration,
    name: *const c_char,
    opened_name: &OpenedName,
    file: *mut SqliteFile,
    flags: c_int,
) -> Result<(), Error> {
    let api = registration.api;
    // SAFETY: SQLite passed `name` to `xOpen` for a main database file, by the contract of this function.
    let unlocked = [c"immutable", c"nolock"].into_iter().find(|parameter| unsafe { api.uri_boolean(name, parameter) });
    // SAFETY: as for `unlocked`.
    let parameter = |key: &str| unsafe { names::parameter(registration, name, key) };
    // SAFETY: as for `unlocked`. SQLite keeps both names until the file is closed, and `DbFile` is dropped when it is.
    let [journal, wal] = unsafe { api.journal_and_wal(name) };
    let writes = opened_name.settings.writes && flags & SQLITE_OPEN_READWRITE != 0;
    let access = FileAccess { unlocked: unlocked.is_some(), writes, creates: flags & SQLITE_OPEN_CREATE != 0 };
    let journal_names = JournalNames::insert(journal, wal, writes);
    let settings = Settings { writes, ..opened_name.settings.clone() };
    // Newer versions of SQLite pass the flags of a read-only file with `immutable`.
    let would_write =
        unlocked == Some(c"immutable") && opened_name.settings.writes && parameter("write_enabled").is_some();
    let opened = match unlocked.filter(|_| writes || would_write) {
        Some(unlocked) => Err(unlocked_writer(&unlocked.to_string_lossy(), &opened_name.location)),
        None => DbFile::open(api, &settings, &opened_name.location, access, journal_names),
    };
    // SAFETY: `name` is a string that SQLite keeps until the file is closed.
    let opened = opened.map_err(|error| unsafe { not_opened(name, error) })?;
    // SAFETY: the memory for a file is large enough for a `ReplicaFile`, because the VFS's `file_size` is.
    unsafe { file.cast::<ReplicaFile>().write(ReplicaFile::new(api, opened, flags)) };
    Ok(())
}

/// Returns the error of a replica that may be written although SQLite does not lock it.
fn unlocked_writer(parameter: &str, location: &Location) -> Error {
    let text = format!("{location}: write_enabled needs locks, which {parameter}=1 switches off");
    Error::new(ErrorKind::Config, text).remedy(format!("remove {parameter}, or write_enabled"))
}

/// Adds the name of the database to an error.
///
/// # Safety
/// `name` is a string.
pub unsafe fn not_opened(name: *const c_char, error: Error) -> Error {
    // SAFETY: `name` is a string by the contract of this function, and is copied.
    let path = names::displayed(unsafe { CStr::from_ptr(name) });
    error.context(format!("cannot open {path}"))
}
