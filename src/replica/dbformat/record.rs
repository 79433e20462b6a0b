//! Records: the values of a row.

use crate::replica::dbformat::btree::{u32_at, varint};
use crate::replica::dbformat::header;

/// The largest number of columns that a table can have.
const MAX_COLUMNS: usize = 32767;

/// A value as SQLite stores it.
#[derive(Clone, PartialEq, Debug)]
pub enum StoredValue {
    Null,
    Integer(i64),
    Real(f64),
    /// A text in UTF-8, whatever the encoding of the database is. Like SQLite, this does not ensure that it is valid.
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

/// The encoding of texts in a database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::replica) enum TextEncoding {
    Utf8,
    Utf16le,
    Utf16be,
}

impl TextEncoding {
    /// Returns the encoding in the header of a database.
    pub(in crate::replica) fn of(page_1: &[u8]) -> TextEncoding {
        match u32_at(page_1, header::TEXT_ENCODING) {
            Some(2) => TextEncoding::Utf16le,
            Some(3) => TextEncoding::Utf16be,
            _ => TextEncoding::Utf8,
        }
    }

    /// Converts a text from UTF-8.
    pub(in crate::replica) fn encode(self, text: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(text);
        match self {
            TextEncoding::Utf8 => text.into_owned().into_bytes(),
            TextEncoding::Utf16le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            TextEncoding::Utf16be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        }
    }

    /// Converts a text to UTF-8.
    fn decode(self, bytes: &[u8]) -> Vec<u8> {
        let units =
            |read: fn([u8; 2]) -> u16| -> Vec<u16> { bytes.as_chunks().0.iter().map(|unit| read(*unit)).collect() };
        match self {
            TextEncoding::Utf8 => bytes.to_vec(),
            TextEncoding::Utf16le => String::from_utf16_lossy(&units(u16::from_le_bytes)).into_bytes(),
            TextEncoding::Utf16be => String::from_utf16_lossy(&units(u16::from_be_bytes)).into_bytes(),
        }
    }
}

/// Returns the values of a record. None if it violates the format.
pub(in crate::replica) fn values(payload: &[u8], encoding: TextEncoding) -> Option<Vec<StoredValue>> {
    let mut fields = Fields::new(payload)?;
    let values: Vec<StoredValue> =
        fields.by_ref().take(MAX_COLUMNS).map_while(|(serial, bytes)| value(serial, bytes, encoding)).collect();
    fields.is_at_end().then_some(values)
}

/// Returns the first values of a record whose payload may be cut off after them.
pub(in crate::replica) fn first_values(payload: &[u8], encoding: TextEncoding) -> Vec<StoredValue> {
    let fields = Fields::new(payload).into_iter().flatten();
    fields.take(MAX_COLUMNS).map_while(|(serial, bytes)| value(serial, bytes, encoding)).collect()
}

/// The serial types of a record, with the bytes of each value. Ends where the record ends or violates the format.
struct Fields<'a> {
    payload: &'a [u8],
    /// Where the next serial type is.
    at: usize,
    /// The end of the serial types.
    header: usize,
    /// Where the next value is.
    body: usize,
}

impl<'a> Fields<'a> {
    fn new(payload: &'a [u8]) -> Option<Fields<'a>> {
        let (header, at) = varint(payload)?;
        let header = usize::try_from(header).ok()?;
        Some(Fields { payload, at, header, body: header })
    }

    fn is_at_end(&self) -> bool {
        self.at == self.header
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<(u64, &'a [u8])> {
        if self.at >= self.header {
            return None;
        }
        let (serial, length) = varint(self.payload.get(self.at..self.header.min(self.payload.len()))?)?;
        let bytes = self.payload.get(self.body..self.body.checked_add(size(serial)?)?)?;
        self.at += length;
        self.body += bytes.len();
        Some((serial, bytes))
    }
}

/// Returns the size in bytes of a value of a serial type.
fn size(serial: u64) -> Option<usize> {
    Some(match serial {
        0 | 8 | 9 => 0,
        1..=4 => serial as usize,
        5 => 6,
        6 | 7 => 8,
        10 | 11 => return None,
        _ => usize::try_from((serial - 12) / 2).ok()?,
    })
}

/// Decodes a value of a serial type.
fn value(serial: u64, bytes: &[u8], encoding: TextEncoding) -> Option<StoredValue> {
    Some(match serial {
        0 => StoredValue::Null,
        1..=6 => {
            let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
            StoredValue::Integer(bytes.iter().fold(-i64::from(negative), |number, byte| number << 8 | i64::from(*byte)))
        }
        // SQLite reads a NaN as NULL.
        7 => match f64::from_be_bytes(*bytes.first_chunk()?) {
            number if number.is_nan() => StoredValue::Null,
            number => StoredValue::Real(number),
        },
        8 => StoredValue::Integer(0),
        9 => StoredValue::Integer(1),
        10 | 11 => return None,
        _ if serial.is_multiple_of(2) => StoredValue::Blob(bytes.to_vec()),
        _ => StoredValue::Text(encoding.decode(bytes)),
    })
}

/// A row of the schema.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::replica) struct SchemaRow {
    /// `table`, `index`, `view` or `trigger`.
    pub kind: String,
    pub name: String,
    /// The table to which an index or a trigger belongs; otherwise the name again.
    pub table: String,
    /// The root page. None for views, triggers and virtual tables, which have no pages.
    pub root: Option<u32>,
    /// The CREATE statement. None for the indexes of constraints, and if the payload is cut off before it.
    pub sql: Option<String>,
}

/// Parses a row of the schema, whose columns are type, name, table, root page and SQL. Returns None for a payload that
/// violates the format. The payload may be cut off after the root page.
pub(in crate::replica) fn entry(payload: &[u8], encoding: TextEncoding) -> Option<SchemaRow> {
    let values = first_values(payload, encoding);
    let text = |at: usize| match values.get(at) {
        Some(StoredValue::Text(text)) => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    };
    let root = match values.get(3)? {
        StoredValue::Integer(root) => u32::try_from(*root).ok().filter(|root| *root > 0),
        _ => None,
    };
    Some(SchemaRow { kind: text(0)?, name: text(1)?, table: text(2)?, root, sql: text(4) })
}
