//! The rows of `sqlite_schema`.

use crate::replica::dbformat::btree::{u32_at, varint};

/// Offset in page 1 of the text encoding.
const TEXT_ENCODING: usize = 56;

/// A table or an index in the schema.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::replica) struct SchemaRow {
    pub is_index: bool,
    pub name: String,
    pub root: u32,
}

/// Parses a row of the schema, whose columns are type, name, table, root page and SQL. Returns None for views and
/// triggers, which have no pages, and for a payload that violates the format. The payload may end after the root page.
pub(in crate::replica) fn entry(payload: &[u8], page_1: &[u8]) -> Option<SchemaRow> {
    let (header, mut at) = varint(payload)?;
    let mut body = usize::try_from(header).ok()?;
    let mut values = Vec::new();
    while values.len() < 4 && at < usize::try_from(header).ok()? {
        let (serial, length) = varint(payload.get(at..)?)?;
        at += length;
        let size = size(serial)?;
        values.push((serial, payload.get(body..body + size)?));
        body += size;
    }
    let [(_, kind), (_, name), _, (serial, root)] = values[..] else { return None };
    let encoding = u32_at(page_1, TEXT_ENCODING)?;
    let is_index = match text(kind, encoding).as_str() {
        "table" => false,
        "index" => true,
        _ => return None,
    };
    // The serial types 8 and 9 are the integers 0 and 1 and take no bytes.
    let root = if serial == 9 { 1 } else { root.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)) };
    (root > 0).then(|| SchemaRow { is_index, name: text(name, encoding), root })
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

/// Decodes text in the encoding of the database: 1 is UTF-8, 2 is UTF-16 little-endian, 3 is UTF-16 big-endian.
fn text(bytes: &[u8], encoding: u32) -> String {
    let units = |read: fn([u8; 2]) -> u16| -> Vec<u16> { bytes.as_chunks().0.iter().map(|unit| read(*unit)).collect() };
    match encoding {
        2 => String::from_utf16_lossy(&units(u16::from_le_bytes)),
        3 => String::from_utf16_lossy(&units(u16::from_be_bytes)),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}
