//! The pages of schemas that were read, by which the schema of another view is told without reading them again.

use crate::ltx::Txid;
use crate::replica::schema::content::Digest;
use crate::replica::view::epoch::Epochs;
use crate::replica::view::{Epoch, View};
use std::collections::VecDeque;

/// So many are kept.
const MOST: usize = 16;

/// The schemas that were read last, newest first.
#[derive(Default)]
pub(super) struct KnownSchemas(VecDeque<Known>);

/// A schema that takes more than page 1, as a view holds it.
pub(super) struct Known {
    /// What page 1 holds of it.
    page_1: Digest,
    epoch: Epoch,
    txid: Txid,
    /// All pages but page 1.
    pages: Vec<CookieKey>,
    cookie: u32,
}

/// The version of a page: the number of its file, and the last transaction of that.
struct CookieKey {
    pgno: u32,
    file: u32,
    end: Txid,
}

impl KnownSchemas {
    pub(super) fn add(&mut self, known: Known) {
        self.0.truncate(MOST - 1);
        self.0.push_front(known);
    }

    /// The cookie of a view's schema, if all of its pages are known to be those of a schema that was read.
    pub(super) fn find(&mut self, page_1: Digest, view: &View, lineage: &Epochs) -> Option<u32> {
        let known = self.0.iter_mut().find(|known| known.page_1 == page_1 && known.is_of(view, lineage))?;
        let cookie = known.cookie;
        if known.pages.iter().all(|place| place.is_in(view)) {
            // The newer the state, the more it proves.
            (known.epoch, known.txid) = (known.epoch, known.txid).max((view.epoch(), view.txid()));
        } else {
            let pages: Vec<u32> = known.pages.iter().map(|place| place.pgno).collect();
            self.add(Known::new(page_1, view, &pages, cookie));
        }
        Some(cookie)
    }
}

impl Known {
    pub(super) fn new(page_1: Digest, view: &View, pages: &[u32], cookie: u32) -> Known {
        let place = |pgno: &u32| {
            let file = view.locate(*pgno)?.file;
            Some(CookieKey { pgno: *pgno, file: file.number, end: file.name.max })
        };
        let pages = pages.iter().filter_map(place).collect();
        Known { page_1, epoch: view.epoch(), txid: view.txid(), pages, cookie }
    }

    /// Whether the pages of a view are the same.
    ///
    /// A page is the same if it lies in the same file. It is also the same if its file in the later of the two states ends at or
    /// before the earlier one: had it been written in between, its newest version would lie in a later file.
    fn is_of(&self, view: &View, lineage: &Epochs) -> bool {
        let earlier = self.txid.min(view.txid());
        let agree = lineage.agree(self.epoch, view.epoch(), earlier);
        self.pages.iter().all(|place| {
            place.is_in(view)
                || agree
                    && view.locate(place.pgno).is_some_and(|now| {
                        let end = if self.txid <= view.txid() { now.file.name.max } else { place.end };
                        end <= earlier
                    })
        })
    }
}

impl CookieKey {
    fn is_in(&self, view: &View) -> bool {
        view.locate(self.pgno).is_some_and(|now| now.file.number == self.file)
    }
}
