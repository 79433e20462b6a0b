//! Makes the file of a transaction from the pages that SQLite has written.
//!
//! SQLite has read page 1 with the header fields that this VFS shows (the number of the view, and the assigned schema cookie), and has
//! counted on from them. The file gets the fields that the replica has, counted on in the same way.

use crate::error::{Error, ErrorKind};
use crate::ltx::{Encoder, FileName, Form, Header, PageSize, Txid};
use crate::replica::View;
use crate::replica::dbformat::btree::u32_at;
use crate::replica::dbformat::header::{COMMIT, COUNTER, PAGE_SIZE, SCHEMA_COOKIE, VALID_FOR, VERSIONS};
use crate::replica::write::overlay::Overlay;
use crate::time;
use bytes::Bytes;

/// The offset that a file has in a write-ahead log without frames. With it, `litestream replicate` goes on with a restored copy by a snapshot;
/// with 0 it fails.
const WAL_HEADER: i64 = 32;

/// The file of a transaction.
#[derive(Clone, Debug)]
pub(in crate::replica) struct TransactionFile {
    pub name: FileName,
    pub bytes: Bytes,
    /// The change counter that SQLite has written. Its cache has the pages of this transaction under this number.
    pub counter: Option<u32>,
}

/// The state that a transaction began with.
#[derive(Clone, Copy)]
pub(super) struct TransactionBase<'a> {
    /// None for a new database.
    pub view: Option<&'a View>,
    /// Page 1 as the replica has it; None for a new database.
    pub page_1: Option<&'a [u8]>,
}

/// Who writes the file, and after which file.
#[derive(Clone, Copy)]
pub(super) struct Author {
    pub node_id: u64,
    /// The transaction in the file.
    pub txid: Txid,
    /// Checksum of the file of the transaction before; 0 if unknown.
    pub previous: u64,
}

impl TransactionFile {
    /// Makes the file of the transaction after the state that it began with.
    pub(super) fn new(overlay: &Overlay, base: TransactionBase<'_>, author: Author) -> Result<TransactionFile, Error> {
        let page_size = overlay.page_size().ok_or_else(|| Error::internal("a transaction has no page"))?;
        let page_1 = page_1(overlay, base, page_size)?;
        let commit = match &page_1 {
            Some((page, _)) => u32_at(page, COMMIT).unwrap_or(0),
            None => base.view.map_or(0, View::commit),
        };
        let header = author.header(base.view, page_size, commit);
        let bytes = encode(overlay, header, base.view.map_or(0, View::commit), page_1.as_ref().map(|(page, _)| page))?;
        Ok(TransactionFile { name: header.name(), bytes, counter: page_1.map(|(_, counter)| counter) })
    }

    /// Makes the file of a transaction that changes nothing but the change counter.
    pub(super) fn unchanged(view: &View, page_1: &[u8], author: Author) -> TransactionFile {
        let header = author.header(Some(view), view.tip().header.page_size, view.commit());
        let mut page = page_1.to_vec();
        count_on(&mut page, page_1);
        let mut encoder = Encoder::new(header, Form::Block);
        encoder.page(1, &page);
        TransactionFile { name: header.name(), bytes: encoder.finish().into(), counter: None }
    }
}

impl Author {
    /// Returns the header of a transaction after a state; None for a new database. Its time is later than that of the state, whatever the
    /// clock shows: the time of each state has to lead to it.
    fn header(self, base: Option<&View>, page_size: PageSize, commit: u32) -> Header {
        Header {
            timestamp_ms: base.map_or(0, |base| base.time_ms().saturating_add(1)).max(time::now_ms()),
            wal_offset: WAL_HEADER,
            node_id: self.node_id,
            previous: self.previous,
            ..Header::plain(page_size, commit, FileName::of(self.txid))
        }
    }
}

/// Sets the change counter in page 1 to the one after that of the state before.
fn count_on(page: &mut [u8], before: &[u8]) {
    let next = u32_at(before, COUNTER).unwrap_or(0).wrapping_add(1).to_be_bytes();
    for at in [COUNTER, VALID_FOR] {
        page[at..at + 4].copy_from_slice(&next);
    }
}

/// Encodes the pages up to the commit: those that were written, and zeros for those that SQLite has added without writing them, because
/// files must have every page.
fn encode(overlay: &Overlay, header: Header, commit_before: u32, page_1: Option<&Vec<u8>>) -> Result<Bytes, Error> {
    let (commit, lock_page) = (header.commit, header.page_size.lock_page());
    let mut page = vec![0; header.page_size.get() as usize];
    let mut encoder = Encoder::new(header, Form::Block);
    let written = overlay.numbers().take_while(|pgno| *pgno <= commit_before.min(commit));
    for pgno in written.chain(commit_before + 1..=commit).filter(|pgno| *pgno != lock_page) {
        match page_1.filter(|_| pgno == 1) {
            Some(page_1) => encoder.page(1, page_1),
            None => {
                if !overlay.read(pgno, 0, &mut page)? {
                    page.fill(0);
                }
                encoder.page(pgno, &page);
            }
        }
    }
    Ok(encoder.finish().into())
}

/// Returns page 1 with the header fields of the replica, and the change counter that SQLite has written. None if the transaction has not
/// written page 1.
fn page_1(overlay: &Overlay, base: TransactionBase<'_>, page_size: PageSize) -> Result<Option<(Vec<u8>, u32)>, Error> {
    let mut page = vec![0; page_size.get() as usize];
    if !overlay.read(1, 0, &mut page)? {
        return Ok(None);
    }
    let counter = u32_at(&page, COUNTER).unwrap_or(0);
    // 1 stands for 65536.
    let declared = match u16::from_be_bytes([page[PAGE_SIZE], page[PAGE_SIZE + 1]]) {
        1 => 1 << 16,
        size => u32::from(size),
    };
    if declared != page_size.get() {
        let message = format!("the page size of a replica cannot be changed, from {page_size} to {declared}");
        return Err(Error::new(ErrorKind::ReadOnly, message)
            .remedy("write the database to a new replica with the other page size"));
    }
    let (Some(view), Some(before)) = (base.view, base.page_1) else { return Ok(Some((page, counter))) };
    let field = |at: usize| u32_at(before, at).unwrap_or(0);
    page[VERSIONS..VERSIONS + 2].copy_from_slice(&before[VERSIONS..VERSIONS + 2]);
    count_on(&mut page, before);
    let shown = overlay.base_cookie().or(view.schema_cookie()).unwrap_or_else(|| field(SCHEMA_COOKIE));
    let steps = u32_at(&page, SCHEMA_COOKIE).unwrap_or(0).wrapping_sub(shown);
    let cookie = field(SCHEMA_COOKIE).wrapping_add(steps);
    page[SCHEMA_COOKIE..SCHEMA_COOKIE + 4].copy_from_slice(&cookie.to_be_bytes());
    Ok(Some((page, counter)))
}
