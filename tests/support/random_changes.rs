//! A database with random tables, and random changes to it.

use super::random::Random;
use super::random_column::{RandomColumn, quoted};
use super::random_schema::RandomTable;
use rusqlite::{Connection, ErrorCode};

/// A sequence of random statements, which is the same for the same seed.
pub struct RandomDatabase {
    random: Random,
    pub tables: Vec<RandomTable>,
    /// The statements that added columns.
    pub added: Vec<String>,
    statements: Vec<String>,
}

/// The rows that statements insert are made of these numbers.
const NUMBERS: &str = "CREATE TABLE numbers (n INTEGER PRIMARY KEY);
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) INSERT INTO numbers SELECT i FROM n;
    CREATE VIRTUAL TABLE notes USING fts5 (title, body);";

impl RandomDatabase {
    pub fn new(seed: u64) -> RandomDatabase {
        let mut random = Random::new(seed);
        let first = random.index(10);
        let tables = (0..5).map(|number| RandomTable::new(&mut random, first + number)).collect();
        RandomDatabase { random, tables, added: Vec::new(), statements: Vec::new() }
    }

    /// Returns the settings of the database.
    pub fn settings(&mut self) -> String {
        let page_size = 512 << self.random.below(8);
        let encoding = self.random.of(&["UTF-8", "UTF-16le", "UTF-16be"]);
        let auto_vacuum = self.random.of(&["NONE", "NONE", "FULL", "INCREMENTAL"]);
        let settings = format!(
            "PRAGMA page_size = {page_size}; PRAGMA encoding = '{encoding}'; PRAGMA auto_vacuum = {auto_vacuum}"
        );
        self.statements.push(settings.clone());
        settings
    }

    /// Creates the tables.
    pub fn create(&mut self, conn: &Connection) {
        self.run(conn, NUMBERS);
        for sql in self.tables.iter().flat_map(|table| table.sql.clone()).collect::<Vec<_>>() {
            self.run(conn, &sql);
        }
        for at in 0..self.tables.len() {
            let sql = self.insert(at, 600);
            self.run(conn, &sql);
        }
    }

    /// Returns all statements so far.
    pub fn log(&self) -> String {
        self.statements.join(";\n")
    }

    /// Makes the next changes.
    pub fn step(&mut self, conn: &Connection) {
        for _ in 0..1 + self.random.below(5) {
            self.change(conn);
        }
    }

    /// Runs statements, and returns whether they succeeded. They can violate constraints, or drop a column that
    /// something uses.
    fn run(&mut self, conn: &Connection, sql: &str) -> bool {
        self.statements.push(sql.to_owned());
        match conn.execute_batch(sql) {
            Ok(()) => true,
            Err(error) => {
                // A rowid cannot be NULL.
                let refused = [Some(ErrorCode::ConstraintViolation), Some(ErrorCode::TypeMismatch)];
                let is_constraint = refused.contains(&error.sqlite_error_code());
                let text = error.to_string();
                let is_refused = text.contains("after drop column") || text.contains("cannot drop");
                assert!(is_constraint || is_refused, "{error}: {}", self.log());
                false
            }
        }
    }

    fn change(&mut self, conn: &Connection) {
        let at = self.random.index(self.tables.len());
        let sql = match self.random.below(24) {
            0..5 => {
                let most = self.random.of(&["3", "40", "300"]).parse().expect("a number");
                self.insert(at, most)
            }
            5..11 => self.update(at),
            11..14 => format!("DELETE FROM {} WHERE {}", self.name(at), self.some_rows(at)),
            14 => self.large_values(at),
            15 => self.overwrite(at),
            16 => "VACUUM".to_owned(),
            17 => "PRAGMA incremental_vacuum(20); REINDEX".to_owned(),
            18 => {
                let column = self.any_column(at);
                format!("DROP INDEX IF EXISTS i; CREATE INDEX i ON {} ({column})", self.name(at))
            }
            19 | 20 => return self.add_column(conn, at),
            21 => return self.alter(conn, at),
            22 => "INSERT INTO notes SELECT 'title ' || n, 'body of ' || n FROM numbers WHERE n % 7 = 1;
                   DELETE FROM notes WHERE rowid % 5 = 2"
                .to_owned(),
            _ if self.tables[at].is_altered => return,
            _ => {
                let create = self.tables[at].sql.join(";");
                format!("DROP TABLE {}; {create}; {}", self.name(at), self.insert(at, 100))
            }
        };
        self.run(conn, &sql);
    }

    fn name(&self, at: usize) -> String {
        quoted(&self.tables[at].name)
    }

    fn any_column(&mut self, at: usize) -> String {
        let table = &self.tables[at];
        quoted(&table.columns[self.random.index(table.columns.len())].name)
    }

    /// Returns an expression for a number that depends on the key of a row.
    fn number(&self, at: usize) -> String {
        let key = format!("quote({})", self.tables[at].handle());
        format!("(length({key}) * 31 + unicode(substr({key}, -2)) * 7 + unicode(substr({key}, -3)))")
    }

    /// Returns a condition that some rows fulfil.
    fn some_rows(&mut self, at: usize) -> String {
        let divisor = 2 + self.random.below(60);
        format!("{} % {divisor} = {}", self.number(at), self.random.below(divisor))
    }

