//! Names and values as SQL.

use crate::replica::StoredValue;

/// Quotes a name (by `"`) or a text (by `'`).
pub fn quoted(text: &str, quote: char) -> String {
    format!("{quote}{}{quote}", text.replace(quote, &format!("{quote}{quote}")))
}

/// Returns the SQL literal of a value.
pub fn literal(value: &StoredValue) -> String {
    match value {
        StoredValue::Null => "NULL".to_owned(),
        StoredValue::Integer(number) => number.to_string(),
        StoredValue::Real(f64::INFINITY) => "9e999".to_owned(),
        StoredValue::Real(f64::NEG_INFINITY) => "-9e999".to_owned(),
        StoredValue::Real(number) => format!("{number:?}"),
        StoredValue::Text(text) => text_literal(text),
        StoredValue::Blob(blob) => format!("X'{}'", hex(blob)),
    }
}

/// A literal ends at a NUL character, so a text with such characters is an expression.
fn text_literal(text: &[u8]) -> String {
    match str::from_utf8(text) {
        Ok(text) if text.contains('\0') => {
            let unused = ('\u{1}'..).find(|character| !text.contains(*character)).unwrap_or_default();
            let text = quoted(&text.replace('\0', &unused.to_string()), '\'');
            format!("replace({text}, char({}), char(0))", u32::from(unused))
        }
        Ok(text) => quoted(text, '\''),
        Err(_) => format!("CAST(X'{}' AS TEXT)", hex(text)),
    }
}

/// Returns bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;
    use rusqlite::types::ValueRef;

    #[test]
    fn sqlite_reads_the_same_value_from_a_literal() {
        let conn = Connection::open_in_memory().unwrap();
        let text = |text: &[u8]| StoredValue::Text(text.to_vec());
        let reals = [0.1, -2.5e-7, 1e300, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY, 3.0];
        let integers = [i64::MIN, -1, 0, i64::MAX].map(StoredValue::Integer);
        let texts = [text(b""), text(b"it's"), text(b"a\0b\0\x01"), text("\u{e9}\n".as_bytes()), text(b"a\xff")];
        let texts = texts.into_iter().chain([text(&b"'\0".repeat(2000))]);
        let others = [StoredValue::Null, StoredValue::Blob(vec![]), StoredValue::Blob(vec![0, 171])];
        for value in reals.map(StoredValue::Real).into_iter().chain(integers).chain(texts).chain(others) {
            let sql = format!("SELECT {}", literal(&value));
            let read = conn.query_row(&sql, [], |row| {
                Ok(match row.get_ref(0)? {
                    ValueRef::Null => StoredValue::Null,
                    ValueRef::Integer(number) => StoredValue::Integer(number),
                    ValueRef::Real(number) => StoredValue::Real(number),
                    ValueRef::Text(text) => StoredValue::Text(text.to_vec()),
                    ValueRef::Blob(blob) => StoredValue::Blob(blob.to_vec()),
                })
            });
            assert_eq!(read.unwrap(), value, "{sql}");
        }
    }
}
