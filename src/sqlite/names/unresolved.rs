//! Log messages for names that have no full path. SQLite itself only reports "unable to open database file".

use crate::error::{Error, ErrorKind};
use crate::sqlite::api::Api;
use crate::sqlite::errors::log_error;
use crate::store::one_line;
use std::ffi::c_int;

/// The number of bytes that SQLite appends to the name of a database for the name of its journal. SQLite rejects a name that leaves no room
/// for them without calling the VFS again.
pub const SUFFIX: usize = 8;

/// Logs why `xFullPathname` could not resolve `name` to a path of at most `room` bytes. Returns `code`.
pub fn report(api: Api, name: &str, room: c_int, code: c_int) -> c_int {
    crate::log::start();
    let text = one_line(&reason(name, room, code).to_string());
    log_error(api, code, &text);
    code
}

fn reason(name: &str, room: c_int, code: c_int) -> Error {
    /// The longest prefix of the name that the message shows, in characters.
    const SHOWN: usize = 80;
    let shown: String = name.chars().take(SHOWN).collect();
    let shown = if shown.len() < name.len() { format!("{shown}…") } else { shown };
    let error = |cause: String| Error::new(ErrorKind::Config, format!("cannot open {shown}: {cause}"));
    let most = usize::try_from(room).unwrap_or(0).saturating_sub(SUFFIX + 1);
    match std::env::current_dir() {
        Err(cause) if !name.starts_with('/') => error(format!("there is no current directory: {cause}"))
            .remedy("change to a directory that exists, or open the database by an absolute name"),
        Ok(directory) if directory.as_os_str().len() + name.len() > most / 2 => {
            error(format!("its name is too long: with the directory and the settings, SQLite allows {most} bytes"))
                .remedy("use a shorter name, which may be any name if the database is a replica")
        }
        _ => error(format!("SQLite cannot make a full path of its name (result code {code})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::ffi::*;

    #[test]
    fn a_long_name_is_reported_and_shortened() {
        let text = reason(&"n".repeat(600), 513, SQLITE_CANTOPEN_FULLPATH).to_string();
        assert!(
            text.contains("nnn…: its name is too long: with the directory and the settings, SQLite allows 504"),
            "{text}"
        );
        let text = reason("/app.db", 513, SQLITE_CANTOPEN).to_string();
        assert!(text.ends_with("a full path of its name (result code 14)"), "{text}");
    }
}
