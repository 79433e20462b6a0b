//! A database written by SQLite, its files in a replica, and the order in which SQLite reads its pages.

use crate::ltx::{Encoder, FileName, Form, Header, Level, Txid};
use crate::replica::testing::budgets::far::Far;
use crate::replica::testing::{header, next_byte};
use rusqlite::Connection;
use std::collections::HashSet;
use std::path::PathBuf;
use tempfile::TempDir;

pub(in crate::replica) struct ModelDatabase {
    dir: TempDir,
    conn: Connection,
    page_size: usize,
    /// The pages of the newest state in the replica.
    replicated: Vec<Vec<u8>>,
    txid: Txid,
    /// The offset of the end of the write-ahead log.
    wal_end: i64,
}

/// The offset of the first frame of a write-ahead log, and the length of a frame header.
const WAL_START: i64 = 32;
const WAL_FRAME_HEADER: usize = 24;

impl ModelDatabase {
    /// Creates a database by SQL.
    pub(in crate::replica) fn new(page_size: usize, sql: &str) -> ModelDatabase {
        let dir = tempfile::tempdir().expect("a directory");
        let conn = Connection::open(dir.path().join("db")).expect("a database");
        conn.execute_batch(&format!("PRAGMA page_size = {page_size}; PRAGMA synchronous = OFF;")).expect("settings");
        let mut database =
            ModelDatabase { dir, conn, page_size, replicated: Vec::new(), txid: Txid(0), wal_end: WAL_START };
        database.run(sql);
        database
    }

