//! Arguments of functions and tables.

use crate::replica::StoredValue;
use crate::sqlite::api::{Api, c_string};
use crate::sqlite::ffi::*;
use std::ffi::CString;

/// An SQL value that was passed as an argument.
#[derive(Clone, PartialEq, Debug)]
pub enum Argument {
    Null,
    Integer(i64),
    Real(f64),
    Text(CString),
    Blob(Vec<u8>),
}

impl Argument {
    /// Reads an argument.
    ///
    /// # Safety
    /// `value` is an argument of the current call of a function or of `xFilter`, in the library of `api`.
    pub unsafe fn read(api: Api, value: *mut Value) -> Argument {
        // SAFETY: SQLite keeps `value` until the current call returns, which is after this function, by its contract.
        let kind = unsafe { api.kind(value) };
        match kind {
            // SAFETY: as for `kind`.
            SQLITE_FLOAT => return Argument::Real(unsafe { api.real(value) }),
            // SAFETY: as for `kind`. The value is a blob.
            SQLITE_BLOB => return Argument::Blob(unsafe { api.blob(value) }),
            _ => {}
        }
        // SAFETY: as for `kind`.
        let Some(text) = (unsafe { api.text(value) }) else { return Argument::Null };
        match text.to_str().ok().filter(|_| kind == SQLITE_INTEGER).and_then(|text| text.parse().ok()) {
            Some(number) => Argument::Integer(number),
            None => Argument::Text(text),
        }
    }

    /// Converts the argument to text, which ends at the first NUL. Returns None if it is NULL.
    pub fn into_text(self) -> Option<CString> {
        match self {
            Argument::Null => None,
            Argument::Integer(number) => Some(c_string(&number.to_string())),
            Argument::Real(number) => Some(c_string(&number.to_string())),
            Argument::Text(text) => Some(text),
            Argument::Blob(blob) => Some(c_string(&String::from_utf8_lossy(&blob))),
        }
    }
}

impl From<Argument> for StoredValue {
    fn from(argument: Argument) -> StoredValue {
        match argument {
            Argument::Null => StoredValue::Null,
            Argument::Integer(number) => StoredValue::Integer(number),
            Argument::Real(number) => StoredValue::Real(number),
            Argument::Text(text) => StoredValue::Text(text.into_bytes()),
            Argument::Blob(blob) => StoredValue::Blob(blob),
        }
    }
}
