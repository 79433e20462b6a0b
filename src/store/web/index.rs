//! Listings of a plain web server: the page that it shows for a directory, whoever made it look how.
//!
//! Such a page names files, and that is all that is relied upon: their lengths are asked for, once for each.

use super::response::{Length, WebResponse};
use super::{Version, WebError, WebStore};
use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid};
use crate::store::Listed;
use crate::store::bounds::check_names;
use crate::store::paths::Layout;
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::header::CACHE_CONTROL;
use reqwest::{Client, Method, StatusCode};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// Lengths and versions of files that were asked for.
#[derive(Default, Debug)]
pub(super) struct Sizes(Mutex<BTreeMap<(Level, FileName), (u64, Version)>>);

impl Sizes {
    /// A file is there.
    pub(super) fn note(&self, level: Level, name: FileName, size: u64, version: &Version) {
        self.0.lock().insert((level, name), (size, version.clone()));
    }

    /// A file of level 0 is there, of which no listing tells. The oldest of many are forgotten.
    pub(super) fn note_newest(&self, name: FileName, size: u64, version: &Version) {
        const MANY: usize = 4096;
        self.note(Level::ZERO, name, size, version);
        let mut known = self.0.lock();
        if known.len() > MANY
            && let Some(oldest) = known.first_entry().filter(|oldest| oldest.key().0 == Level::ZERO)
        {
            oldest.remove();
        }
    }

    /// It is not there any more.
    pub(super) fn forget(&self, level: Level, name: FileName) {
        self.0.lock().remove(&(level, name));
    }

    /// Those of a level that were there, from this transaction on.
    pub(super) fn names(&self, level: Level, from: Txid) -> Vec<FileName> {
        let start = (level, FileName { min: from, max: Txid(0) });
        let known = self.0.lock();
        known.range(start..).map(|(file, _)| *file).take_while(|(at, _)| *at == level).map(|(_, name)| name).collect()
    }
}

/// Files that are asked for at once.
pub(super) const AT_ONCE: usize = 16;

impl WebStore {
    /// What the page for a level names; if there is none, or one that names nothing, what a manifest does.
    pub(super) async fn index(&self, level: Level, from: Txid) -> Result<Vec<Listed>, WebError> {
        let page = match self.has_manifest.load(Ordering::Relaxed) {
            true => Err(WebError::Refused(StatusCode::NOT_FOUND, None)),
            false => self.page(level).await,
        };
        let names = match page {
            Ok(names) if !names.is_empty() => {
                self.has_pages.store(true, Ordering::Relaxed);
                names
            }
            // A host that shows pages has none for a level that is not there.
            page if self.has_pages.load(Ordering::Relaxed) => return page.map(|_| Vec::new()),
            Ok(_) | Err(WebError::Refused(StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN, _)) => {
                return match (self.manifest().await?, page) {
                    (Some(manifest), _) => self.listed_by(manifest, level, from).await,
                    (None, Err(WebError::Refused(StatusCode::FORBIDDEN, _))) => Err(WebError::Unfit(
                        "shows no page for a directory; turn its index of directories on, or put a list of the files in \
                         ltx/index.txt"
                            .to_owned(),
                    )),
                    (None, page) => page.map(|_| Vec::new()),
                };
            }
            Err(failure) => return Err(failure),
        };
        self.sizes.0.lock().retain(|(at, name), _| *at != level || names.binary_search(name).is_ok());
        let wanted: Vec<FileName> = names.into_iter().filter(|name| name.min >= from).collect();
        self.readable(level, wanted).await
    }

