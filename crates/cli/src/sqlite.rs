//! Functions of SQLite for shells, which rusqlite does not have. This is the only module with unsafe code.

use rusqlite::ffi;
use std::ffi::{CString, c_char, c_int};

/// Whether the text ends with a complete statement.
pub fn is_complete(sql: &str) -> bool {
    // Text with a NUL cannot become complete.
    let Ok(sql) = CString::new(sql) else { return true };
    // SAFETY: the text ends with a NUL.
    unsafe { ffi::sqlite3_complete(sql.as_ptr()) != 0 }
}

/// Returns the keywords of SQL.
pub fn keywords() -> Vec<String> {
    // SAFETY: the function has no conditions.
    let count = unsafe { ffi::sqlite3_keyword_count() };
    (0..count).filter_map(keyword).collect()
}

fn keyword(number: c_int) -> Option<String> {
    let (mut name, mut length): (*const c_char, c_int) = (std::ptr::null(), 0);
    // SAFETY: both pointers have room for a result. The name is static and has `length` bytes, without a NUL at its end.
    let bytes = unsafe {
        if ffi::sqlite3_keyword_name(number, &mut name, &mut length) != ffi::SQLITE_OK {
            return None;
        }
        std::slice::from_raw_parts(name.cast::<u8>(), usize::try_from(length).ok()?)
    };
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}
