//! The data that a connection reads, below SQLite (the bytes of the VFS's file) and above it (rows).

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ffi};
use std::collections::BTreeMap;
use std::ffi::{CString, c_void};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::marker::PhantomData;
use std::path::Path;
use std::ptr;

/// The open file of a schema, below SQLite's pager and its cache.
pub struct RawFile<'c> {
    file: *mut ffi::sqlite3_file,
    connection: PhantomData<&'c Connection>,
}

impl RawFile<'_> {
    /// Returns the file of a schema of this connection.
    pub fn of<'c>(conn: &'c Connection, schema: &str) -> RawFile<'c> {
        let schema = CString::new(schema).expect("schema names hold no NUL");
        let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
        // SAFETY: SQLITE_FCNTL_FILE_POINTER writes one pointer to the variable, to a file that lives as long as the schema.
        let code = unsafe {
            let place = ptr::from_mut(&mut file).cast::<c_void>();
            ffi::sqlite3_file_control(conn.handle(), schema.as_ptr(), ffi::SQLITE_FCNTL_FILE_POINTER, place)
        };
        assert_eq!(code, ffi::SQLITE_OK, "the file of {schema:?}");
        assert!(!file.is_null());
        RawFile { file, connection: PhantomData }
    }

    fn methods(&self) -> &ffi::sqlite3_io_methods {
        // SAFETY: the file is open while the connection is borrowed, and the methods of an open file are valid.
        unsafe { &*(*self.file).pMethods }
    }

    /// Returns the size in bytes.
    pub fn size(&self) -> u64 {
        let mut size = 0;
        // SAFETY: the file is open, and `size` outlives the call.
        let code = unsafe { self.methods().xFileSize.expect("files have a size")(self.file, &mut size) };
        assert_eq!(code, ffi::SQLITE_OK, "the size of the file");
        u64::try_from(size).expect("a size is not negative")
    }

    /// Fills `buffer` from an offset. Returns SQLite's result code.
    pub fn try_read(&self, offset: u64, buffer: &mut [u8]) -> i32 {
        let read = self.methods().xRead.expect("files can be read");
        let length = i32::try_from(buffer.len()).expect("a page is small");
        let offset = i64::try_from(offset).expect("a database is below 2^63 bytes");
        // SAFETY: the file is open, and `length` is the length of the buffer.
        unsafe { read(self.file, buffer.as_mut_ptr().cast(), length, offset) }
    }

    /// Fills `buffer` from an offset.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) {
        assert_eq!(self.try_read(offset, buffer), ffi::SQLITE_OK, "{} bytes at {offset}", buffer.len());
    }
}

/// Returns all bytes of the main schema that the VFS serves.
pub fn served_bytes(conn: &Connection) -> Vec<u8> {
    let file = RawFile::of(conn, "main");
    let mut bytes = vec![0; usize::try_from(file.size()).expect("a small database")];
    file.read(0, &mut bytes);
    bytes
}

/// The bytes of page 1 that the VFS replaces: the read and write versions, and the two change counters.
const REPLACED: [std::ops::Range<usize>; 3] = [18..20, 24..28, 92..96];

fn big_endian(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}

/// Compares the size and every page that the VFS serves with a restored database.
pub fn assert_same_bytes(conn: &Connection, restored: &Path) {
    let served = RawFile::of(conn, "main");
    let size = restored.metadata().expect("the restored database is there").len();
    assert_eq!(served.size(), size, "size of the database");

    let mut header = [0; 100];
    served.read(0, &mut header);
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65536,
        size => usize::from(size),
    };
    let mut restored = File::open(restored).expect("the restored database opens");
    let (mut ours, mut theirs) = (vec![0; page_size], vec![0; page_size]);
    for pgno in 1..=size / page_size as u64 {
        served.read((pgno - 1) * page_size as u64, &mut ours);
        restored.read_exact(&mut theirs).expect("a restored database has complete pages");
        if pgno == 1 {
            assert_eq!(header, ours[..100], "the header read alone is the header of page 1");
            assert_eq!(ours[18..20], [1, 1], "not in WAL mode, so that SQLite opens no WAL");
            assert_eq!(ours[24..28], ours[92..96], "SQLite uses the size field only if the two counters are equal");
            assert_eq!(u64::from(big_endian(&ours[28..32])) * page_size as u64, size, "the size field");
            for range in REPLACED {
                theirs[range.clone()].copy_from_slice(&ours[range]);
            }
        }
        if ours != theirs {
            let at = ours.iter().zip(&theirs).position(|(a, b)| a != b).expect("there is a difference");
            panic!("page {pgno} differs from the restored one at byte {at}");
        }
    }
}

/// Compares a database that a host copied to a file with a restored one.
pub fn assert_same_file(served: &Path, restored: &Path) {
    let read = |path: &Path| std::fs::read(path).expect("a database");
    let (ours, mut theirs) = (read(served), read(restored));
    assert_eq!(ours.len(), theirs.len(), "size of the database");
    for range in REPLACED {
        theirs[range.clone()].copy_from_slice(&ours[range]);
    }
    let at = ours.iter().zip(&theirs).position(|(a, b)| a != b);
    assert_eq!(at, None, "the first byte that differs from the restored database");
}

/// Checks the integrity of the database.
pub fn assert_whole(conn: &Connection) {
    let found: String =
        conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("the database can be checked");
    assert_eq!(found, "ok");
}

/// The number of rows of each table, and a hash of the rows that does not depend on their order.
pub type Content = BTreeMap<String, (u64, u64)>;

/// Hashes all rows of all tables, including the shadow tables of virtual ones, but not Litestream's own tables, which change
/// with its checkpoints.
pub fn content(conn: &Connection) -> Content {
    let mut names = conn
        .prepare(
            "SELECT name FROM sqlite_schema
             WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL %' AND name NOT GLOB '_litestream_*'",
        )
        .expect("the schema can be read");
    let names: Vec<String> =
        names.query_map([], |row| row.get(0)).and_then(Iterator::collect).expect("tables have names");
    names.into_iter().map(|name| (name.clone(), rows(conn, &name))).collect()
}

fn rows(conn: &Connection, table: &str) -> (u64, u64) {
    let mut statement = conn.prepare(&format!("SELECT * FROM \"{table}\"")).expect("a table can be read");
    let columns = statement.column_count();
    let mut rows = statement.query([]).expect("a table can be read");
    let (mut count, mut sum) = (0, 0u64);
    while let Some(row) = rows.next().unwrap_or_else(|error| panic!("reading {table}: {error}")) {
        let mut hasher = DefaultHasher::new();
        for column in 0..columns {
            match row.get_ref(column).expect("a column has a value") {
                ValueRef::Null => 0.hash(&mut hasher),
                ValueRef::Integer(value) => value.hash(&mut hasher),
                ValueRef::Real(value) => value.to_bits().hash(&mut hasher),
                ValueRef::Text(value) | ValueRef::Blob(value) => value.hash(&mut hasher),
            }
        }
        count += 1;
        sum = sum.wrapping_add(hasher.finish());
    }
    (count, sum)
}
