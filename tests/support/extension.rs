//! The extension under test, built from this tree.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rusqlite::{Connection, LoadExtensionGuard};
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Once, OnceLock};

/// Returns the library under its released name.
pub fn library() -> &'static Path {
    static LINKED: OnceLock<PathBuf> = OnceLock::new();
    LINKED.get_or_init(|| {
        let named = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("litestream-vfs{DLL_SUFFIX}"));
        copy_to(&named);
        named
    })
}

/// Builds the library with cargo, in the profile of the tests. Tests cannot depend on its package.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let test = std::env::current_exe().expect("a test knows its own path");
        // target/PROFILE/deps/TEST
        let profile = test.ancestors().nth(2).expect("a test is in a directory of its profile");
        let mut build = Command::new(env!("CARGO"));
        // With the tests in the same command, cargo reuses the dependencies that it built for them.
        build.args(["build", "--quiet", "--locked", "--package", "litestream-vfs-extension"]);
        build.args(["--package", "litestream-vfs", "--lib", "--test", "stories"]);
        // The variables that cargo sets for a test would make build scripts run again.
        let of_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(of_package)) {
            build.env_remove(name);
        }
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo starts");
        assert!(status.success(), "cargo cannot build the extension");
        profile.join(format!("{DLL_PREFIX}litestream_vfs{DLL_SUFFIX}"))
    })
}

/// Copies the library to this path.
pub fn copy_to(path: &Path) {
    let built = built();
    // Another test process may be loading the existing file. The rename leaves that file to it.
    let partial = path.with_extension(std::process::id().to_string());
    std::fs::copy(built, &partial).unwrap_or_else(|error| panic!("cannot copy {}: {error}", built.display()));
    std::fs::rename(&partial, path).expect("a copy can be renamed");
}

/// Opens a connection of this process's SQLite (the one that rusqlite bundles), with the extension loaded.
pub fn open(uri: &str) -> rusqlite::Result<Connection> {
    static LOADED: Once = Once::new();
    LOADED.call_once(|| load(&Connection::open_in_memory().expect("memory can be opened"), library()));
    Connection::open(uri)
}

/// Loads the library by its file name, as `SELECT load_extension('…')` does.
pub fn load(conn: &Connection, library: &Path) {
    // SAFETY: the library was built from this tree, and its entry point has the signature that SQLite calls.
    let loaded = unsafe {
        let _guard = LoadExtensionGuard::new(conn).expect("extensions are allowed");
        conn.load_extension(library, None::<&str>)
    };
    loaded.unwrap_or_else(|error| panic!("cannot load {}: {error}", library.display()));
}

/// Returns the URI of a replica, as applications write it.
pub fn uri(replica_url: &str, parameters: &[(&str, &str)]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut uri = format!("file:replica.db?vfs=litestream&replica_url={}", encode(replica_url));
    for (name, value) in parameters {
        uri += &format!("&{name}={}", encode(value));
    }
    uri
}

/// Opens a replica.
pub fn connect(replica_url: &str, parameters: &[(&str, &str)]) -> Connection {
    let uri = uri(replica_url, parameters);
    open(&uri).unwrap_or_else(|error| panic!("cannot open {uri}: {error}"))
}

/// Returns the URL of the replica in `sample/`.
pub fn sample_url() -> String {
    format!("file://{}/sample/replica", env!("CARGO_MANIFEST_DIR"))
}
