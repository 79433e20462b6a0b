//! The arguments of `xRead` and `xWrite`.

use std::ffi::{c_int, c_void};
use std::slice;

/// Returns the buffer and the offset of a call of `xRead`. None if one of the numbers is negative, which SQLite never passes.
///
/// # Safety
/// The arguments are those of the current call of `xRead`, and the buffer is not used after the method returns.
pub unsafe fn target<'a>(buffer: *mut c_void, amount: c_int, offset: i64) -> Option<(&'a mut [u8], u64)> {
    let (amount, offset) = (usize::try_from(amount).ok()?, u64::try_from(offset).ok()?);
    // SAFETY: SQLite passes a buffer of `amount` initialized bytes, which nothing else uses until the method returns.
    Some((unsafe { slice::from_raw_parts_mut(buffer.cast(), amount) }, offset))
}

/// Returns the bytes and the offset of a call of `xWrite`. None if one of the numbers is negative, which SQLite never passes.
///
/// # Safety
/// The arguments are those of the current call of `xWrite`, and the bytes are not used after the method returns.
pub unsafe fn source<'a>(bytes: *const c_void, amount: c_int, offset: i64) -> Option<(&'a [u8], u64)> {
    let (amount, offset) = (usize::try_from(amount).ok()?, u64::try_from(offset).ok()?);
    // SAFETY: SQLite passes `amount` initialized bytes, which nothing changes until the method returns.
    Some((unsafe { slice::from_raw_parts(bytes.cast(), amount) }, offset))
}
