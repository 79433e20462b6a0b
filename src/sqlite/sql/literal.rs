//! Names and values as SQL.

use crate::replica::StoredValue;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::RangeInclusive;

/// Quotes a name (by `"`) or a text (by `'`).
pub fn quoted(text: &str, quote: char) -> String {
    format!("{quote}{}{quote}", text.replace(quote, &format!("{quote}{quote}")))
}

/// Returns the SQL literal of a value. For a text with NUL characters, at which a literal ends, it is an expression.
pub fn literal(value: &StoredValue) -> String {
    spelled(value, |character| character == '\0')
}

/// Returns a value as SQL for a script that is printed, and that a shell reads line by line: without control characters, except for tabs and line
/// feeds. A terminal acts on these, and a shell can change the end of a line.
pub fn printable(value: &StoredValue) -> String {
    spelled(value, changes_in_script)
}

/// Whether a character can change on the way from a printed script to the one that SQLite is given.
pub fn changes_in_script(character: char) -> bool {
    character.is_control() && !['\t', '\n'].contains(&character)
}

/// Returns a value as SQL that has `is_special` characters as numbers.
fn spelled(value: &StoredValue, is_special: fn(char) -> bool) -> String {
    match value {
        StoredValue::Null => "NULL".to_owned(),
        StoredValue::Integer(number) => number.to_string(),
        StoredValue::Real(f64::INFINITY) => "9e999".to_owned(),
        StoredValue::Real(f64::NEG_INFINITY) => "-9e999".to_owned(),
        StoredValue::Real(number) => format!("{number:?}"),
        StoredValue::Text(text) => spelled_text(text, is_special),
        StoredValue::Blob(blob) => format!("X'{}'", hex(blob)),
    }
}

/// Replaces each special character by one that the text does not have, and back by SQL.
fn spelled_text(text: &[u8], is_special: fn(char) -> bool) -> String {
    let Ok(text) = str::from_utf8(text) else { return format!("CAST(X'{}' AS TEXT)", hex(text)) };
    let special: BTreeSet<char> = text.chars().filter(|character| is_special(*character)).collect();
    if special.is_empty() {
        return quoted(text, '\'');
    }
    let has: HashSet<char> = text.chars().collect();
    let unused = STAND_INS.into_iter().flatten().filter(|character| !has.contains(character));
    let stand_ins: BTreeMap<char, char> = special.into_iter().zip(unused).collect();
    let replaced: String = text.chars().map(|character| *stand_ins.get(&character).unwrap_or(&character)).collect();
    stand_ins.iter().fold(quoted(&replaced, '\''), |sql, (character, stand_in)| {
        format!("replace({sql}, '{stand_in}', char({}))", u32::from(*character))
    })
}

/// Characters that need no quotes: printable ones of ASCII, and then all that are left.
const STAND_INS: [RangeInclusive<char>; 2] = ['('..='~', '\u{e000}'..=char::MAX];

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
        let all: String = ('\0'..='\u{2fff}').chain('\u{e000}'..='\u{efbf}').rev().collect();
        let texts = texts.into_iter().chain([text(&b"'\0".repeat(2000)), text(b"a\r\nb\x1a"), text(all.as_bytes())]);
        let others = [StoredValue::Null, StoredValue::Blob(vec![]), StoredValue::Blob(vec![0, 171])];
        for value in reals.map(StoredValue::Real).into_iter().chain(integers).chain(texts).chain(others) {
            for sql in [literal(&value), printable(&value)] {
                let read = conn.query_row(&format!("SELECT {sql}"), [], |row| {
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
            assert!(!printable(&value).contains(changes_in_script), "{value:?}");
        }
    }

    #[test]
    fn control_characters_are_numbers_in_a_script() {
        let sql = |text: &str| printable(&StoredValue::Text(text.into()));
        assert_eq!(sql("a\r\nb"), "replace('a(\nb', '(', char(13))");
        assert_eq!(sql("\t(\x1b)\u{9b}"), "replace(replace('\t(*)+', '*', char(27)), '+', char(155))");
        assert_eq!(sql("it's\n"), "'it''s\n'");
    }
}
