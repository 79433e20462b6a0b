//! A workload with every kind of change that matters to a replica.

use rusqlite::Connection;
use std::path::Path;

/// Creates a database in WAL mode. `before` runs while it is still empty (page size, auto_vacuum).
pub fn create(path: &Path, before: &str) -> Connection {
    let conn = Connection::open(path).expect("a database is created");
    conn.execute_batch(before).expect("an empty database can be configured");
    let mode: String =
        conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).expect("a database can be in WAL mode");
    assert_eq!(mode, "wal");
    // Only Litestream checkpoints.
    conn.execute_batch("PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF").expect("pragmas run");
    conn
}

/// Each step makes a new state: rows are inserted, updated and deleted, pages are freed and reused, the file grows and
/// shrinks.
pub const STEPS: &[&str] = &[
    "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, age INTEGER);
     CREATE TABLE words (word TEXT PRIMARY KEY, meaning TEXT) WITHOUT ROWID;
     CREATE TABLE files (id INTEGER PRIMARY KEY, body BLOB);
     CREATE VIRTUAL TABLE notes USING fts5 (title, body);",
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
     INSERT INTO people SELECT i, 'person ' || i, i % 90 FROM n;",
    "INSERT INTO words SELECT hex(id * 7919), name || ' ' || name FROM people;",
    "CREATE INDEX people_by_age ON people (age, name);",
    "INSERT INTO files SELECT id, randomblob(id * 4000) FROM people WHERE id <= 25;",
    "INSERT INTO notes SELECT name, 'a note of ' || name || ' who is ' || age FROM people WHERE id <= 500;",
    "UPDATE people SET name = name || ' the elder' WHERE age > 60;",
    "DELETE FROM files WHERE id % 2 = 0;",
    "PRAGMA incremental_vacuum(5);",
    "UPDATE files SET body = randomblob(150000) WHERE id = 3;",
    "DELETE FROM notes WHERE rowid % 3 = 0; INSERT INTO notes (notes) VALUES ('optimize');",
    "CREATE INDEX words_by_meaning ON words (meaning); DELETE FROM words WHERE word < '4';",
    "VACUUM;",
    "INSERT INTO files SELECT id + 1000, zeroblob(30000) FROM people WHERE id <= 20;",
    "DROP INDEX people_by_age; ALTER TABLE people ADD COLUMN city TEXT DEFAULT 'Lisbon';",
    "DELETE FROM people WHERE id % 5 <> 0; DELETE FROM files WHERE id > 1000;",
    "PRAGMA incremental_vacuum;",
    "BEGIN; DROP TABLE files; CREATE TABLE files (id INTEGER PRIMARY KEY, body BLOB, kind TEXT); COMMIT;",
    "VACUUM;",
    "INSERT INTO files SELECT id, randomblob(20000), 'last' FROM people WHERE id <= 100;",
];

/// Runs the statements of a step, and ignores the rows they return.
pub fn run(conn: &Connection, step: &str) {
    conn.execute_batch(step).unwrap_or_else(|error| panic!("{step}: {error}"));
}
