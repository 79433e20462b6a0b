//! Values as text.

use rusqlite::types::ValueRef;
use std::borrow::Cow;

/// Returns a value as text: NULL is empty, and a blob is a literal of SQL.
pub fn plain(value: ValueRef<'_>) -> Cow<'_, str> {
    match value {
        ValueRef::Null => Cow::Borrowed(""),
        ValueRef::Integer(number) => Cow::Owned(number.to_string()),
        ValueRef::Real(number) => Cow::Owned(real(number)),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes),
        ValueRef::Blob(bytes) => Cow::Owned(format!("X'{}'", hex(bytes))),
    }
}

/// Returns the bytes of a value as CSV has them. Those of text stay as they are, also if they are not UTF-8.
pub fn bytes(value: ValueRef<'_>) -> Cow<'_, [u8]> {
    match value {
        ValueRef::Text(bytes) => Cow::Borrowed(bytes),
        _ => Cow::Owned(plain(value).into_owned().into_bytes()),
    }
}

/// Returns the shortest text that is read as this number again, always with a point or an exponent.
pub fn real(number: f64) -> String {
    match number {
        f64::INFINITY => "9e999".to_owned(),
        f64::NEG_INFINITY => "-9e999".to_owned(),
        _ => format!("{number:?}"),
    }
}

/// Returns bytes as the SQL function `hex()` does.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_text_that_sql_reads_again() {
        let reals = [(1.0, "1.0"), (0.1, "0.1"), (1e300, "1e300"), (-2.5e-7, "-2.5e-7"), (f64::INFINITY, "9e999")];
        for (number, text) in reals {
            assert_eq!(plain(ValueRef::Real(number)), text);
            assert_eq!(text.parse(), Ok(number));
        }
        assert_eq!(plain(ValueRef::Integer(i64::MIN)), "-9223372036854775808");
        assert_eq!(plain(ValueRef::Null), "");
        assert_eq!(plain(ValueRef::Text("a\u{fc}".as_bytes())), "a\u{fc}");
        assert_eq!(plain(ValueRef::Text(b"a\xff")), "a\u{fffd}");
        assert_eq!(bytes(ValueRef::Text(b"a\xff")), &b"a\xff"[..]);
        assert_eq!(plain(ValueRef::Blob(&[0, 0xab])), "X'00AB'");
    }
}
