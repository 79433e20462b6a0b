//! A history of transactions, and the states that the files of a replica give.

use super::store::AgedFiles;
use crate::ltx::{Encoder, FileName, Form, Header, IndexEntry, Level, Txid, decode_page, verify};
use crate::replica::files::plan;
use crate::replica::testing::header;
use crate::replica::testing::simulation::random::Random;
use crate::store::Listed;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const PAGE_SIZE: usize = 512;

/// A database: the number from which the content of each page follows.
type Numbers = Vec<u64>;

/// A writer, and the state after each of its transactions.
pub(super) struct WrittenHistory {
    files: Arc<AgedFiles>,
    random: Random,
    states: Vec<Numbers>,
    /// The checksum of the last file.
    last: u64,
}

fn page(number: u64) -> Vec<u8> {
    number.to_be_bytes().into_iter().cycle().take(PAGE_SIZE).collect()
}

impl WrittenHistory {
    pub fn new(files: &Arc<AgedFiles>, random: Random) -> WrittenHistory {
        WrittenHistory { files: files.clone(), random, states: vec![Vec::new()], last: 0 }
    }

    pub fn newest(&self) -> Txid {
        Txid(self.states.len() as u64 - 1)
    }

    /// Commits a transaction that writes some pages, and all that it adds. Some transactions shrink the database.
    pub fn commit(&mut self) {
        let mut database = self.states.last().cloned().unwrap_or_default();
        let (old, random) = (database.len() as u64, &mut self.random);
        let size = match random.below(6) {
            0 => 1 + random.below(old.max(1)),
            1 => old + 1 + random.below(20),
            _ => old.max(1),
        };
        database.resize(size as usize, 0);
        let is_rewritten = random.one_in(12);
        let mut changed: BTreeMap<usize, u64> =
            (0..size as usize).filter(|at| is_rewritten || *at >= old as usize).map(|at| (at, 0)).collect();
        changed.extend((0..1 + random.below(4)).map(|_| (random.below(size) as usize, 0)));
        let txid = Txid(self.states.len() as u64);
        let header = Header {
            timestamp_ms: self.files.now(),
            wal_offset: 32,
            wal_size: 536,
            wal_salt: [1, 2],
            node_id: 7,
            previous: self.last,
            ..header(PAGE_SIZE, size as u32, txid, txid)
        };
        let form = if self.random.one_in(5) { Form::Frame } else { Form::Block };
        let mut encoder = Encoder::new(header, form);
        for at in changed.into_keys() {
            database[at] = self.random.next();
            encoder.page(at as u32 + 1, &page(database[at]));
        }
        self.states.push(database);
        let file = encoder.finish();
        self.last = verify(&file).expect("a correct file").trailer.file_checksum;
        self.files.insert(Level::ZERO, FileName::of(txid), file);
    }

    /// Returns whether files lead to a transaction.
    pub fn is_restorable(&self, files: &[Listed], txid: Txid) -> bool {
        let chain = plan::at(files, txid).ok().filter(|chain| chain.start() == Txid(1));
        assert_eq!(chain.is_some(), litestream_restores(files, txid), "{txid}");
        chain.is_some()
    }

    /// Asserts that the files give the state of a transaction.
    pub fn check(&self, files: &[Listed], txid: Txid) {
        let chain = plan::at(files, txid).expect("a chain");
        let mut pages: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        let mut commit = 0;
        for file in chain.files {
            let bytes = self.files.memory.get(file.level, file.name).expect("a listed file");
            let verified = verify(&bytes).unwrap_or_else(|error| panic!("{file:?}: {error}"));
            for IndexEntry { pgno, offset, size } in verified.entries {
                let mut page = vec![0; PAGE_SIZE];
                let frame = &bytes[offset as usize..][..size as usize];
                decode_page(frame, pgno, &mut page).expect("a verified page");
                pages.insert(pgno, page);
            }
            commit = verified.header.commit;
            pages.split_off(&(commit + 1));
        }
        let state = &self.states[txid.0 as usize];
        let expected: BTreeMap<u32, Vec<u8>> = (1..).zip(state.iter().map(|number| page(*number))).collect();
        assert_eq!(commit as usize, state.len(), "the size at {txid}");
        assert!(pages == expected, "the pages at {txid}");
    }
}

/// Returns whether Litestream 0.5.17 finds files for a transaction: the newest snapshot before it, then always the file that continues it
/// and ends last.
fn litestream_restores(files: &[Listed], txid: Txid) -> bool {
    let usable = || files.iter().filter(|file| file.name.max <= txid);
    let snapshots = usable().filter(|file| file.level == Level::SNAPSHOT);
    let mut reached = snapshots.map(|file| file.name.max).max().unwrap_or_default();
    while reached < txid {
        let next = usable().filter(|file| file.level != Level::SNAPSHOT && file.name.min <= reached.next());
        match next.map(|file| file.name.max).max().filter(|next| *next > reached) {
            Some(next) => reached = next,
            None => return false,
        }
    }
    true
}
