//! Changes of the primary's database: transactions, changes of its schema, and its replacement by another file.

use crate::ltx::{Header, Level};
use crate::replica::testing::simulation::pages::{ModelSchema, PageContent};
use crate::replica::testing::simulation::primary::{DatabaseFile, MAX_PAGES, PAGE_SIZE, PageChange, Primary};
use std::collections::BTreeMap;

/// Schema cookies are lower than this, so that many schemas share one.
const COOKIES: u32 = 4;

impl Primary {
    pub(in crate::replica) fn commit(&mut self) {
        let mut changed = BTreeMap::new();
        let (size, min) = (self.file.database.pages.len() as u64, 1 + u64::from(self.file.schema.pages));
        let commit = match self.random.below(6) {
            0 => min + self.random.below(size + 1 - min),
            1..=2 => (size + self.random.below(8)).min(MAX_PAGES),
            _ => size,
        };
        for pgno in size + 1..=commit {
            changed.insert(pgno as u32, self.rewritten(pgno as u32));
        }
        for _ in 0..1 + self.random.below(5) {
            let pgno = 1 + self.random.below(commit) as u32;
            changed.insert(pgno, self.rewritten(pgno));
        }
        self.write(commit as u32, changed);
    }

    /// Returns a new version of a page. A page of the schema keeps its schema.
    fn rewritten(&mut self, pgno: u32) -> PageContent {
        let DatabaseFile { cookie, schema, .. } = self.file;
        match pgno {
            1 => PageContent::First { cookie, schema, number: self.random.next() },
            _ if pgno <= 1 + schema.pages => {
                PageContent::Schema { index: pgno - 2, schema, number: self.random.next() }
            }
            _ => PageContent::Rows(self.random.next()),
        }
    }

    /// Changes the schema and the cookie.
    pub(in crate::replica) fn alter(&mut self) {
        self.file.schema = ModelSchema::any(&mut self.random);
        self.file.cookie = (self.file.cookie + 1) % COOKIES;
        let commit = (self.file.database.pages.len() as u32).max(1 + self.file.schema.pages);
        let changed =
            (1..=1 + ModelSchema::MAX_PAGES.min(commit - 1)).map(|pgno| (pgno, self.rewritten(pgno))).collect();
        self.write(commit, changed);
    }

    /// Writes every page in a new WAL: the first transaction of a replica, or the first after a reset.
    pub(in crate::replica) fn commit_all(&mut self) {
        let commit = (1 + self.random.below(MAX_PAGES)).max(1 + u64::from(self.file.schema.pages));
        self.wal_salt += 1;
        self.wal_offset = 32;
        let pages = (1..=commit as u32).map(|pgno| (pgno, self.rewritten(pgno))).collect();
        self.write(commit as u32, pages);
    }

    /// Replaces the database by another file, often with the same cookie: a newly created one, which may have another page
    /// size; a copy of an older state, which may have changed since; or the result of `VACUUM INTO`.
    pub(in crate::replica) fn replace_file(&mut self) {
        match self.random.below(4) {
            0 | 1 => {
                self.file.schema = ModelSchema::any(&mut self.random);
                self.file.database.page_size = PAGE_SIZE << self.random.below(2);
                if self.random.one_in(4) {
                    self.file.cookie = self.random.below(COOKIES.into()) as u32;
                }
            }
            2 => {
                let cookie = self.file.cookie;
                if let Some(copy) = self.random.choose(&self.copies) {
                    self.file = copy.clone();
                    if self.random.one_in(2) {
                        (self.file.schema, self.file.cookie) = (ModelSchema::any(&mut self.random), cookie);
                    } else {
                        return self.write_file();
                    }
                }
            }
            _ => {
                self.file.schema.name = (self.file.schema.name + 1) % 3;
                self.file.cookie = (self.file.cookie + 1) % COOKIES;
            }
        }
        self.commit_all();
    }

    /// Writes every page of the file unchanged in a new WAL.
    fn write_file(&mut self) {
        self.wal_salt += 1;
        self.wal_offset = 32;
        let pages: BTreeMap<u32, PageContent> = (1..).zip(self.file.database.pages.iter().copied()).collect();
        self.write(pages.len() as u32, pages);
    }

    fn write(&mut self, commit: u32, changed: BTreeMap<u32, PageContent>) {
        self.txid = self.txid.next();
        let database = &mut self.file.database;
        database.pages.resize(commit as usize, PageContent::Rows(0));
        changed.iter().for_each(|(pgno, content)| database.pages[*pgno as usize - 1] = *content);
        self.oracle.record(self.txid, database.clone());
        let page_size = database.page_size;
        let wal_size = changed.len() as i64 * (page_size as i64 + 24);
        let header = Header {
            wal_offset: self.wal_offset,
            wal_size,
            wal_salt: [self.wal_salt, 7],
            ..self.header(self.txid, self.txid, commit, self.clock_ms, page_size)
        };
        self.wal_offset += wal_size;
        if self.random.one_in(10) {
            // A checkpoint: the WAL restarts.
            self.wal_salt += 1;
            self.wal_offset = 32;
        }
        self.changes.insert(self.txid, PageChange { page_size, commit, pages: changed.clone(), ms: self.clock_ms });
        self.upload(Level::ZERO, header, &changed);
    }
}