    pub(in crate::replica) fn run(&mut self, sql: &str) {
        self.conn.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Runs a statement for each of 1, 2, … `rows`. This number is its first parameter; the second is a value of `length` bytes
    /// that hardly compress and are the same in every run.
    pub(in crate::replica) fn run_for_each(&mut self, rows: u32, length: usize, sql: &str) {
        let transaction = self.conn.transaction().expect("a transaction");
        let mut state = 1;
        let mut statement = transaction.prepare(sql).expect("a statement");
        for row in 1..=rows {
            let value: Vec<u8> = (0..length).map(|_| next_byte(&mut state)).collect();
            statement.execute((row, value)).unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        drop(statement);
        transaction.commit().expect("a commit");
    }

    /// Returns the number that a query gives.
    pub(in crate::replica) fn number(&self, sql: &str) -> u32 {
        self.conn.query_row(sql, (), |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Returns the transaction of the newest state in the replica.
    pub(in crate::replica) fn txid(&self) -> Txid {
        self.txid
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("db")
    }

    /// Overwrites a page without SQLite's knowledge.
    pub(in crate::replica) fn overwrite(&self, pgno: u32, byte: u8) {
        let file = std::fs::OpenOptions::new().write(true).open(self.file()).expect("a database");
        let at = u64::from(pgno - 1) * self.page_size as u64;
        crate::pread::write_all_at(&file, &vec![byte; self.page_size], at).expect("a page is written");
    }

    /// Changes the bytes of a page without SQLite's knowledge.
    pub(in crate::replica) fn patch(&self, pgno: u32, change: impl FnOnce(&mut [u8])) {
        let (file, start) = (self.file(), (pgno - 1) as usize * self.page_size);
        let mut bytes = std::fs::read(&file).expect("a database");
        change(&mut bytes[start..start + self.page_size]);
        std::fs::write(&file, bytes).expect("a database");
    }

    /// Makes all children of an interior page one page, without SQLite's knowledge.
    pub(in crate::replica) fn redirect(&self, pgno: u32, child: u32) {
        let header = if pgno == 1 { 100 } else { 0 };
        self.patch(pgno, |page| {
            assert!([2, 5].contains(&page[header]), "page {pgno} is no interior page");
            let cells = cells(page, header, 12);
            for at in cells.into_iter().chain([header + 8]) {
                page[at..at + 4].copy_from_slice(&child.to_be_bytes());
            }
        });
    }

    /// Has each row of a leaf begin with these bytes and continue on an overflow page, without SQLite's knowledge. `local`
    /// is how many bytes of a row are in the leaf, with its length and its rowid.
    pub(in crate::replica) fn redirect_rows(&self, leaf: u32, start: &[u8], local: usize, overflow: u32) {
        self.patch(leaf, |page| {
            for at in cells(page, 0, 8) {
                page[at..at + start.len()].copy_from_slice(start);
                page[at + local..at + local + 4].copy_from_slice(&overflow.to_be_bytes());
            }
        });
    }

    fn pages(&self) -> Vec<Vec<u8>> {
        let bytes = std::fs::read(self.file()).expect("a database");
        bytes.chunks(self.page_size).map(<[u8]>::to_vec).collect()
    }

    /// Writes a snapshot of the database.
    pub(in crate::replica) fn snapshot(&mut self, far: &Far) {
        self.replicated.clear();
        self.txid = self.txid.next();
        self.write(far, Level::SNAPSHOT, Txid(1));
    }

    /// Writes a snapshot of the last transaction again.
    pub(in crate::replica) fn snapshot_again(&mut self, far: &Far) {
        self.replicated.clear();
        self.write(far, Level::SNAPSHOT, Txid(1));
    }

    /// Writes the pages that changed since the last call to a file of level 1.
    pub(in crate::replica) fn changes(&mut self, far: &Far) {
        self.changes_since(far, self.txid.next());
    }

    /// As [`ModelDatabase::changes`], to a file that begins with an earlier transaction.
    pub(in crate::replica) fn changes_since(&mut self, far: &Far, first: Txid) {
        self.txid = self.txid.next();
        self.write(far, Level::FIRST_COMPACTED, first);
    }

    /// Writes every page of the last transaction to a file of level 1, as if the transactions from `first` on had written
    /// them.
    pub(in crate::replica) fn compact(&mut self, far: &Far, first: Txid) {
        self.replicated.clear();
        self.write(far, Level::FIRST_COMPACTED, first);
    }

    /// Writes the pages that changed since the last call to a file of level 0, as copied from the write-ahead log.
    pub(in crate::replica) fn sync(&mut self, far: &Far) {
        self.txid = self.txid.next();
        self.write(far, Level::ZERO, self.txid);
    }

    fn write(&mut self, far: &Far, level: Level, min: Txid) {
        let pages = self.pages();
        let is_new = |(position, page): &(usize, &Vec<u8>)| self.replicated.get(*position) != Some(*page);
        let changed = pages.iter().enumerate().filter(is_new).count() as i64;
        let in_wal = if level == Level::ZERO { changed * (WAL_FRAME_HEADER + self.page_size) as i64 } else { 0 };
        let header = Header {
            timestamp_ms: 1000 * self.txid.0 as i64,
            wal_offset: if in_wal > 0 { self.wal_end } else { 0 },
            wal_size: in_wal,
            wal_salt: if in_wal > 0 { [1, 2] } else { [0, 0] },
            ..header(self.page_size, pages.len() as u32, min, self.txid)
        };
        let mut encoder = Encoder::new(header, Form::Block);
        for (position, page) in pages.iter().enumerate() {
            if self.replicated.get(position) != Some(page) {
                encoder.page(position as u32 + 1, page);
            }
        }
        self.wal_end += in_wal;
        far.insert(level, FileName { min, max: self.txid }, encoder.finish());
        self.replicated = pages;
    }

    /// Returns the content of a page in the replica.
    pub(in crate::replica) fn page(&self, pgno: u32) -> &[u8] {
        &self.replicated[pgno as usize - 1]
    }

    /// Returns the content of all pages in the replica, in the order of their numbers.
    pub(in crate::replica) fn state(&self) -> Vec<Vec<u8>> {
        self.replicated.clone()
    }

    /// As [`ModelDatabase::snapshot`], with a page that cannot be decompressed.
    pub(in crate::replica) fn snapshot_with_damage(&mut self, far: &Far, pgno: u32) {
        self.snapshot(far);
        let name = FileName { min: Txid(1), max: self.txid };
        far.damage(Level::SNAPSHOT, name, pgno);
    }

    /// Returns the pages of a table or an index in the order in which a scan first reads them, without overflow pages.
    pub(in crate::replica) fn scan(&self, name: &str, backwards: bool) -> Vec<u32> {
        let mut paths = self.paths(name);
        if backwards {
            paths.reverse();
        }
        let mut seen = HashSet::new();
        paths.concat().into_iter().filter(|pgno| seen.insert(*pgno)).collect()
    }

    /// As [`ModelDatabase::scan`] forwards, with overflow pages after their leaves.
    pub(in crate::replica) fn scan_with_values(&self, name: &str) -> Vec<u32> {
        self.pages_in("SELECT pageno FROM dbstat WHERE name = ?1 ORDER BY path", name)
    }

    /// Returns the pages that are not free.
    pub(in crate::replica) fn live(&self) -> Vec<u32> {
        self.pages_in("SELECT pageno FROM dbstat WHERE name <> ?1", "")
    }

    /// Returns the path from the root to each leaf of a table or an index, in key order.
    pub(in crate::replica) fn paths(&self, name: &str) -> Vec<Vec<u32>> {
        let sql = "SELECT pageno, pagetype = 'leaf', length(path) FROM dbstat
                   WHERE name = ?1 AND pagetype <> 'overflow' ORDER BY path";
        let mut statement = self.conn.prepare(sql).expect("a statement");
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let rows = statement.query_map([name], row).expect("rows");
        let (mut path, mut paths) = (Vec::<(u32, u32)>::new(), Vec::new());
        for (pgno, is_leaf, depth) in rows.map(|row| row.expect("a row")) {
            path.retain(|(_, above)| *above < depth);
            path.push((pgno, depth));
            if is_leaf {
                paths.push(path.iter().map(|(pgno, _)| *pgno).collect());
            }
        }
        paths
    }

    fn pages_in(&self, sql: &str, name: &str) -> Vec<u32> {
        let mut statement = self.conn.prepare(sql).expect("a statement");
        let rows = statement.query_map([name], |row| row.get(0)).expect("rows");
        rows.map(|row| row.expect("a row")).collect()
    }
}

/// Returns where the cells of a page are, whose header begins at an offset and has this size.
fn cells(page: &[u8], header: usize, size: usize) -> Vec<usize> {
    let number = |at: usize| usize::from(u16::from_be_bytes([page[at], page[at + 1]]));
    (0..number(header + 3)).map(|cell| number(header + size + 2 * cell)).collect()
}
