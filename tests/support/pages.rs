//! What a connection reads, looked at from below SQLite (the VFS's own file) and from above (rows).

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
    /// The file behind a schema of this connection.
    pub fn of<'c>(conn: &'c Connection, schema: &str) -> RawFile<'c> {
        let schema = CString::new(schema).expect("schema names hold no NUL");
        let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
        // SAFETY: this control writes one pointer, to a file that lives as long as the connection's schema.
        let code = unsafe {
            let place = ptr::from_mut(&mut file).cast::<c_void>();
            ffi::sqlite3_file_control(conn.handle(), schema.as_ptr(), ffi::SQLITE_FCNTL_FILE_POINTER, place)
        };
        assert_eq!(code, ffi::SQLITE_OK, "the file of {schema:?}");
        assert!(!file.is_null());
        RawFile { file, connection: PhantomData }
    }

    fn methods(&self) -> &ffi::sqlite3_io_methods {
        // SAFETY: SQLite handed out an open file, and an open file has methods that outlive it.
        unsafe { &*(*self.file).pMethods }
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        let mut size = 0;
        // SAFETY: the file is open, and `size` outlives the call.
        let code = unsafe { self.methods().xFileSize.expect("files have a size")(self.file, &mut size) };
        assert_eq!(code, ffi::SQLITE_OK, "the size of the file");
        u64::try_from(size).expect("a size is not negative")
    }

    /// Fills `buffer` from that offset; the answer is SQLite's code.
    pub fn try_read(&self, offset: u64, buffer: &mut [u8]) -> i32 {
        let read = self.methods().xRead.expect("files can be read");
        let length = i32::try_from(buffer.len()).expect("a page is small");
        let offset = i64::try_from(offset).expect("a database is below 2^63 bytes");
        // SAFETY: the file is open, and the buffer has that length.
        unsafe { read(self.file, buffer.as_mut_ptr().cast(), length, offset) }
    }

    /// Fills `buffer` from that offset.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) {
        assert_eq!(self.try_read(offset, buffer), ffi::SQLITE_OK, "{} bytes at {offset}", buffer.len());
    }
}

/// All bytes that the VFS serves for the main schema.
pub fn served_bytes(conn: &Connection) -> Vec<u8> {
    let file = RawFile::of(conn, "main");
    let mut bytes = vec![0; usize::try_from(file.size()).expect("a small database")];
    file.read(0, &mut bytes);
    bytes
}

/// What SQLite keeps for itself in page 1 and the VFS sets anew: the read and write versions, and the two change counters.
const SET_ANEW: [std::ops::Range<usize>; 3] = [18..20, 24..28, 92..96];

fn big_endian(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}

/// Compares every byte that the VFS serves for a schema with a restored database: its size, and each page.
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
        restored.read_exact(&mut theirs).expect("a restored database has whole pages");
        if pgno == 1 {
            assert_eq!(header, ours[..100], "the header read alone is the header of page 1");
            assert_eq!(ours[18..20], [1, 1], "a rollback database, so that no WAL is looked for");
            assert_eq!(ours[24..28], ours[92..96], "SQLite trusts the size field only if its two counters agree");
            assert_eq!(u64::from(big_endian(&ours[28..32])) * page_size as u64, size, "the size field");
            for range in SET_ANEW {
                theirs[range.clone()].copy_from_slice(&ours[range]);
            }
        }
        if ours != theirs {
            let at = ours.iter().zip(&theirs).position(|(a, b)| a != b).expect("there is a difference");
            panic!("page {pgno} differs from the restored one from its byte {at} on");
        }
    }
}

/// Compares a database that a host read whole into a file with a restored one.
pub fn assert_same_file(served: &Path, restored: &Path) {
    let read = |path: &Path| std::fs::read(path).expect("a database");
    let (ours, mut theirs) = (read(served), read(restored));
    assert_eq!(ours.len(), theirs.len(), "size of the database");
    for range in SET_ANEW {
        theirs[range.clone()].copy_from_slice(&ours[range]);
    }
    let at = ours.iter().zip(&theirs).position(|(a, b)| a != b);
    assert_eq!(at, None, "the first byte that differs from the restored database");
}

/// Fails unless SQLite finds nothing wrong.
pub fn assert_whole(conn: &Connection) {
    let found: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it can be checked");
    assert_eq!(found, "ok");
}

/// Every table's number of rows, and a hash over them that does not depend on their order.
pub type Content = BTreeMap<String, (u64, u64)>;

/// All rows of all tables, shadow tables of virtual ones included. Litestream's own tables change with its checkpoints.
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