    fn insert(&mut self, at: usize, most: u64) -> String {
        let (start, name) = (self.random.below(1500), self.name(at));
        let table = &self.tables[at];
        let columns = table.assigned();
        let values: Vec<String> = columns.iter().map(|at| table.columns[*at].value(&mut self.random, "n")).collect();
        let names: Vec<String> = columns.iter().map(|at| quoted(&table.columns[*at].name)).collect();
        let (names, values, or) = (names.join(", "), values.join(", "), self.random.of(&["IGNORE", "REPLACE"]));
        let end = start + 1 + self.random.below(most);
        format!("INSERT OR {or} INTO {name} ({names}) SELECT {values} FROM numbers WHERE n BETWEEN {start} AND {end}")
    }

    fn update(&mut self, at: usize) -> String {
        let number = format!("({} + {})", self.number(at), self.random.below(1000));
        let (name, condition, count) = (self.name(at), self.some_rows(at), 1 + self.random.index(3));
        let table = &self.tables[at];
        let assigned = table.assigned();
        let set: Vec<String> = self
            .random
            .some(count, assigned.len())
            .into_iter()
            .map(|column| {
                let column = &table.columns[assigned[column]];
                format!("{} = {}", quoted(&column.name), column.value(&mut self.random, &number))
            })
            .collect();
        let or = self.random.of(&["IGNORE", "IGNORE", "REPLACE"]);
        format!("UPDATE OR {or} {name} SET {} WHERE {condition}", set.join(", "))
    }

    /// Gives a few rows values that take many pages.
    fn large_values(&mut self, at: usize) -> String {
        let size = self.random.of(&["400", "5000", "70000"]);
        let (name, number) = (self.name(at), self.number(at));
        let rest = self.random.below(40);
        let Some((column, is_blob)) = self.long_column(at) else { return "PRAGMA incremental_vacuum(5)".to_owned() };
        let value = format!("printf('%.*c%d', {size}, char(65 + {number} % 26), {number})");
        let value = if is_blob { format!("CAST({value} AS BLOB)") } else { value };
        format!("UPDATE OR IGNORE {name} SET {column} = {value} WHERE {number} % 97 BETWEEN {rest} AND {rest} + 1")
    }

    /// Overwrites the last byte of values. The new ones have the same length, so that SQLite overwrites them in place.
    fn overwrite(&mut self, at: usize) -> String {
        let (name, condition, byte) = (self.name(at), self.some_rows(at), self.random.below(90) + 10);
        let Some((column, is_blob)) = self.long_column(at) else { return "PRAGMA incremental_vacuum(5)".to_owned() };
        let value = match is_blob {
            true => format!("CAST(substr({column}, 1, length({column}) - 1) || X'{byte}' AS BLOB)"),
            false => format!("substr({column}, 1, length({column}) - 1) || char({byte} + 32)"),
        };
        format!(
            "UPDATE OR IGNORE {name} SET {column} = {value} WHERE typeof({column}) IN ('text', 'blob') AND {condition}"
        )
    }

    /// Returns a column for long values, and whether they are blobs.
    fn long_column(&mut self, at: usize) -> Option<(String, bool)> {
        let table = &self.tables[at];
        let is_long = |column: &&RandomColumn| {
            !column.is_generated && ["", "TEXT", "BLOB", "ANY", "VARCHAR(20)"].contains(&column.kind)
        };
        let columns: Vec<&RandomColumn> = table.columns.iter().filter(is_long).collect();
        let column = columns.get(self.random.index(columns.len().max(1)))?;
        Some((quoted(&column.name), column.kind != "TEXT" && !column.kind.starts_with("VARCHAR")))
    }

    fn add_column(&mut self, conn: &Connection, at: usize) {
        let (name, number) = (self.name(at), self.added.len());
        let mut column = RandomColumn::new(&mut self.random, &format!("added '{number}'"), self.tables[at].is_strict);
        let mut definition = column.definition(&mut self.random);
        // A unique column cannot be added. This one is virtual.
        if definition.ends_with(" UNIQUE") {
            definition = format!("{} TEXT AS ('v' || length(quote({})))", quoted(&column.name), self.any_column(at));
            column.is_generated = true;
        }
        let sql = format!("ALTER TABLE {name} ADD COLUMN {definition}");
        if !definition.contains("DEFAULT (") && self.run(conn, &sql) {
            self.added.push(sql);
            self.tables[at].columns.push(column);
            self.tables[at].is_altered = true;
        }
    }

    /// Renames or drops a column that nothing uses.
    fn alter(&mut self, conn: &Connection, at: usize) {
        let name = self.name(at);
        let unused: Vec<usize> =
            (0..self.tables[at].columns.len()).filter(|column| !self.tables[at].columns[*column].is_used).collect();
        if unused.len() < 2 || !self.random.once_in(3) {
            return;
        }
        let column = unused[self.random.index(unused.len())];
        let old = quoted(&self.tables[at].columns[column].name);
        if self.random.once_in(2) {
            let new = format!("renamed {}", self.statements.len());
            if self.run(conn, &format!("ALTER TABLE {name} RENAME COLUMN {old} TO {}", quoted(&new))) {
                self.tables[at].columns[column].name = new;
                self.tables[at].is_altered = true;
            }
        } else if self.run(conn, &format!("DROP INDEX IF EXISTS i; ALTER TABLE {name} DROP COLUMN {old}")) {
            let table = &mut self.tables[at];
            table.columns.remove(column);
            table.key.iter_mut().flatten().filter(|(at, _)| *at > column).for_each(|(at, _)| *at -= 1);
            table.is_altered = true;
        }
    }
}
