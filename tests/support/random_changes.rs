//! A database with tables of every kind, and random changes to it.

use rusqlite::Connection;

/// A sequence of random statements, which is the same for the same seed.
pub struct RandomDatabase {
    state: u64,
    statements: Vec<String>,
    /// The tables that got a column, and the statements that added it.
    pub added: Vec<(&'static str, String)>,
}

/// Tables with the SQL expressions of their keys.
const TABLES: [(&str, &str); 7] = [
    ("people", "rowid"),
    ("plain", "rowid"),
    ("words", "lower(word)"),
    ("pairs", "json_array(b, a)"),
    ("computed", "rowid"),
    ("files", "rowid"),
    ("notes_content", "rowid"),
];

const SCHEMA: &str = "
    CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, height REAL, \"odd 'name\" , note DEFAULT 'none');
    CREATE TABLE plain (a, b BLOB);
    CREATE TABLE words (word TEXT COLLATE NOCASE PRIMARY KEY, meaning TEXT, times REAL) WITHOUT ROWID;
    CREATE TABLE pairs (a INTEGER, b TEXT, c, d REAL, PRIMARY KEY (b DESC, a)) WITHOUT ROWID;
    CREATE TABLE computed (a INTEGER, s TEXT AS ('<' || a || '>') STORED, v INTEGER AS (a * 2), b REAL CHECK (b > -1e9));
    CREATE TABLE files (name TEXT PRIMARY KEY, body BLOB);
    CREATE VIRTUAL TABLE notes USING fts5 (title, body);
    CREATE TABLE numbers (n INTEGER PRIMARY KEY);
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) INSERT INTO numbers SELECT i FROM n;";

impl RandomDatabase {
    pub fn new(seed: u64) -> RandomDatabase {
        RandomDatabase { state: seed * 2 + 1, statements: Vec::new(), added: Vec::new() }
    }

    /// Returns the settings of the database.
    pub fn settings(&mut self) -> String {
        let page_size = 512 << self.below(8);
        let encoding = ["UTF-8", "UTF-16le", "UTF-16be"][self.below(3)];
        let auto_vacuum = ["NONE", "FULL", "INCREMENTAL"][self.below(3)];
        let settings = format!(
            "PRAGMA page_size = {page_size}; PRAGMA encoding = '{encoding}'; PRAGMA auto_vacuum = {auto_vacuum}"
        );
        self.statements.push(settings.clone());
        settings
    }

