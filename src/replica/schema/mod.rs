//! The schema cookie that page 1 shows.
//!
//! SQLite compares the schema cookie before it runs a compiled statement. The primary's cookie counts changes of the
//! schema, so two unrelated databases can have the same cookie and different tables. One can replace the other: the
//! file was built again, a backup was restored, or another primary writes to the same URL. SQLite would then run the
//! statement on the wrong root pages. Therefore page 1 shows a cookie that is assigned to the content of the schema.
//! Equal cookies imply equal schemas, whichever states a connection moves between. Usually it is the primary's cookie.
//!
//! The content is read when page 1 of a view is read for the first time. Most schemas fit in page 1. The pages of a
//! larger one are fetched, unless they are known to be those of a view that was read before.
//!
//! | module | contents |
//! |---|---|
//! | `digest` | digests that identify the content of a schema |
//! | `cookies` | which cookie is assigned to which schema |
//! | `known` | the pages of schemas that were read |
//! | `content` | parses the pages of a schema |
//! | `read` | fetches the pages of a schema |

mod content;
mod cookies;
mod digest;
mod known;
mod read;

use crate::error::Error;
use crate::lock::Mutex;
use crate::process;
use crate::replica::cache::Page;
use crate::replica::dbformat::{btree, header};
use crate::replica::follow::history::Histories;
use crate::replica::pages::PageReader;
use crate::replica::view::View;
use content::{MorePages, SchemaContent};
use cookies::Cookies;
pub use cookies::unique as unused_cookie;
use digest::{Digest, Keys};
use known::{KnownSchema, KnownSchemas};
use std::ops::Range;
use std::sync::Arc;

/// The fields of page 1 that SQLite reads together with the schema. The last range includes the default cache size and
/// the largest root page.
const FIELDS: [Range<usize>; 3] = [
    header::PAGE_SIZE..header::PAGE_SIZE + 2,
    header::RESERVED..header::RESERVED + 1,
    header::SCHEMA_FORMAT..header::TEXT_ENCODING + 4,
];

/// The schemas of a replica that were read, and their cookies.
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
        // In a child of a fork, any cookie of the primary may have been shown by the parent, to a connection that the
        // child inherits.
        let cookies = Cookies::new(!process::is_child());
        Schemas {
            pages,
            histories,
            keys: Keys::default(),
            state: Mutex::new(SchemaState { cookies, known: KnownSchemas::default() }),
        }
    }

    /// Returns the schema cookie that page 1 of a view shows, if no I/O is necessary to find it. `page_1` is that page.
    pub(super) fn known_cookie(&self, view: &View, page_1: &[u8]) -> Option<u32> {
        if let Some(cookie) = view.schema_cookie() {
            return Some(cookie);
        }
        let cookie = match content::in_page_1(page_1, view.commit()) {
            Ok(schema) => self.cookie_for(page_1, schema.as_ref()),
            Err(MorePages) => {
                let digest = self.digest_of_page_1(page_1);
                self.state.lock().known.find(digest, view, &self.histories.epochs)?
            }
        };
        Some(view.keep_schema_cookie(cookie))
    }

    /// Returns the schema cookie that page 1 of a view shows. Fetches the pages of the schema if necessary.
    pub(super) async fn read_cookie(&self, view: &Arc<View>, page_1: &Page) -> Result<u32, Error> {
        if let Some(cookie) = self.known_cookie(view, page_1) {
            return Ok(cookie);
        }
        let schema = self.read_schema(view, page_1).await?;
        let cookie = view.keep_schema_cookie(self.cookie_for(page_1, schema.as_ref()));
        if let Some(schema) = schema {
            let known = KnownSchema::new(self.digest_of_page_1(page_1), view, &schema.pages, cookie);
            self.state.lock().known.add(known);
        }
        Ok(cookie)
    }

    /// Returns the cookie for a schema. If the schema is damaged or too large to be read, returns a cookie that is
    /// never used again.
    fn cookie_for(&self, page_1: &[u8], schema: Option<&SchemaContent>) -> u32 {
        let (Some(schema), Some(primarys)) = (schema, btree::u32_at(page_1, header::SCHEMA_COOKIE)) else {
            return cookies::unique();
        };
        let digest = self.keys.digest(fields(page_1).chain(schema.records.iter().map(Vec::as_slice)));
        self.state.lock().cookies.assign(primarys, digest)
    }

    /// Returns a digest of the part of the schema that page 1 contains, and of the primary's cookie.
    fn digest_of_page_1(&self, page_1: &[u8]) -> Digest {
        let cookie = page_1.get(header::SCHEMA_COOKIE..header::SCHEMA_COOKIE + 4);
        let tree = page_1.get(header::SIZE..);
        self.keys.digest(fields(page_1).chain(cookie).chain(tree))
    }
}

fn fields(page_1: &[u8]) -> impl Iterator<Item = &[u8]> {
    FIELDS.into_iter().filter_map(|field| page_1.get(field))
}
