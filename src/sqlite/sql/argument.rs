//! Arguments of functions and tables.

use crate::sqlite::api::Api;
use crate::sqlite::ffi::Value;
use std::ffi::CString;

/// An SQL value that was passed as an argument.
#[derive(Clone, Debug)]
pub enum Argument {
    Null,
    Integer(i64),
    /// A text, or a value of another type converted to text.
    Text(CString),
}

impl Argument {
    /// Reads an argument.
    ///
    /// # Safety
    /// `value` is an argument of the current call of a function or of `xFilter`, in the library of `api`.
    pub unsafe fn read(api: Api, value: *mut Value) -> Argument {
        // SAFETY: SQLite keeps `value` until the current call returns, which is after this function, by its contract.
        let (is_integer, text) = unsafe { (api.is_integer(value), api.text(value)) };
        match text {
            None => Argument::Null,
            Some(text) => match text.to_str().ok().filter(|_| is_integer).and_then(|text| text.parse().ok()) {
                Some(number) => Argument::Integer(number),
                None => Argument::Text(text),
            },
        }
    }

    /// Converts the argument to text. Returns None if it is NULL.
    pub fn into_text(self) -> Option<CString> {
        match self {
            Argument::Null => None,
            Argument::Integer(number) => CString::new(number.to_string()).ok(),
            Argument::Text(text) => Some(text),
        }
    }
}
