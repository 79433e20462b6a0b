//! Flipped bits are detected by a scan of the whole file, by `verify=full` before the first row, and by `litestream_verify`,
//! which names the file.

use crate::support::bank::names;
use crate::support::extension::{connect, open, uri};
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::programs::wait_until;
use crate::support::workload;
use litestream_vfs::ltx::{FileName, Txid, index_range};
use rusqlite::Connection;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A replica with large files at levels 1, 2 and 9, and the content of its database after each commit.
struct Replica {
    dir: TempDir,
    states: Vec<u64>,
    copies: u32,
}

/// Returns a hash of all rows.
fn read(conn: &Connection) -> rusqlite::Result<u64> {
    let mut hasher = DefaultHasher::new();
    let mut statement = conn.prepare("SELECT id, value FROM t ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        (row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?).hash(&mut hasher);
    }
    Ok(hasher.finish())
}

impl Replica {
    fn new() -> Replica {
        let dir = tempfile::tempdir().expect("a directory");
        let database = dir.path().join("app.db");
        let conn = workload::create(&database, "");
        let insert = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
                      INSERT INTO t SELECT i, randomblob(900) FROM n";
        workload::run(&conn, "CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)");
        workload::run(&conn, insert);
        let primary =
            Primary::start(&database, &Destination::directory(&dir.path().join("replica")), Schedule::SHORT_RETENTION);
        primary.sync();
        primary.wait_for_levels(&[0, 1, 2, 9]);
        let mut states = vec![read(&conn).expect("the primary can be read")];
        for _ in 0..2 {
            workload::run(&conn, "UPDATE t SET value = randomblob(900) WHERE id % 400 < 17");
            primary.sync();
            states.push(read(&conn).expect("the primary can be read"));
        }
        let replica = dir.path().join("replica");
        wait_until("the first file is deleted", || {
            !names(&replica).iter().any(|(level, name)| (*level, name.min) == (0, Txid(1)))
        });
        primary.stop();
        Replica { dir, states, copies: 0 }
    }

    /// Returns whether these rows may be read if a file is damaged: those of the newest state. If the newest file of level 0 is
    /// damaged, it may still be half written, so the previous state is valid as well.
    fn may_be(&self, rows: u64, damaged: (u8, FileName)) -> bool {
        let newest = self.files().into_iter().filter(|(level, ..)| *level == 0).map(|(_, name, _)| name.max).max();
        let is_newest = damaged.0 == 0 && Some(damaged.1.max) == newest;
        self.states.last() == Some(&rows) || is_newest && self.states.contains(&rows)
    }

    /// Returns the files of the replica with their relative paths.
    fn files(&self) -> Vec<(u8, FileName, PathBuf)> {
        let path = |level: u8, name: FileName| PathBuf::from(format!("ltx/{level}/{name}"));
        names(&self.dir.path().join("replica"))
            .into_iter()
            .map(|(level, name)| (level, name, path(level, name)))
            .collect()
    }

    /// Copies the replica, flips one bit of a file, and returns the URL.
    fn damaged(&mut self, file: &Path, at: u64) -> String {
        self.copies += 1;
        let copy = self.dir.path().join(format!("copy-{}", self.copies));
        for (_, _, path) in self.files() {
            fs::create_dir_all(copy.join(&path).parent().expect("a level")).expect("a directory is made");
            fs::copy(self.dir.path().join("replica").join(&path), copy.join(&path)).expect("a file is copied");
        }
        let mut bytes = fs::read(copy.join(file)).expect("a file");
        bytes[at as usize] ^= 0x10;
        fs::write(copy.join(file), bytes).expect("a file is written");
        format!("file://{}", copy.display())
    }

    /// Returns positions in each file: in its header, in several pages, in its index, and in its trailer.
    fn positions(&self) -> Vec<(u8, FileName, PathBuf, u64)> {
        let mut positions = Vec::new();
        for (level, name, path) in self.files() {
            let bytes = fs::read(self.dir.path().join("replica").join(&path)).expect("a file");
            let (size, index) = (bytes.len() as u64, index_range(bytes.len() as u64, &bytes).expect("an index"));
            let pages = (1..8).map(|eighth| index.start * eighth / 8);
            let at = [17, index.start + 5, size - 20, size - 3].into_iter().chain(pages);
            positions.extend(at.map(|at| (level, name, path.clone(), at)));
        }
        positions
    }
}

