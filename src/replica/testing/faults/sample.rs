//! The replica that the operations read: a database written by SQLite, its files, and the pages of each state.

use crate::ltx::{FileName, Level, Txid};
use crate::replica::testing::budgets::database::ModelDatabase;
use crate::replica::testing::budgets::far::Far;
use crate::store::{Memory, Store};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The files of a replica: a snapshot of TXID 1, TXID 2 at level 1, and one file of level 0 for each later one.
pub(super) struct SampleFiles {
    files: Vec<(Level, FileName, Bytes)>,
    states: BTreeMap<Txid, Vec<Vec<u8>>>,
}

/// The newest state before the primary commits again.
pub(super) const NEWEST: Txid = Txid(6);

/// The state after that.
pub(super) const NEXT: Txid = Txid(7);

pub(super) const PAGE_SIZE: usize = 1024;

/// The rows of the table that TXID 4 changes.
pub(super) const CHANGED_BY_4: usize = 3;

pub(super) static SAMPLE: LazyLock<SampleFiles> = LazyLock::new(SampleFiles::new);

impl SampleFiles {
    fn new() -> SampleFiles {
        let (far, mut states) = (Far::default(), BTreeMap::new());
        let mut database = ModelDatabase::new(PAGE_SIZE, "CREATE TABLE note (id INTEGER PRIMARY KEY, value BLOB)");
        database.run_for_each(250, 210, "INSERT INTO note VALUES (?1, ?2)");
        database.snapshot(&far);
        states.insert(Txid(1), database.state());
        for txid in 2..=NEXT.0 {
            let step = if txid == 4 { 100 } else { 40 };
            database.run(&format!("UPDATE note SET value = value || X'0{txid}' WHERE id % {step} = {txid}"));
            match txid {
                2 => database.changes(&far),
                _ => database.sync(&far),
            }
            states.insert(Txid(txid), database.state());
        }
        SampleFiles { files: copy(&far), states }
    }

    /// Stores the files up to a transaction.
    pub fn store(&self, files: &Memory, end: Txid) {
        for (level, name, bytes) in self.files.iter().filter(|(_, name, _)| name.max <= end) {
            files.insert(*level, *name, bytes.clone());
        }
    }

    /// Stores the file of the next transaction.
    pub fn store_next(&self, files: &Memory) {
        for (level, name, bytes) in self.files.iter().filter(|(_, name, _)| name.max == NEXT) {
            files.insert(*level, *name, bytes.clone());
        }
    }

    /// Returns the pages of a state.
    pub fn state(&self, txid: Txid) -> &[Vec<u8>] {
        &self.states[&txid]
    }
}

fn copy(far: &Far) -> Vec<(Level, FileName, Bytes)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let mut files = Vec::new();
        for level in Level::all() {
            for listed in far.list(level, Txid(1)).await.expect("a listing") {
                let chunk = far.read(level, listed.name, 0..listed.size, None).await.expect("a file");
                files.push((level, listed.name, chunk.bytes));
            }
        }
        files
    })
}
