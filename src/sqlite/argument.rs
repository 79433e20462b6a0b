//! Arguments of functions and tables.

use super::api::Api;
use super::ffi::Value;
use std::ffi::CString;

/// An argument as SQL gave it.
#[derive(Clone, Debug)]
pub enum Argument {
    Null,
    Integer(i64),
    /// Text, and whatever else as text.
    Text(CString),
}

impl Argument {
    /// Reads an argument.
    ///
    /// # Safety
    /// `value` is an argument of the call that is under way.
    pub unsafe fn read(api: Api, value: *mut Value) -> Argument {
        // SAFETY: as promised.
        let (is_integer, text) = unsafe { (api.is_integer(value), api.text(value)) };
        match text {
            None => Argument::Null,
            Some(text) => match text.to_str().ok().filter(|_| is_integer).and_then(|text| text.parse().ok()) {
                Some(number) => Argument::Integer(number),
                None => Argument::Text(text),
            },
        }
    }

    /// As text; None for NULL.
    pub fn into_text(self) -> Option<CString> {
        match self {
            Argument::Null => None,
            Argument::Integer(number) => CString::new(number.to_string()).ok(),
            Argument::Text(text) => Some(text),
        }
    }
}
