//! Whose a name is: ours, or the default VFS's.

use std::ffi::{CStr, c_char};

/// The name of the VFS.
pub const VFS: &CStr = c"litestream";

/// The environment variable that names the replica where no URI parameter does.
const REPLICA_URL: &str = "LITESTREAM_REPLICA_URL";

/// The value of a URI parameter.
pub type Parameter<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What the name of a database says about the file behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meaning {
    /// It is a replica: `vfs=litestream` or `replica_url` is among the URI parameters.
    Replica,
    /// It is the replica of the environment if it is the main database of a connection, and a local file otherwise: the environment
    /// names a replica, and this is a bare name of which no local file exists.
    ByRole,
    /// It is a local file.
    Local,
}

/// The meaning of a database's name.
pub fn meaning(parameter: Parameter<'_>, bare: bool, exists: impl FnOnce() -> bool) -> Meaning {
    let ours = parameter("vfs").is_some_and(|vfs| vfs.as_bytes() == VFS.to_bytes());
    if ours || parameter("replica_url").is_some() {
        Meaning::Replica
    } else if bare && in_environment() && !exists() {
        Meaning::ByRole
    } else {
        Meaning::Local
    }
}

fn in_environment() -> bool {
    std::env::var_os(REPLICA_URL).is_some_and(|url| !url.is_empty())
}

/// Text that differs where names mean different databases: the replica, and what is asked of it. SQLite's own parameters
/// say how a connection uses it, and are left out.
pub fn identity(parameters: &[(String, String)]) -> String {
    const SQLITES: [&str; 5] = ["vfs", "mode", "cache", "psow", "modeof"];
    let mut parameters: Vec<_> = parameters.iter().filter(|(key, _)| !SQLITES.contains(&key.as_str())).collect();
    // Of two values for one key the first one counts, so their order stays.
    parameters.sort_by(|(one, _), (other, _)| one.cmp(other));
    format!("{:?} {parameters:?}", std::env::var_os(REPLICA_URL))
}

/// Whether a name, as the application wrote it, has no directory part.
pub fn is_bare(name: &CStr) -> bool {
    let separators: &[u8] = if cfg!(windows) { b"/\\:" } else { b"/" };
    !name.to_bytes().iter().any(|byte| separators.contains(byte))
}

/// The URI parameters that follow a database's name in memory: name, NUL, then key, NUL, value, NUL for each, then NUL. None if
/// `name` is not in memory of SQLite's own that has this layout: a VFS above this one may pass a copy of the name alone.
///
/// # Safety
/// `name` is a string, as `xFullPathname` gets it.
pub unsafe fn parameters(name: *const c_char) -> Option<Vec<(String, String)>> {
    // SAFETY: as promised.
    if !unsafe { is_marked(name) } {
        return None;
    }
    let mut at = name;
    let mut next = || {
        // SAFETY: each string is followed by another until the empty one that ends the list.
        let text = unsafe { CStr::from_ptr(at) };
        // SAFETY: see above.
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

/// Whether a name has the mark that SQLite puts in front of the names it opens databases by: four zero bytes, at the beginning of
/// an allocation, so that the name is at an odd multiple of four. SQLite's own `sqlite3_uri_parameter` relies on the mark as well. A copy
/// of a name is at the beginning of its own allocation or object, which is a multiple of eight.
///
/// # Safety
/// `name` is a string.
unsafe fn is_marked(name: *const c_char) -> bool {
    // SAFETY: the four bytes in front of an odd multiple of four are in one aligned word with the first byte of the name, and memory
    // is readable by words at least.
    name.addr() % 8 == 4 && unsafe { name.cast::<u32>().sub(1).read() } == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |key| pairs.iter().find(|(k, _)| *k == key).map(|(_, value)| value.to_string())
    }

    #[test]
    fn a_uri_parameter_makes_a_name_ours() {
        for ours in [("vfs", "litestream"), ("replica_url", "s3://b/p"), ("replica_url", "")] {
            assert_eq!(meaning(&with(&[ours]), false, || true), Meaning::Replica, "{ours:?}");
        }
        for other in [&[][..], &[("vfs", "unix")], &[("mode", "ro"), ("cache", "shared")], &[("VFS", "litestream")]] {
            assert_eq!(meaning(&with(other), false, || false), Meaning::Local, "{other:?}");
        }
    }

    #[test]
    fn names_are_told_apart_by_what_they_read() {
        let identity = |pairs: &[(&str, &str)]| {
            identity(&pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect::<Vec<_>>())
        };
        let plain = identity(&[("replica_url", "s3://b/p")]);
        assert_eq!(identity(&[("mode", "ro"), ("cache", "shared"), ("replica_url", "s3://b/p")]), plain);
        assert_ne!(identity(&[("replica_url", "s3://b/q")]), plain);
        let at = identity(&[("replica_url", "s3://b/p"), ("txid", "2a")]);
        assert_ne!(at, plain);
        assert_eq!(identity(&[("txid", "2a"), ("replica_url", "s3://b/p")]), at);
        assert_ne!(identity(&[("replica_url", "s3://b/p"), ("immutable", "1")]), plain);
    }

    #[test]
    fn bare_names_have_no_directory() {
        assert!(is_bare(c"app.db"));
        assert!(is_bare(c"..."));
        for path in [c"/app.db", c"./app.db", c"data/app.db"] {
            assert!(!is_bare(path), "{path:?}");
        }
    }

    /// Bytes at an address that is `at` behind a multiple of eight.
    #[repr(C, align(8))]
    struct MemoryName([u8; 64]);

    impl MemoryName {
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
            // SAFETY: the bytes have the layout, as asserted.
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
    fn nothing_is_read_behind_a_name_that_is_not_sqlite_s() {
        for (at, before) in [(0, 0), (1, 0), (3, 0), (5, 0), (7, 0), (8, 0), (4, b'!'), (12, 1)] {
            let memory = MemoryName::new(at, before, b"/x.db\0vfs\0litestream\0\0");
            // SAFETY: a string is there.
            let read = unsafe { parameters(memory.0[at..].as_ptr().cast()) };
            assert_eq!(read, None, "{at} behind, after {before}");
        }
    }
}
