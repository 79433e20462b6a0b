//! What the fuzz targets share.

mod http;

pub use http::{Http, take_line};

use litestream_vfs::ReplicaUri;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::sync::OnceLock;
use tempfile::TempDir;

/// A directory that is deleted on drop.
pub struct Scratch(TempDir);

impl Scratch {
    /// Creates an empty directory.
    pub fn new() -> Scratch {
        Scratch(tempfile::tempdir().expect("a directory"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file of a replica in this directory.
    pub fn write(&self, level: u8, name: &str, bytes: &[u8]) {
        let level = self.path().join(format!("ltx/{level}"));
        std::fs::create_dir_all(&level).expect("a level");
        std::fs::write(level.join(name), bytes).expect("a file");
    }

    /// Returns the URI of the replica in this directory.
    pub fn uri(&self) -> ReplicaUri {
        ReplicaUri::new(&format!("file://{}", self.path().display())).parameter("open_timeout", "0s")
    }
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch::new()
    }
}

/// The files of the sample replica: its levels, names and bytes.
pub fn sample() -> &'static [(u8, String, Vec<u8>)] {
    static FILES: OnceLock<Vec<(u8, String, Vec<u8>)>> = OnceLock::new();
    FILES.get_or_init(|| {
        let levels = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sample/replica/ltx");
        let mut files = Vec::new();
        for level in levels.read_dir().expect("the sample").flatten() {
            let number = level.file_name().to_string_lossy().parse().expect("a level");
            for file in level.path().read_dir().expect("a level").flatten() {
                let bytes = std::fs::read(file.path()).expect("a file");
                files.push((number, file.file_name().to_string_lossy().into_owned(), bytes));
            }
        }
        files
    })
}

/// Opens a replica for reading.
pub fn open(uri: ReplicaUri) -> rusqlite::Result<Connection> {
    open_with(uri, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Opens a replica for writing, with a journal that is only uploaded at the end.
pub fn write(replica: &Scratch, buffer: &Scratch) -> rusqlite::Result<Connection> {
    let uri = replica.uri().parameter("write_enabled", "1").parameter("sync_interval", "1h");
    let uri = uri.parameter("buffer_path", &buffer.path().display().to_string());
    open_with(uri, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
}

fn open_with(uri: ReplicaUri, access: OpenFlags) -> rusqlite::Result<Connection> {
    static REGISTERED: OnceLock<()> = OnceLock::new();
    REGISTERED.get_or_init(|| litestream_vfs::register().expect("SQLite accepts a VFS"));
    let flags = access | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(uri.to_string(), flags)
}

/// Runs a query to its end. Only a crash is a finding.
pub fn run(db: &Connection, sql: &str, arguments: &[&str]) {
    let Ok(mut statement) = db.prepare(sql) else { return };
    let Ok(mut rows) = statement.query(rusqlite::params_from_iter(arguments)) else { return };
    for _ in 0..10_000 {
        match rows.next() {
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return,
        }
    }
}
