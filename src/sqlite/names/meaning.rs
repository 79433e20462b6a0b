//! The meaning of a name: a replica, or a file of the default VFS.

use std::ffi::CStr;

/// The name of the VFS.
pub const VFS: &CStr = c"litestream";

/// The name of the VFS that `sqlite3_litestreamdefault_init` makes the default.
pub const DEFAULT_VFS: &CStr = c"litestream-default";

/// How SQLite chose the VFS for a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selection {
    /// The application named the VFS.
    Named,
    /// It is the default VFS. Every name that does not explicitly mean a replica is a local file.
    Default,
}

/// The environment variable that names the replica if no URI parameter does.
const REPLICA_URL: &str = "LITESTREAM_REPLICA_URL";

/// A function that returns the value of a URI parameter.
type Parameter<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What kind of file the name of a database means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meaning {
    /// A replica: the URI parameters include `vfs=litestream` or `replica_url`.
    Replica,
    /// The replica that the environment names if the file is the main database of a connection, otherwise a local file. The name has no
    /// directory part, and no local file has this name.
    ByRole,
    /// A local file.
    Local,
}

/// Whether URI parameters mean a replica, whatever the name is.
pub fn selects_replica(parameter: Parameter<'_>) -> bool {
    parameter("vfs").is_some_and(|vfs| vfs.as_bytes() == VFS.to_bytes()) || parameter("replica_url").is_some()
}

/// Returns the meaning of a name with these URI parameters. `is_bare` if it has no directory part, `exists` if there is such a local file.
pub fn meaning(
    selection: Selection,
    parameter: Parameter<'_>,
    is_bare: bool,
    exists: impl FnOnce() -> bool,
) -> Meaning {
    if selects_replica(parameter) {
        Meaning::Replica
    } else if selection == Selection::Named && is_bare && is_in_environment() && !exists() {
        Meaning::ByRole
    } else {
        Meaning::Local
    }
}

fn is_in_environment() -> bool {
    std::env::var_os(REPLICA_URL).is_some_and(|url| !url.is_empty())
}

/// SQLite's own URI parameters that only say how a connection uses the database.
pub const SQLITE_PARAMETERS: [&str; 5] = ["vfs", "mode", "cache", "psow", "modeof"];

/// Returns a text that is different for names that mean different databases: the replica and the settings that select its content.
pub fn identity(parameters: &[(String, String)]) -> String {
    let mut parameters: Vec<_> =
        parameters.iter().filter(|(key, _)| !SQLITE_PARAMETERS.contains(&key.as_str())).collect();
    // The first of two values for one key counts. The sort is stable, so it stays the first.
    parameters.sort_by(|(one, _), (other, _)| one.cmp(other));
    format!("{:?} {parameters:?}", std::env::var_os(REPLICA_URL))
}

/// Whether a name, as the application passed it, has no directory part.
pub fn is_bare(name: &CStr) -> bool {
    let separators: &[u8] = if cfg!(windows) { b"/\\:" } else { b"/" };
    !name.to_bytes().iter().any(|byte| separators.contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |key| pairs.iter().find(|(k, _)| *k == key).map(|(_, value)| value.to_string())
    }

    #[test]
    fn a_uri_parameter_makes_a_name_a_replica() {
        for pair in [("vfs", "litestream"), ("replica_url", "s3://b/p"), ("replica_url", "")] {
            for selection in [Selection::Named, Selection::Default] {
                assert_eq!(meaning(selection, &with(&[pair]), false, || true), Meaning::Replica, "{pair:?}");
            }
        }
        for other in [&[][..], &[("vfs", "unix")], &[("mode", "ro"), ("cache", "shared")], &[("VFS", "litestream")]] {
            assert_eq!(meaning(Selection::Named, &with(other), false, || false), Meaning::Local, "{other:?}");
        }
    }

    #[test]
    fn the_identity_depends_on_the_content_only() {
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
}
