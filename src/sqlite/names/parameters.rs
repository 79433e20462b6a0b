//! URI parameters of a name that SQLite passes to `xFullPathname`.

use std::ffi::{CStr, c_char};

/// Reads the URI parameters that follow a name in memory: name, NUL, then key, NUL, value, NUL for each parameter, then NUL.
///
/// Returns None if `name` is not in SQLite's own memory, which has this layout. A VFS that calls this one may pass a copy of the name
/// without parameters.
///
/// # Safety
/// `name` is a string that was passed to `xFullPathname`, and the call has not returned.
pub unsafe fn parameters(name: *const c_char) -> Option<Vec<(String, String)>> {
    // SAFETY: `name` is a string, by the contract of this function.
    if !unsafe { is_marked(name) } {
        return None;
    }
    let mut at = name;
    let mut next = || {
        // SAFETY: the mark shows that SQLite allocated the name together with its parameters, and keeps them until `xFullPathname` returns.
        // `at` is the start of a string of this list: a string follows each one but the empty key at the end, after which `next` is not
        // called again.
        let text = unsafe { CStr::from_ptr(at) };
        // SAFETY: a string ends with a NUL, so the address after it is in the same allocation or one past its end.
        at = unsafe { at.add(text.count_bytes() + 1) };
        text.to_string_lossy().into_owned()
    };
    next();
    let pairs = std::iter::from_fn(|| {
        let key = next();
        (!key.is_empty()).then(|| (key, next()))
    });
    Some(pairs.collect())
}

/// Whether a name has the mark of SQLite: four zero bytes in front of it, at the start of an allocation, so that the address of the name is
/// an odd multiple of four. SQLite's own `sqlite3_uri_parameter` relies on the zero bytes as well. A copy of a name is at the start
/// of its own allocation, whose address is a multiple of eight.
///
/// # Safety
/// `name` is a string.
unsafe fn is_marked(name: *const c_char) -> bool {
    // SAFETY: the address of `name` is an odd multiple of four, so the four bytes in front of it are in the same aligned word of eight bytes
    // as its first byte, which is readable. Memory protection does not divide such words.
    name.addr() % 8 == 4 && unsafe { name.cast::<u32>().sub(1).read() } == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory for a name at a chosen distance from a multiple of eight.
    #[repr(C, align(8))]
    struct MemoryName([u8; 64]);

    impl MemoryName {
        /// Puts `bytes` at offset `at`, after bytes of the value `before`.
        fn new(at: usize, before: u8, bytes: &[u8]) -> MemoryName {
            let mut memory = MemoryName([b'!'; 64]);
            memory.0[..at].fill(before);
            memory.0[at..at + bytes.len()].copy_from_slice(bytes);
            memory
        }
    }

    #[test]
    fn parameters_are_read_up_to_the_end_of_the_list() {
        let read = |bytes: &[u8]| {
            assert!(bytes.ends_with(b"\0\0"));
            let memory = MemoryName::new(4, 0, bytes);
            // SAFETY: the bytes have SQLite's layout, which ends with two NULs, as asserted. `memory` lives until the end of this closure.
            unsafe { parameters(memory.0[4..].as_ptr().cast()) }
        };
        assert_eq!(read(b"/x.db\0\0"), Some(vec![]));
        let pairs = [("vfs", "litestream"), ("mode", ""), ("replica_url", "file:///r?a=b")];
        assert_eq!(
            read(b"/x.db\0vfs\0litestream\0mode\0\0replica_url\0file:///r?a=b\0\0"),
            Some(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec())
        );
    }

    #[test]
    fn a_name_without_the_mark_has_no_parameters() {
        for (at, before) in [(0, 0), (1, 0), (3, 0), (5, 0), (7, 0), (8, 0), (4, b'!'), (12, 1)] {
            let memory = MemoryName::new(at, before, b"/x.db\0vfs\0litestream\0\0");
            // SAFETY: there is a string at this offset of `memory`, which lives until the end of this iteration.
            let read = unsafe { parameters(memory.0[at..].as_ptr().cast()) };
            assert_eq!(read, None, "at offset {at}, after {before}");
        }
    }
}
