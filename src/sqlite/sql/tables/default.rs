//! The default values of columns, and other values as columns store them.

use crate::replica::{Affinity, StoredValue};
use crate::sqlite::api::{ScratchDatabase, text_at};
use crate::sqlite::sql::literal::literal;

/// Returns a value that is compared with a column as the column stores it.
pub fn converted(scratch: &ScratchDatabase, affinity: Affinity, value: StoredValue) -> StoredValue {
    match (affinity, &value) {
        (Affinity::Blob, _) | (_, StoredValue::Null | StoredValue::Blob(_)) => value,
        _ => match self::value(scratch, affinity, Some(&literal(&value))) {
            // SQLite refuses a text of this length.
            StoredValue::Null => value,
            stored => stored,
        },
    }
}

/// Returns the default value of a column as it stores it, from its affinity and the expression of the default. NULL if the expression is not
/// constant: SQLite adds no such column to a table with rows. So it decides here too, and runs no function that the replica names.
pub fn value(scratch: &ScratchDatabase, affinity: Affinity, default: Option<&str>) -> StoredValue {
    let Some(default) = default else { return StoredValue::Null };
    let kind = affinity.name();
    let table = "DROP TABLE IF EXISTS temp.d; CREATE TEMP TABLE d (x); INSERT INTO temp.d VALUES (NULL)";
    // SQLite returns an expression without its parentheses. It can end with a comment.
    let forms = [default.to_owned(), format!("({default}\n)")];
    let mut forms = forms.iter().map(|default| format!("ALTER TABLE temp.d ADD COLUMN c {kind} DEFAULT {default}"));
    if scratch.query(table).is_err() || !forms.any(|sql| scratch.query(&sql).is_ok()) {
        return StoredValue::Null;
    }
    let shown =
        "SELECT typeof(c), CASE typeof(c) WHEN 'integer' THEN c WHEN 'real' THEN printf('%!.17g', c) ELSE hex(c) END
         FROM temp.d";
    let rows = scratch.query(shown).unwrap_or_default();
    let Some(row) = rows.first() else { return StoredValue::Null };
    let shown = text_at(row, 1);
    match text_at(row, 0).as_str() {
        "integer" => shown.parse().map_or(StoredValue::Null, StoredValue::Integer),
        "real" => shown.parse().map_or(StoredValue::Null, StoredValue::Real),
        "text" => StoredValue::Text(from_hex(&shown)),
        "blob" => StoredValue::Blob(from_hex(&shown)),
        _ => StoredValue::Null,
    }
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().as_chunks::<2>().0;
    digits.iter().filter_map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::api::tests::host;
    use crate::sqlite::sql::tables::layout::of;

    #[test]
    fn only_constant_defaults_are_computed() {
        let text = |text: &str| StoredValue::Text(text.into());
        for (column, expected) in [
            ("c", StoredValue::Null),
            ("c INTEGER DEFAULT '7'", StoredValue::Integer(7)),
            ("c REAL DEFAULT 1", StoredValue::Real(1.0)),
            ("c TEXT DEFAULT 2.5", text("2.5")),
            ("c DEFAULT -3", StoredValue::Integer(-3)),
            ("c DEFAULT X'00ff' NOT NULL", StoredValue::Blob(vec![0, 255])),
            ("c DEFAULT 'it''s'", text("it's")),
            ("c DEFAULT word", text("word")),
            ("c DEFAULT TRUE", StoredValue::Integer(1)),
            ("c DEFAULT (CAST('1' AS INTEGER))", StoredValue::Integer(1)),
            ("c DEFAULT (2 -- two\n)", StoredValue::Integer(2)),
            ("c DEFAULT CURRENT_TIMESTAMP", StoredValue::Null),
            ("c DEFAULT (zeroblob(200000000))", StoredValue::Null),
            ("c DEFAULT (hex(zeroblob(50000)) LIKE '%0%0%0%0%0%0%0%0%1')", StoredValue::Null),
        ] {
            let layout = of(host(), "t", &format!("CREATE TABLE t (a, {column})"));
            let layout = layout.unwrap_or_else(|error| panic!("{column}: {}", error.text));
            assert_eq!(layout.columns[1].default, expected, "{column}");
        }
    }
}
