//! Random columns and values.

use super::random::Random;

/// A column. Its name is as the schema has it, without quotes.
pub struct RandomColumn {
    pub name: String,
    pub kind: &'static str,
    /// Empty for BINARY.
    pub collation: &'static str,
    pub is_not_null: bool,
    /// Whether the column is part of a key, an index, or an expression, so that it cannot be dropped.
    pub is_used: bool,
    pub is_generated: bool,
}

const TYPES: [&str; 12] = [
    "",
    "INTEGER",
    "INT",
    "TEXT",
    "BLOB",
    "REAL",
    "NUMERIC",
    "VARCHAR(20)",
    "DOUBLE PRECISION",
    "BOOLEAN",
    "STRING",
    "DATE",
];
const STRICT_TYPES: [&str; 6] = ["INT", "INTEGER", "TEXT", "BLOB", "REAL", "ANY"];
/// Empty for none.
pub const COLLATIONS: [&str; 6] = ["", "", "", "BINARY", "NOCASE", "RTRIM"];

/// Quotes a name.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl RandomColumn {
    pub fn new(random: &mut Random, name: &str, is_strict: bool) -> RandomColumn {
        let kind = if is_strict { random.of(&STRICT_TYPES) } else { random.of(&TYPES) };
        let (collation, is_not_null) = (random.of(&COLLATIONS), random.once_in(4));
        RandomColumn { name: name.to_owned(), kind, collation, is_not_null, is_used: false, is_generated: false }
    }

    /// Returns the definition of a column that is not generated.
    pub fn definition(&mut self, random: &mut Random) -> String {
        let mut sql = format!("{} {}", quoted(&self.name), self.kind);
        if !self.collation.is_empty() {
            sql += &format!(" COLLATE {}", self.collation);
        }
        if self.is_not_null {
            sql += " NOT NULL";
        }
        if self.is_not_null || random.once_in(3) {
            sql += &format!(" DEFAULT {}", self.default(random));
        }
        if random.once_in(8) {
            self.is_used = true;
            sql += " UNIQUE";
        }
        sql
    }

    fn default(&self, random: &mut Random) -> &'static str {
        match self.kind {
            "INT" | "INTEGER" => random.of(&["7", "-1", "(1 + 2)"]),
            "REAL" => random.of(&["3", "0.5", "-1e300"]),
            "TEXT" => random.of(&["'it''s'", "''", "('a' || 'b')", "'ünï'"]),
            "BLOB" => random.of(&["X'00FF'", "X''"]),
            _ => random.of(&["7", "'7'", "3.0", "'1.50'", "X'07'", "TRUE", "'it''s'"]),
        }
    }

    /// Returns an expression for a value that depends on `n`, an SQL expression of an integer.
    pub fn value(&self, random: &mut Random, n: &str) -> String {
        let integer = ["{n} * 7 % 2003", "{n} % 5", "-{n}", "9223372036854775807 - {n}", "{n} * 100000"];
        let real = ["{n} / 7.0", "{n} * 1e10", "{n} * 1.0", "-0.5 - {n}", "{n} * 1e300"];
        let text = [
            "'text ' || {n}",
            "'é ' || {n} || ' 😀' || char(8364 + {n} % 5, 65000 + {n} % 50)",
            "CASE {n} % 3 WHEN 0 THEN 'AB' WHEN 1 THEN 'ab' ELSE 'aB  ' END || ({n} % 90)",
            "({n} % 300) || CASE {n} % 2 WHEN 0 THEN '' ELSE '  ' END",
            "'it''s' || char(0) || {n}",
            "printf('%05d%.*c', {n}, {n} % 7 * 60, 'k')",
        ];
        let blob = ["CAST('b' || {n} AS BLOB)", "zeroblob({n} % 50)", "CAST(X'00FF' || {n} AS BLOB)"];
        let choices: Vec<&str> = match self.kind {
            "INT" | "INTEGER" => integer.to_vec(),
            "REAL" => real.to_vec(),
            "TEXT" => text.to_vec(),
            "BLOB" => blob.to_vec(),
            _ => [&integer[..], &real, &text, &blob].concat(),
        };
        let value = random.of(&choices).replace("{n}", n);
        match self.is_not_null {
            true => value,
            false if random.once_in(3) => format!("CASE WHEN {n} % 11 = 3 THEN NULL ELSE {value} END"),
            false => value,
        }
    }
}
