//! A model of a primary with Litestream: it commits to level 0, compacts to higher levels, writes snapshots, deletes old
//! files, and sometimes is reset. Sometimes its database is replaced by another file.

mod commits;

use crate::ltx::{Encoder, FileName, Form, Header, Level, Txid};
use crate::replica::testing::header;
use crate::replica::testing::simulation::oracle::{Oracle, OracleDatabase};
use crate::replica::testing::simulation::pages::{ModelSchema, PageContent};
use crate::replica::testing::simulation::random::Random;
use crate::replica::testing::simulation::world::World;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The page size of most databases.
pub(in crate::replica) const PAGE_SIZE: usize = 512;

const MAX_PAGES: u64 = 70;

pub(in crate::replica) struct Primary {
    world: Arc<World>,
    random: Random,
    oracle: Oracle,
    txid: Txid,
    file: DatabaseFile,
    /// Copies of the database file.
    copies: Vec<DatabaseFile>,
    /// The pages that each transaction changed, and the size after it. Compactions are made from them.
    changes: BTreeMap<Txid, PageChange>,
    wal_salt: u32,
    wal_offset: i64,
    clock_ms: i64,
    image: Option<Image>,
}

/// The primary's database.
#[derive(Clone)]
struct DatabaseFile {
    database: OracleDatabase,
    cookie: u32,
    schema: ModelSchema,
}

/// An earlier state of the primary's machine, and of the replica.
struct Image {
    history: usize,
    txid: Txid,
    file: DatabaseFile,
    changes: BTreeMap<Txid, PageChange>,
    wal_salt: u32,
    wal_offset: i64,
    files: Vec<(Level, FileName, Bytes)>,
}

#[derive(Clone)]
struct PageChange {
    page_size: usize,
    commit: u32,
    pages: BTreeMap<u32, PageContent>,
    ms: i64,
}

impl Primary {
    pub(in crate::replica) fn new(world: Arc<World>, random: Random) -> Primary {
        let mut oracle = Oracle::default();
        oracle.begin();
        Primary {
            world,
            random,
            oracle,
            txid: Txid(0),
            file: DatabaseFile {
                database: OracleDatabase { page_size: PAGE_SIZE, pages: Vec::new() },
                cookie: 0,
                schema: ModelSchema { name: 0, pages: 0 },
            },
            copies: Vec::new(),
            changes: BTreeMap::new(),
            wal_salt: 1,
            wal_offset: 32,
            clock_ms: 1_000_000,
            image: None,
        }
    }

    pub(in crate::replica) fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// Performs one random action.
    pub(in crate::replica) fn act(&mut self) {
        self.clock_ms += self.random.below(2000) as i64;
        match self.random.below(22) {
            _ if self.txid == Txid(0) => self.replace_file(),
            0..=8 => self.commit(),
            9 => self.alter(),
            10 if self.image.is_some() => self.start_from_image(),
            10 => self.make_image(),
            11 => self.commit_all(),
            20 => self.replace_file(),
            21 => self.copies.push(self.file.clone()),
            12..=13 => self.compact(0),
            14 => self.compact(1),
            15 => self.compact(2),
            16 => self.snapshot(),
            17..=18 => self.expire_level_0(),
            _ if self.random.one_in(6) => self.lose_file(),
            _ if self.random.one_in(6) => self.world.vanish(),
            _ if self.random.one_in(4) => self.lose_replica(),
            _ if self.random.one_in(4) => self.lose_everything(),
            _ => self.expire_higher_levels(),
        }
    }

    fn header(&self, min: Txid, max: Txid, commit: u32, ms: i64, page_size: usize) -> Header {
        Header { timestamp_ms: ms, ..header(page_size, commit, min, max) }
    }

    fn upload(&self, level: Level, header: Header, pages: &BTreeMap<u32, PageContent>) {
        let (mut encoder, page_size) = (Encoder::new(header, Form::Block), header.page_size.get() as usize);
        pages.iter().for_each(|(pgno, content)| encoder.page(*pgno, &content.bytes(page_size)));
        let name = header.name();
        self.world.put(level, name, encoder.finish());
    }

    /// Compacts the files of a level that the next level does not cover. Like Litestream, it decides by the files in the
    /// replica.
    fn compact(&mut self, from: u8) {
        let (from, to) = (Level::new(from).expect("a level"), Level::new(from + 1).expect("a level"));
        let reached = self.world.files(to).last().map_or(Txid(0), |file| file.max);
        let inputs: Vec<FileName> = self.world.files(from).into_iter().filter(|file| file.min > reached).collect();
        let wanted = 1 + self.random.below(inputs.len() as u64) as usize;
        // Files of two page sizes are never compacted together.
        let page_size = |file: &FileName| self.changes[&file.max].page_size;
        let same_size = inputs.iter().take_while(|file| page_size(file) == page_size(&inputs[0])).count();
        let inputs = &inputs[..wanted.min(same_size)];
        if let (Some(first), Some(last)) = (inputs.first(), inputs.last()) {
            self.merge(to, first.min, last.max);
        }
    }