    /// Those of the named files that may be read. One that may not, such as a link to itself, must not hide the others; if
    /// none may, the server refuses them all.
    async fn readable(&self, level: Level, names: Vec<FileName>) -> Result<Vec<Listed>, WebError> {
        let asked = names.into_iter().map(|name| async move {
            match self.listed(level, name).await {
                Err(failure @ WebError::Refused(StatusCode::FORBIDDEN, _)) => Ok(Err(failure)),
                answer => answer.map(Ok),
            }
        });
        let answers: Vec<_> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        let (mut files, mut refused) = (Vec::new(), None);
        for answer in answers {
            match answer {
                Ok(file) => files.extend(file),
                Err(failure) => refused = Some(failure),
            }
        }
        match refused {
            Some(failure) if files.is_empty() => Err(failure),
            _ => Ok(files),
        }
    }

    /// The names on the page for a level.
    async fn page(&self, level: Level) -> Result<Vec<FileName>, WebError> {
        let below = format!("{}/", Layout::Decimal.level(level));
        let request = |client: &Client| self.request(client, Method::GET, &below).header(CACHE_CONTROL, "no-cache");
        let read = |answer: WebResponse, _| {
            let names = names(&String::from_utf8_lossy(&answer.body));
            check_names(names.len()).map(|()| names).map_err(WebError::Nonsense)
        };
        self.ask(Length::Listing, request, read).await
    }

    /// None if it is not there any more, or is a directory.
    pub(super) async fn listed(&self, level: Level, name: FileName) -> Result<Option<Listed>, WebError> {
        // A snapshot may be rewritten under its name; other files are not, and the next read notices if one is.
        let known = self.sizes.0.lock().get(&(level, name)).filter(|_| level != Level::SNAPSHOT).cloned();
        match known {
            Some((size, version)) => Ok(Some(Listed { level, name, size, version: Some(version), modified_ms: 0 })),
            None => self.listed_anew(level, name).await,
        }
    }

    /// The same of a file that may have gone since it was seen.
    pub(super) async fn listed_anew(&self, level: Level, name: FileName) -> Result<Option<Listed>, WebError> {
        let (size, version) = match self.head(&Layout::Decimal.file(level, name)).await {
            Ok(found) => found,
            // What leads elsewhere or has no length is no file.
            Err(failure) if self.is_missing(&failure) || matches!(failure, WebError::Nonsense(_)) => {
                self.sizes.forget(level, name);
                return Ok(None);
            }
            Err(failure) => return Err(failure),
        };
        self.sizes.note(level, name, size, &version);
        Ok(Some(Listed { level, name, size, version: Some(version), modified_ms: 0 }))
    }
}

/// Those that are there, in their order.
pub(super) async fn some(
    files: impl Iterator<Item = impl Future<Output = Result<Option<Listed>, WebError>>>,
) -> Result<Vec<Listed>, WebError> {
    stream::iter(files).buffered(AT_ONCE).try_filter_map(|file| async move { Ok(file) }).try_collect().await
}

/// The names of files that a text holds, ascending, each once.
fn names(page: &str) -> Vec<FileName> {
    const LENGTH: usize = "0000000000000001-0000000000000001.ltx".len();
    let ends = page.match_indices(".ltx").map(|(at, end)| at + end.len());
    // What goes on behind the ending is another name, as that of a directory is.
    let ends = ends.filter(|end| !page[*end..].starts_with(|next: char| next.is_alphanumeric() || "./".contains(next)));
    let mut names: Vec<FileName> =
        ends.filter_map(|end| page.get(end.checked_sub(LENGTH)?..end).and_then(FileName::parse)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_page() {
        let file = |txid| FileName { min: Txid(txid), max: Txid(txid) };
        let (one, two) = (file(1).to_string(), file(2).to_string());
        let html =
            format!("<a href=\"{two}\">{two}</a> <a href=\"/x/{one}\">{}…</a> <a href=\"{}/\">", &one[..9], file(3));
        assert_eq!(names(&html), [file(1), file(2)]);
        assert_eq!(names(&format!("[{{\"name\":\"{one}\"}},\"{two}.tmp\"]")), [file(1)]);
        assert_eq!(names("é.ltx <html>Sign in</html>"), []);
    }
}
