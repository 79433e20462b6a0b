//! What a call of a function or a table is given, and what it answers.

use super::super::ffi::*;
use super::routines::TRANSIENT;
use super::{Api, c_string, routine};
use std::ffi::{CStr, CString, c_int};

impl Api {
    /// The connection that calls a function.
    ///
    /// # Safety
    /// `context` is that of the call under way.
    pub unsafe fn connection(self, context: *mut Context) -> *mut Sqlite3 {
        // SAFETY: as promised.
        unsafe { routine!(self, context_db_handle)(context) }
    }

    /// Whether an argument is an integer. To be asked before [`Api::text`], which may change what it is.
    ///
    /// # Safety
    /// `value` is an argument of the call under way.
    pub unsafe fn is_integer(self, value: *mut Value) -> bool {
        // SAFETY: as promised.
        unsafe { routine!(self, value_type)(value) == SQLITE_INTEGER }
    }

    /// An argument as text; None for NULL.
    ///
    /// # Safety
    /// `value` is an argument of the call under way.
    pub unsafe fn text(self, value: *mut Value) -> Option<CString> {
        // SAFETY: as promised; the text stays until the value is next looked at.
        unsafe {
            if routine!(self, value_type)(value) == SQLITE_NULL {
                return None;
            }
            let text = routine!(self, value_text)(value);
            (!text.is_null()).then(|| CStr::from_ptr(text).to_owned())
        }
    }

    /// Answers a call with text.
    ///
    /// # Safety
    /// As for [`Api::connection`].
    pub unsafe fn result_text(self, context: *mut Context, text: &str) {
        // SAFETY: as promised; SQLite copies the text.
        unsafe { routine!(self, result_text)(context, c_string(text).as_ptr(), -1, TRANSIENT) }
    }

    /// Answers a call with an integer.
    ///
    /// # Safety
    /// As for [`Api::connection`].
    pub unsafe fn result_integer(self, context: *mut Context, number: i64) {
        // SAFETY: as promised.
        unsafe { routine!(self, result_int64)(context, number) }
    }

    /// Answers a call with a number that need not be whole.
    ///
    /// # Safety
    /// As for [`Api::connection`].
    pub unsafe fn result_real(self, context: *mut Context, number: f64) {
        // SAFETY: as promised.
        unsafe { routine!(self, result_double)(context, number) }
    }

    /// Answers a call with NULL.
    ///
    /// # Safety
    /// As for [`Api::connection`].
    pub unsafe fn result_null(self, context: *mut Context) {
        // SAFETY: as promised.
        unsafe { routine!(self, result_null)(context) }
    }

    /// Answers a call with an error of this code and text.
    ///
    /// # Safety
    /// As for [`Api::connection`].
    pub unsafe fn result_error(self, context: *mut Context, code: c_int, text: &str) {
        // SAFETY: as promised; SQLite copies the text, and keeps it when it gets the code.
        unsafe {
            routine!(self, result_error)(context, c_string(text).as_ptr(), -1);
            routine!(self, result_error_code)(context, code);
        }
    }
}
