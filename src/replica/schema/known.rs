//! The pages of schemas that were read. If another view has the same pages, its schema need not be read.

use crate::ltx::Txid;
use crate::replica::files::integrity::Soundness;
use crate::replica::schema::digest::Digest;
use crate::replica::view::epoch::Epochs;
use crate::replica::view::{Epoch, View};
use std::collections::VecDeque;
use std::sync::Arc;

/// How many schemas are remembered.
const MAX_SCHEMAS: usize = 16;

/// How many files, besides those that have its pages now, a schema may have been read from.
const MAX_ORIGINS: usize = 64;

/// The schemas that were read last, newest first.
#[derive(Default)]
pub(super) struct KnownSchemas(VecDeque<KnownSchema>);

/// A schema that does not fit in page 1, as it is in one view.
pub(super) struct KnownSchema {
    /// The digest of the part of it that page 1 contains.
    page_1: Digest,
    epoch: Epoch,
    txid: Txid,
    /// All its pages except page 1.
    pages: Vec<SchemaPage>,
    /// The files that the pages were read from.
    origins: Vec<Arc<Soundness>>,
    cookie: u32,
}

/// The version of a page: the number of the file that contains it, and the last transaction of that file.
struct SchemaPage {
    pgno: u32,
    file: u32,
    end: Txid,
}

impl KnownSchemas {
    pub(super) fn add(&mut self, schema: KnownSchema) {
        self.0.truncate(MAX_SCHEMAS - 1);
        self.0.push_front(schema);
    }

    /// Returns the cookie of a view's schema, if all its pages are known to be those of a schema that was read. A schema is not known any more
    /// once wrong bytes were read of a file that it was read from.
    pub(super) fn find(&mut self, page_1: Digest, view: &View, epochs: &Epochs) -> Option<u32> {
        self.0.retain(|schema| schema.origins.iter().all(|origin| !origin.is_spoiled()));
        let schema = self.0.iter_mut().find(|schema| schema.page_1 == page_1 && schema.is_same_in(view, epochs))?;
        let cookie = schema.cookie;
        if schema.pages.iter().all(|page| page.is_in(view)) {
            // The newer the state, the more other states it can be compared with.
            (schema.epoch, schema.txid) = (schema.epoch, schema.txid).max((view.epoch(), view.txid()));
        } else {
            let (pages, files) = versions(view, schema.pages.iter().map(|page| page.pgno));
            let origins = Soundness::unverified(files.iter().chain(&schema.origins));
            if origins.len() > pages.len() + MAX_ORIGINS {
                return None;
            }
            self.add(KnownSchema { page_1, epoch: view.epoch(), txid: view.txid(), pages, origins, cookie });
        }
        Some(cookie)
    }
}

impl KnownSchema {
    pub(super) fn new(page_1: Digest, view: &View, pages: &[u32], cookie: u32) -> KnownSchema {
        let (pages, origins) = versions(view, pages.iter().copied());
        KnownSchema { page_1, epoch: view.epoch(), txid: view.txid(), pages, origins, cookie }
    }

    /// Returns whether a view is known to have the same pages.
    ///
    /// A page is the same if it is in the same file. It is also the same if its file in the later of the two states
    /// ends at or before the earlier state: had the page been written in between, its newest version would be in a
    /// later file.
    fn is_same_in(&self, view: &View, epochs: &Epochs) -> bool {
        let earlier = self.txid.min(view.txid());
        let agree = epochs.agree(self.epoch, view.epoch(), earlier);
        self.pages.iter().all(|page| {
            page.is_in(view)
                || agree
                    && view.file_of(page.pgno).is_some_and(|now| {
                        let end = if self.txid <= view.txid() { now.name.max } else { page.end };
                        end <= earlier
                    })
        })
    }
}

/// Returns the versions of pages in a view, and the file of each.
fn versions(view: &View, pages: impl Iterator<Item = u32>) -> (Vec<SchemaPage>, Vec<Arc<Soundness>>) {
    let version = |pgno: u32| {
        let file = view.file_of(pgno)?;
        Some((SchemaPage { pgno, file: file.number, end: file.name.max }, file.integrity.soundness().clone()))
    };
    pages.filter_map(version).unzip()
}

impl SchemaPage {
    /// Returns whether a view has this version of the page in the same file.
    fn is_in(&self, view: &View) -> bool {
        view.file_of(self.pgno).is_some_and(|now| now.number == self.file)
    }
}