#[test]
fn a_flipped_bit_is_found_by_a_full_scan_or_changes_nothing() {
    let mut replica = Replica::new();
    let (mut found, mut large) = (0, 0);
    for (level, name, path, at) in replica.positions() {
        let url = replica.damaged(&path, at);
        let Ok(conn) = open(&uri(&url, &[])) else {
            found += 1;
            continue;
        };
        // It reads every page, but does not detect damage of a value itself.
        let _ = conn.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
        // The last pages of a file can arrive a moment later.
        wait_until("no wrong rows are read", || read(&conn).map_or(true, |rows| replica.may_be(rows, (level, name))));
        // The pragma reads no page, so that it works with a damaged schema.
        let status: String = conn.query_row("PRAGMA litestream_status", [], |row| row.get(0)).expect("a status");
        let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
        let is_reported = status["last_error"].as_str().is_some_and(|text| text.contains(&name.to_string()));
        let is_found = is_reported || read(&conn).is_err();
        found += u32::from(is_found);
        let is_large = fs::metadata(replica.dir.path().join("replica").join(&path)).expect("a file").len() > 256 << 10;
        large += u32::from(is_found && is_large && level > 0);
    }
    assert!(found > 10 && large > 0, "{found} found, {large} of them in large files");
}

#[test]
fn with_verify_full_no_flipped_bit_reaches_a_reader() {
    let mut replica = Replica::new();
    let sound = connect(&format!("file://{}", replica.dir.path().join("replica").display()), &[("verify", "full")]);
    assert_eq!(read(&sound).ok(), replica.states.last().copied());
    let mut refused = 0;
    for (level, name, path, at) in replica.positions() {
        let url = replica.damaged(&path, at);
        match open(&uri(&url, &[("verify", "full")])) {
            Ok(conn) => {
                let rows = read(&conn).unwrap_or_else(|error| panic!("byte {at} of {}: {error}", path.display()));
                assert!(replica.may_be(rows, (level, name)), "byte {at} of {}", path.display());
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0, "some files have pages that no other file has");
}

/// (level, min TXID, max TXID, bytes, whether it is undamaged, the error)
type Row = (u8, String, String, i64, Option<bool>, Option<String>);

fn verify(conn: &Connection) -> Vec<Row> {
    let sql = "SELECT level, min_txid, max_txid, bytes, ok, error FROM litestream_verify";
    let mut statement = conn.prepare(sql).expect("a table");
    let row =
        |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?));
    statement.query_map([], row).expect("rows").map(|row| row.expect("a row")).collect()
}

#[test]
fn litestream_verify_reads_all_files_of_the_state_and_names_the_damaged_one() {
    let mut replica = Replica::new();
    let files = replica.files();
    let size = |path: &Path| fs::metadata(replica.dir.path().join("replica").join(path)).expect("a file").len();
    let url = format!("file://{}", replica.dir.path().join("replica").display());
    let sound = verify(&connect(&url, &[]));
    assert!(!sound.is_empty() && sound.is_sorted_by_key(|row| (row.0, row.1.clone())));
    for (level, min, max, bytes, ok, error) in &sound {
        let listed = |(at, name, _): &&(u8, FileName, PathBuf)| {
            at == level && (name.min.to_string(), name.max.to_string()) == (min.clone(), max.clone())
        };
        let (_, _, path) = files.iter().find(listed).expect("a file of the replica");
        assert_eq!((*bytes, *ok, error), (size(path) as i64, Some(true), &None));
    }
    let (largest, ..) = files
        .iter()
        .map(|(level, name, path)| ((*level, *name, path.clone()), size(path)))
        .filter(|((level, name, _), _)| sound.iter().any(|row| row.0 == *level && row.2 == name.max.to_string()))
        .max_by_key(|(_, size)| *size)
        .expect("a file");
    let url = replica.damaged(&largest.2, size(&largest.2) / 2);
    let conn = connect(&url, &[]);
    let damaged: Vec<Row> = verify(&conn).into_iter().filter(|row| row.4 != Some(true)).collect();
    let [(level, _, max, _, Some(false), Some(error))] = &damaged[..] else { panic!("{damaged:?}") };
    assert_eq!((*level, max), (largest.0, &largest.1.max.to_string()));
    assert!(error.contains(&largest.1.to_string()) && error.contains("is damaged"), "{error}");
    // From then on, no wrong byte of the file is read.
    wait_until("it is left out or refused", || {
        read(&conn).map_or(true, |rows| replica.may_be(rows, (largest.0, largest.1)))
    });
}

#[test]
fn the_files_of_a_state_are_listed_without_reading_them() {
    let replica = Replica::new();
    let conn = connect(&format!("file://{}", replica.dir.path().join("replica").display()), &[]);
    let reads =
        || -> i64 { conn.query_row("SELECT reads FROM litestream_status", [], |row| row.get(0)).expect("a count") };
    let listed = || -> (i64, i64) {
        let sql = "SELECT count(*), sum(bytes) FROM litestream_verify";
        conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("a row")
    };
    // Requests of the open can end a moment later.
    wait_until("a listing reads nothing", || {
        let before = reads();
        listed();
        reads() == before
    });
    let before = reads();
    let rows = verify(&conn);
    assert_eq!(listed(), (rows.len() as i64, rows.iter().map(|row| row.3).sum::<i64>()));
    assert!(reads() > before);
}
