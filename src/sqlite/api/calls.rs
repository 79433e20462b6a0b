//! Arguments and results of SQL functions and virtual tables.

use super::routines::TRANSIENT;
use super::{Api, c_string, routine};
use crate::sqlite::ffi::*;
use std::ffi::{CStr, CString, c_int};

/// The text of `SQLITE_TOOBIG`.
const TOO_BIG: &str = "string or blob too big";

impl Api {
    /// Returns the connection that calls a function.
    ///
    /// # Safety
    /// `context` is that of the current call of a function of this library.
    pub unsafe fn connection(self, context: *mut Context) -> *mut Sqlite3 {
        // SAFETY: `context` is valid until the current call returns, by the contract of this function.
        unsafe { routine!(self, context_db_handle)(context) }
    }

    /// Returns the type of an argument. Must be called before [`Api::text`], which can change the type.
    ///
    /// # Safety
    /// `value` is an argument of the current call of a function or of `xFilter`.
    pub unsafe fn kind(self, value: *mut Value) -> c_int {
        // SAFETY: SQLite keeps the arguments until the current call returns.
        unsafe { routine!(self, value_type)(value) }
    }

    /// Returns an argument as a floating-point number.
    ///
    /// # Safety
    /// As for [`Api::kind`].
    pub unsafe fn real(self, value: *mut Value) -> f64 {
        // SAFETY: SQLite keeps the arguments until the current call returns.
        unsafe { routine!(self, value_double)(value) }
    }

    /// Returns the bytes of an argument that is a blob.
    ///
    /// # Safety
    /// As for [`Api::kind`].
    pub unsafe fn blob(self, value: *mut Value) -> Vec<u8> {
        // SAFETY: SQLite keeps the arguments until the current call returns. The blob has as many bytes as `value_bytes` returns after
        // `value_blob`, is null only if it has none, and is copied before the next routine takes the same value.
        unsafe {
            let blob = routine!(self, value_blob)(value).cast::<u8>();
            let length = usize::try_from(routine!(self, value_bytes)(value)).unwrap_or(0);
            if blob.is_null() { Vec::new() } else { std::slice::from_raw_parts(blob, length).to_vec() }
        }
    }

    /// Returns an argument as text, or None if it is NULL.
    ///
    /// # Safety
    /// `value` is an argument of the current call of a function or of `xFilter`.
    pub unsafe fn text(self, value: *mut Value) -> Option<CString> {
        // SAFETY: SQLite keeps the arguments until the current call returns. The text is valid until the next routine takes the same
        // value, and is copied before.
        unsafe {
            if routine!(self, value_type)(value) == SQLITE_NULL {
                return None;
            }
            let text = routine!(self, value_text)(value);
            (!text.is_null()).then(|| CStr::from_ptr(text).to_owned())
        }
    }

    /// Sets the result of a call to a text in UTF-8.
    ///
    /// # Safety
    /// `context` is that of the current call of a function or of `xColumn`.
    pub unsafe fn result_text(self, context: *mut Context, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        let Ok(length) = c_int::try_from(text.len()) else {
            // SAFETY: `context` is valid until the current call returns, by the contract of this function.
            return unsafe { self.result_error(context, SQLITE_TOOBIG, TOO_BIG) };
        };
        // SAFETY: `context` is valid until the current call returns. SQLite copies the text (`TRANSIENT`), which has this length.
        unsafe { routine!(self, result_text)(context, text.as_ptr().cast(), length, TRANSIENT) }
    }

    /// Sets the result of a call to a blob.
    ///
    /// # Safety
    /// As for [`Api::result_text`].
    pub unsafe fn result_blob(self, context: *mut Context, blob: &[u8]) {
        let Ok(length) = c_int::try_from(blob.len()) else {
            // SAFETY: `context` is valid until the current call returns, by the contract of this function.
            return unsafe { self.result_error(context, SQLITE_TOOBIG, TOO_BIG) };
        };
        // SAFETY: `context` is valid until the current call returns. SQLite copies the blob (`TRANSIENT`), which has this length. The
        // pointer is not null, also if the blob is empty.
        unsafe { routine!(self, result_blob)(context, blob.as_ptr().cast(), length, TRANSIENT) }
    }

    /// Sets the result of a call to an integer.
    ///
    /// # Safety
    /// As for [`Api::result_text`].
    pub unsafe fn result_integer(self, context: *mut Context, number: i64) {
        // SAFETY: `context` is valid until the current call returns.
        unsafe { routine!(self, result_int64)(context, number) }
    }

    /// Sets the result of a call to a floating-point number.
    ///
    /// # Safety
    /// As for [`Api::result_text`].
    pub unsafe fn result_real(self, context: *mut Context, number: f64) {
        // SAFETY: `context` is valid until the current call returns.
        unsafe { routine!(self, result_double)(context, number) }
    }

    /// Sets the result of a call to NULL.
    ///
    /// # Safety
    /// As for [`Api::result_text`].
    pub unsafe fn result_null(self, context: *mut Context) {
        // SAFETY: `context` is valid until the current call returns.
        unsafe { routine!(self, result_null)(context) }
    }

    /// Makes a call fail with a result code and an error text.
    ///
    /// # Safety
    /// As for [`Api::result_text`].
    pub unsafe fn result_error(self, context: *mut Context, code: c_int, text: &str) {
        // SAFETY: `context` is valid until the current call returns. SQLite copies the text, which ends with a NUL, and keeps the copy
        // when the code is set.
        unsafe {
            routine!(self, result_error)(context, c_string(text).as_ptr(), -1);
            routine!(self, result_error_code)(context, code);
        }
    }
}
