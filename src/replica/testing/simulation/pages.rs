//! The pages of the model database. Page 1 and the pages after it contain a schema in SQLite's format; the bytes of any
//! other page are derived from a number.

use crate::replica::testing::simulation::random::Random;

/// The content of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::replica) enum PageContent {
    /// Arbitrary bytes, derived from a number.
    Rows(u64),
    /// The database header, and the schema or its root page. The number is stored outside the schema and makes each version
    /// of the page unique.
    First { cookie: u32, schema: ModelSchema, number: u64 },
    /// A page of the schema, by its index after page 1. The number is stored outside the schema too.
    Schema { index: u32, schema: ModelSchema, number: u64 },
}

/// A schema: its identity, and how many pages it has after page 1, at most [`ModelSchema::MAX_PAGES`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(in crate::replica) struct ModelSchema {
    pub name: u32,
    pub pages: u32,
}

const TABLE_INTERIOR: u8 = 5;
const TABLE_LEAF: u8 = 13;
const HEADER: usize = 100;

/// The number of records of a leaf.
const RECORDS: u64 = 3;

/// Returns how many bytes of a record are in the leaf if the rest fills one overflow page, and the length of the record:
/// SQLite's formula for pages without reserved bytes.
fn local(page_size: usize) -> (usize, usize) {
    let least = (page_size - 12) * 32 / 255 - 23;
    (least, least + page_size - 4)
}

impl ModelSchema {
    pub(in crate::replica) const MAX_PAGES: u32 = 3;

    /// Returns one of a few schemas.
    pub(in crate::replica) fn any(random: &mut Random) -> ModelSchema {
        ModelSchema { name: random.below(3) as u32, pages: random.below(Self::MAX_PAGES as u64 + 1) as u32 }
    }

    /// Returns the number of leaves. If there are two pages or more, the last one is an overflow page of the last record in
    /// the leaf before it.
    fn leaves(self) -> u32 {
        if self.pages < 2 { self.pages } else { self.pages - 1 }
    }

    /// Returns the bytes of one record.
    fn record(self, leaf: u32, record: u64, length: usize) -> Vec<u8> {
        let seed = [self.name.into(), self.pages.into(), leaf.into(), record].into_iter();
        let mut bytes = Random::new(seed.fold(1, |seed, part| seed * 1000 + part));
        (0..length).map(|_| bytes.next() as u8).collect()
    }

    /// Writes a leaf: the cells at the end of the page, and their offsets after the header.
    fn write_leaf(self, page: &mut [u8], start: usize, leaf: u32) {
        let (page_size, has_overflow) = (page.len(), self.pages >= 2 && leaf + 1 == self.leaves());
        let (mut end, mut offsets) = (page_size, Vec::new());
        for record in 0..RECORDS {
            let overflows = has_overflow && record + 1 == RECORDS;
            let mut cell = Vec::new();
            if overflows {
                let (kept, length) = local(page_size);
                cell.extend([(length >> 7) as u8 | 0x80, length as u8 & 0x7f, record as u8]);
                cell.extend(&self.record(leaf, record, length)[..kept]);
                cell.extend((1 + self.pages).to_be_bytes());
            } else {
                cell.extend([40, record as u8]);
                cell.extend(self.record(leaf, record, 40));
            }
            end -= cell.len();
            page[end..end + cell.len()].copy_from_slice(&cell);
            offsets.extend((end as u16).to_be_bytes());
        }
        page[start..start + 8].copy_from_slice(&[TABLE_LEAF, 0, 0, 0, RECORDS as u8, 0, 0, 0]);
        page[start + 8..start + 8 + offsets.len()].copy_from_slice(&offsets);
    }

    /// Writes the interior page above the leaves, which are pages 2, 3, …
    fn write_interior(self, page: &mut [u8], start: usize) {
        let cells = self.leaves() - 1;
        page[start..start + 8].copy_from_slice(&[TABLE_INTERIOR, 0, 0, 0, cells as u8, 0, 0, 0]);
        page[start + 8..start + 12].copy_from_slice(&(2 + cells).to_be_bytes());
        for cell in 0..cells {
            let (pointer, at) = (start + 12 + 2 * cell as usize, page.len() - 5 * (cell as usize + 1));
            page[pointer..pointer + 2].copy_from_slice(&(at as u16).to_be_bytes());
            page[at..at + 4].copy_from_slice(&(2 + cell).to_be_bytes());
            page[at + 4] = cell as u8;
        }
    }

    /// Writes the overflow page.
    fn write_overflow(self, page: &mut [u8]) {
        let (kept, length) = local(page.len());
        let record = self.record(self.leaves() - 1, RECORDS - 1, length);
        page[4..].copy_from_slice(&record[kept..]);
    }
}

impl PageContent {
    /// Returns the bytes of the page. Half of the bytes of most pages hardly compress, so that frames differ in size.
    pub(in crate::replica) fn bytes(self, page_size: usize) -> Vec<u8> {
        let mut page = vec![0; page_size];
        match self {
            PageContent::Rows(number) => {
                let noise = (0..page_size / 2).map(|i| (number.wrapping_mul(i as u64 | 1) >> 13) as u8);
                let bytes = noise.chain(number.to_be_bytes().into_iter().cycle());
                page.iter_mut().zip(bytes).for_each(|(byte, new)| *byte = new);
            }
            PageContent::First { cookie, schema, number } => {
                page[..16].copy_from_slice(b"SQLite format 3\0");
                page[16..18].copy_from_slice(&(page_size as u16).to_be_bytes());
                page[40..44].copy_from_slice(&cookie.to_be_bytes());
                page[44..48].copy_from_slice(&[0, 0, 0, 4]);
                page[56..60].copy_from_slice(&[0, 0, 0, 1]);
                // Bytes that are reserved in the database header.
                page[72..80].copy_from_slice(&number.to_be_bytes());
                match schema.pages {
                    0 => schema.write_leaf(&mut page, HEADER, 0),
                    _ => schema.write_interior(&mut page, HEADER),
                }
            }
            PageContent::Schema { index, schema, .. } if index >= schema.leaves() => schema.write_overflow(&mut page),
            PageContent::Schema { index, schema, number } => {
                schema.write_leaf(&mut page, 0, index);
                // The space between the offsets and the cells is unused.
                page[8 + 2 * RECORDS as usize..][..8].copy_from_slice(&number.to_be_bytes());
            }
        }
        page
    }

    /// Returns the schema of a page 1, or None for any other page.
    pub(in crate::replica) fn schema(self) -> Option<ModelSchema> {
        match self {
            PageContent::First { schema, .. } => Some(schema),
            _ => None,
        }
    }
}