    fn merge(&self, level: Level, min: Txid, max: Txid) {
        let mut pages = BTreeMap::new();
        for change in self.changes.range(min..=max).map(|(_, change)| change) {
            pages.extend(change.pages.clone());
            pages.split_off(&(change.commit + 1));
        }
        let newest = &self.changes[&max];
        self.upload(level, self.header(min, max, newest.commit, newest.ms, newest.page_size), &pages);
    }

    /// Deletes a file of level 0, which leaves a hole until a file of a higher level covers it.
    fn lose_file(&mut self) {
        let files = self.world.files(Level::ZERO);
        if let Some(file) = self.random.choose(&files).copied() {
            self.world.delete(Level::ZERO, file);
            self.commit();
        }
    }

    /// Deletes all files of the replica. The primary continues without a snapshot there.
    fn lose_replica(&mut self) {
        self.world.wipe();
        self.commit();
    }

    /// Deletes the replica and the primary's position, so that another history begins at the same URL.
    fn lose_everything(&mut self) {
        self.world.wipe();
        self.oracle.begin();
        self.changes.clear();
        self.txid = Txid(0);
        self.replace_file();
    }

    fn make_image(&mut self) {
        self.image = Some(Image {
            history: self.oracle.history(),
            txid: self.txid,
            file: self.file.clone(),
            changes: self.changes.clone(),
            wal_salt: self.wal_salt,
            wal_offset: self.wal_offset,
            files: self.world.copy(),
        });
    }

    /// Replaces the primary by one that starts from the image, with a copy of the replica at that time.
    fn start_from_image(&mut self) {
        let Some(image) = self.image.take() else { return };
        self.oracle.branch(image.history, image.txid);
        (self.txid, self.file, self.changes) = (image.txid, image.file, image.changes);
        (self.wal_salt, self.wal_offset) = (image.wal_salt, image.wal_offset);
        self.world.replace(&image.files);
        for _ in 0..self.random.below(12) {
            match self.random.below(6) {
                0..=3 => self.commit(),
                4 => self.compact(0),
                _ => self.expire_level_0(),
            }
        }
    }

    /// Writes a snapshot if there is a transaction.
    pub(in crate::replica) fn ensure_base(&mut self) {
        if self.txid > Txid(0) {
            self.snapshot();
        }
    }

    fn snapshot(&mut self) {
        let OracleDatabase { page_size, pages } = &self.file.database;
        let header = self.header(Txid(1), self.txid, pages.len() as u32, self.clock_ms + 500, *page_size);
        let pages = (1..).zip(pages.iter().copied()).collect();
        self.upload(Level::SNAPSHOT, header, &pages);
    }

    /// Deletes files of level 0 that level 1 covers, never the newest: the oldest ones, or sometimes any, as a manual cleanup
    /// may do.
    fn expire_level_0(&mut self) {
        let compacted = self.world.files(Level::new(1).expect("a level")).last().map_or(Txid(0), |file| file.max);
        let files = self.world.files(Level::ZERO);
        let old: Vec<_> = files.iter().filter(|file| file.max <= compacted && file.max < self.txid).collect();
        let keep_from = self.random.below(old.len() as u64 + 1) as usize;
        let is_manual = self.random.one_in(4);
        for (index, file) in old.into_iter().enumerate() {
            let is_deleted = if is_manual { self.random.one_in(2) } else { index < keep_from };
            if is_deleted {
                self.world.delete(Level::ZERO, *file);
            }
        }
    }

    /// Deletes old snapshots and the files of levels 1 to 8 that end before the oldest remaining one, but never the newest
    /// file of a level.
    fn expire_higher_levels(&mut self) {
        let snapshots = self.world.files(Level::SNAPSHOT);
        let Some(kept) = snapshots.len().checked_sub(1 + self.random.below(2) as usize) else { return };
        snapshots[..kept].iter().for_each(|file| self.world.delete(Level::SNAPSHOT, *file));
        let oldest = snapshots[kept].max;
        for level in (1..9).filter_map(Level::new) {
            let files = self.world.files(level);
            let needed = files.len().saturating_sub(1);
            files[..needed].iter().filter(|file| file.max <= oldest).for_each(|file| self.world.delete(level, *file));
        }
    }
}
