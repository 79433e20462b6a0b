//! The affinities of columns.

use crate::replica::Affinity;

impl Affinity {
    /// Returns a type that has this affinity.
    pub fn name(self) -> &'static str {
        match self {
            Affinity::Integer => "INTEGER",
            Affinity::Text => "TEXT",
            Affinity::Blob => "BLOB",
            Affinity::Real => "REAL",
            Affinity::Numeric => "NUMERIC",
        }
    }
}

/// Returns the affinity of a declared type.
pub fn affinity(kind: &str) -> Affinity {
    let kind = kind.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| kind.contains(word));
    match () {
        () if has(&["INT"]) => Affinity::Integer,
        () if has(&["CHAR", "CLOB", "TEXT"]) => Affinity::Text,
        () if kind.is_empty() || has(&["BLOB"]) => Affinity::Blob,
        () if has(&["REAL", "FLOA", "DOUB"]) => Affinity::Real,
        () => Affinity::Numeric,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_affinity_of_a_type_is_that_of_sqlite() {
        let conn = rusqlite::Connection::open_in_memory().unwrap();
        for kind in [
            "",
            "INT",
            "BIGINT",
            "POINT",
            "CHARINT",
            "VARCHAR(10)",
            "CLOB",
            "text",
            "BLOB",
            "REAL",
            "FLOAT",
            "double precision",
            "NUMERIC",
            "DECIMAL(10,5)",
            "STRING",
            "BOOLEAN",
            "DATE",
            "ANY",
        ] {
            // These values show each affinity.
            conn.execute_batch(&format!("CREATE TABLE t (c {kind}); INSERT INTO t VALUES (1), ('1'), ('x')")).unwrap();
            let sql = "SELECT group_concat(typeof(c), ' ') FROM (SELECT c FROM t ORDER BY rowid)";
            let types: String = conn.query_row(sql, [], |row| row.get(0)).unwrap();
            let expected = match affinity(kind) {
                Affinity::Integer | Affinity::Numeric => "integer integer text",
                Affinity::Text => "text text text",
                Affinity::Blob => "integer text text",
                Affinity::Real => "real real text",
            };
            assert_eq!(types, expected, "{kind}");
            conn.execute_batch("DROP TABLE t").unwrap();
        }
    }
}
