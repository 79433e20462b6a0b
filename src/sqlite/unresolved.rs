//! Why a database's name has no full path. SQLite itself says no more than "unable to open database file".

use super::api::Api;
use crate::error::{Error, ErrorKind};
use std::ffi::{CStr, c_int};

/// How many bytes SQLite appends to the name of a database for its journal. A name that leaves no room for them is refused
/// without another call of the VFS.
pub const SUFFIX: usize = 8;

/// Writes to the log why `name` cannot be opened, of which `xFullPathname` can make no path in `room` bytes. Returns `code`.
pub fn report(api: Api, name: &CStr, room: c_int, code: c_int) -> c_int {
    crate::log::start();
    let error = reason(&name.to_string_lossy(), room, code);
    tracing::error!("{error}");
    api.log(code, &error.to_string());
    code
}

fn reason(name: &str, room: c_int, code: c_int) -> Error {
    const SHOWN: usize = 80;
    let shown: String = name.chars().take(SHOWN).collect();
    let shown = if shown.len() < name.len() { format!("{shown}…") } else { shown };
    let error = |cause: String| Error::new(ErrorKind::Config, format!("cannot open {shown}: {cause}"));
    let most = usize::try_from(room).unwrap_or(0).saturating_sub(SUFFIX + 1);
    match std::env::current_dir() {
        Err(cause) if !name.starts_with('/') => error(format!("there is no current directory: {cause}"))
            .remedy("change to a directory that exists, or open the database by an absolute name"),
        Ok(directory) if directory.as_os_str().len() + name.len() > most / 2 => {
            error(format!("its name is too long: SQLite takes {most} bytes with the directory and the settings"))
                .remedy("open it by a shorter name; the name of a replica means nothing")
        }
        _ => error(format!("SQLite makes no full path of it (result code {code})")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ffi::*;
    use super::*;

    #[test]
    fn a_long_name_is_said_to_be_one_and_not_shown_whole() {
        let text = reason(&"n".repeat(600), 513, SQLITE_CANTOPEN_FULLPATH).to_string();
        assert!(text.contains("nnn…: its name is too long: SQLite takes 504 bytes"), "{text}");
        let text = reason("/app.db", 513, SQLITE_CANTOPEN).to_string();
        assert!(text.ends_with("no full path of it (result code 14)"), "{text}");
    }
}
