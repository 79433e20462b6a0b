//! The schema cookie that page 1 shows.
//!
//! SQLite compares the cookie before it runs a compiled statement. The primary's counts changes of the schema, so two databases
//! of separate origin can have the same cookie and different tables, and one can replace the other: the file was built anew, a
//! backup was restored, another primary writes to the same place. SQLite would run the statement on the wrong root pages.
//! So page 1 shows a cookie that was handed out for the content of the schema: equal cookies imply equal schemas,
//! whichever states a connection moves between. Usually that is the primary's cookie.
//!
//! The content is read when page 1 of a view is read for the first time. Most schemas fit in page 1. The pages of a larger one are
//! fetched, unless they are known to be those of a view that was read before.
//!
//! | module | what it knows |
//! |---|---|
//! | `content` | the schema, read from its pages |
//! | `cookies` | which cookie was handed out for which schema |
//! | `known` | the pages of schemas that were read |

mod content;
mod cookies;
mod known;

pub(super) use cookies::ShownCookie;

use crate::error::Error;
use crate::lock::Mutex;
use crate::process;
use crate::replica::cache::Page;
use crate::replica::dbformat::btree;
use crate::replica::follow::history::Histories;
use crate::replica::pages::PageReader;
use crate::replica::view::View;
use content::{Digest, Keys, SchemaContent};
use cookies::Cookies;
use known::{Known, KnownSchemas};
use std::sync::Arc;

/// Offset of the cookie in page 1.
const COOKIE: usize = 40;

/// The fields of page 1 that SQLite reads together with the schema: page size, bytes reserved in each page, and from 44 on
/// schema format, default cache size, largest root page and text encoding.
const FIELDS: [std::ops::Range<usize>; 3] = [16..18, 20..21, 44..60];

/// The schemas of a replica that were read.
pub(super) struct Schemas {
    pages: Arc<PageReader>,
    histories: Arc<Histories>,
    keys: Keys,
    state: Mutex<SchemaState>,
}

struct SchemaState {
    cookies: Cookies,
    known: KnownSchemas,
}

impl Schemas {
    pub(super) fn new(pages: Arc<PageReader>, histories: Arc<Histories>) -> Schemas {
        // The parent of a forked child may have shown any of the primary's cookies to connections that the child inherits.
        let cookies = Cookies::new(process::generation() == 0);
        Schemas {
            pages,
            histories,
            keys: Keys::default(),
            state: Mutex::new(SchemaState { cookies, known: KnownSchemas::default() }),
        }
    }

    /// The cookie for a schema; one that is never shown again if the schema is damaged or too large to be read.
    fn cookie_for(&self, page_1: &[u8], schema: Option<&SchemaContent>) -> u32 {
        let (Some(schema), Some(primarys)) = (schema, btree::u32_at(page_1, COOKIE)) else { return cookies::fresh() };
        let digest = self.keys.digest(fields(page_1).chain(schema.records.iter().map(Vec::as_slice)));
        self.state.lock().cookies.hand_out(primarys, digest)
    }

    /// Identifies what page 1 holds of the schema, together with the primary's cookie.
    fn digest_of_page_1(&self, page_1: &[u8]) -> Digest {
        let cookie = page_1.get(COOKIE..COOKIE + 4);
        let tree = page_1.get(btree::DATABASE_HEADER..);
        self.keys.digest(fields(page_1).chain(cookie).chain(tree))
    }
}

fn fields(page_1: &[u8]) -> impl Iterator<Item = &[u8]> {
    FIELDS.into_iter().filter_map(|field| page_1.get(field))
}

impl Schemas {
    /// The schema cookie that page 1 of a view shows, if it takes no I/O to tell. `page_1` is that page.
    pub(super) fn known_cookie(&self, view: &View, page_1: &[u8]) -> Option<u32> {
        if let Some(cookie) = view.schema_cookie() {
            return Some(cookie);
        }
        let cookie = match content::in_page_1(page_1, view.commit()) {
            Ok(schema) => self.cookie_for(page_1, schema.as_ref()),
            Err(content::GoesOn) => {
                let digest = self.digest_of_page_1(page_1);
                self.state.lock().known.find(digest, view, &self.histories.epochs)?
            }
        };
        Some(view.keep_schema_cookie(cookie))
    }

    /// As [`Schemas::known_cookie`], of a schema whose pages have to be read.
    pub(super) async fn read_cookie(&self, view: &Arc<View>, page_1: &Page) -> Result<u32, Error> {
        if let Some(cookie) = self.known_cookie(view, page_1) {
            return Ok(cookie);
        }
        let schema = self.read_schema(view, page_1).await?;
        let cookie = view.keep_schema_cookie(self.cookie_for(page_1, schema.as_ref()));
        if let Some(schema) = schema {
            let known = Known::new(self.digest_of_page_1(page_1), view, &schema.pages, cookie);
            self.state.lock().known.add(known);
        }
        Ok(cookie)
    }
}