    pub fn schema(&self) -> &'static str {
        SCHEMA
    }

    pub fn tables(&self) -> &'static [(&'static str, &'static str)] {
        &TABLES
    }

    /// Returns the stored columns of a table.
    pub fn columns(&self, conn: &Connection, table: &str) -> Vec<String> {
        let mut statement =
            conn.prepare("SELECT name FROM pragma_table_xinfo(?) WHERE hidden <> 2").expect("a statement");
        statement.query_map([table], |row| row.get(0)).and_then(Iterator::collect).expect("columns")
    }

    /// Returns all statements so far.
    pub fn log(&self) -> String {
        self.statements.join(";\n")
    }

    fn below(&mut self, limit: usize) -> usize {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.state >> 33).expect("31 bits") % limit
    }

    /// Returns the next changes.
    pub fn step(&mut self) -> String {
        let count = 1 + self.below(4);
        let statements: Vec<String> = (0..count).map(|_| self.change()).collect();
        // VACUUM and some pragmas do not run in a transaction.
        let step = statements.join(";\n");
        self.statements.push(step.clone());
        step
    }

    fn change(&mut self) -> String {
        let (seed, start, count) = (self.below(1000), self.below(1500), 1 + self.below(300));
        let few = 1 + self.below(3);
        let range = format!("BETWEEN {start} AND {}", start + count);
        let some = format!("BETWEEN {start} AND {}", start + few);
        let size = [10, 400, 5000, 70_000][self.below(4)];
        let from = format!("FROM numbers WHERE n {range}");
        match self.below(26) {
            0 => format!(
                "INSERT OR REPLACE INTO people (id, name, height, \"odd 'name\") SELECT n * 7, 'name ' || n, n, n % 3 {from}"
            ),
            1 => format!("INSERT INTO people (name, height) SELECT 'é ' || n || '😀', n / 7.0 {from}"),
            2 => format!("UPDATE people SET height = height + {seed} WHERE id {range}"),
            3 => format!("UPDATE people SET name = name || ' changed', note = NULL WHERE id {some}"),
            4 => format!("DELETE FROM people WHERE id {range}"),
            5 => format!("UPDATE people SET id = -id WHERE id {some}"),
            6 => format!(
                "INSERT INTO plain (a, b) SELECT CASE n % 4 WHEN 0 THEN n WHEN 1 THEN NULL WHEN 2 THEN n * 1e10 ELSE 't' || n END,
                     zeroblob(n % 50) {from}"
            ),
            7 => format!("UPDATE plain SET a = a + 1, b = X'FF00' WHERE rowid {range}"),
            8 => format!("DELETE FROM plain WHERE rowid % 3 = {few} - 1 AND rowid {range}"),
            9 => format!("INSERT OR REPLACE INTO words (word, meaning, times) SELECT 'Word' || ((n * 7919) % 2003), 'meaning ' || {seed}, n {from}"),
            10 => format!("UPDATE OR IGNORE words SET meaning = meaning || '!', times = times * 2 WHERE word LIKE 'word1{few}%'"),
            11 => format!("DELETE FROM words WHERE word LIKE 'WORD{few}%'"),
            12 => format!("UPDATE OR IGNORE words SET word = upper(word) WHERE word LIKE 'word{few}%'"),
            13 => format!("INSERT OR REPLACE INTO pairs SELECT n % 17, 'b' || (n % 43) || char(97 + n % 26, 8364 + n % 5, 65000 + n % 50), {seed}, n {from}"),
            14 => format!("UPDATE pairs SET c = c || '', d = d + 0.5 WHERE a = {few}"),
            15 => format!("DELETE FROM pairs WHERE a > {few} AND b < 'b{few}'"),
            16 => format!("INSERT INTO computed (a, b) SELECT n, n * 0.25 {from}"),
            17 => format!("UPDATE computed SET a = a + {seed} WHERE rowid {range}; DELETE FROM computed WHERE rowid {some}"),
            18 => format!(
                "INSERT OR REPLACE INTO files (name, body) SELECT 'file ' || n, CAST(printf('%.*c', {size}, char(65 + n % 26)) AS BLOB)
                 FROM numbers WHERE n {some}"
            ),
            // The new value has the same length, so that SQLite overwrites it in place.
            19 => format!(
                "UPDATE files SET body = CAST(substr(body, 1, length(body) - 1) || X'{:02}' AS BLOB)
                 WHERE rowid IN (SELECT rowid FROM files ORDER BY rowid DESC LIMIT {few});
                 UPDATE files SET body = CAST(substr(body, 1, length(body) - 1) || 'z' AS BLOB) WHERE rowid % 2 = 0",
                seed % 100
            ),
            20 => format!("DELETE FROM files WHERE rowid % 4 = {few}"),
            21 => format!("INSERT INTO notes SELECT 'title ' || n, 'body of ' || n {from}; DELETE FROM notes WHERE rowid {some}"),
            22 => "VACUUM".to_owned(),
            23 => "DROP INDEX IF EXISTS by_name; CREATE INDEX by_name ON people (name, height)".to_owned(),
            24 => "PRAGMA incremental_vacuum(20)".to_owned(),
            _ => {
                let number = self.added.len();
                let table = ["people", "plain", "words", "files"][self.below(4)];
                let default = ["", " DEFAULT 7", " REAL DEFAULT 3", " TEXT DEFAULT 5", " DEFAULT X'00FF'", " DEFAULT 'it''s'"];
                let default = default[self.below(default.len())];
                let sql = format!("ALTER TABLE {table} ADD COLUMN added_{number}{default}");
                self.added.push((table, sql.clone()));
                sql
            }
        }
    }
}
