//! Listings of a plain web server: the page that it shows for a directory, whoever made it look how.
//!
//! Such a page names files, and that is all that is relied upon: their lengths are asked for, once for each.

use super::{Failure, Version, WebStore};
use crate::lock::Mutex;
use crate::ltx::{FileName, Level, Txid};
use crate::store::Listed;
use crate::store::paths::Layout;
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::header::CACHE_CONTROL;
use reqwest::{Method, StatusCode};
use std::collections::BTreeMap;

/// Lengths and versions of files that were asked for.
#[derive(Default, Debug)]
pub(super) struct Sizes(Mutex<BTreeMap<(Level, FileName), (u64, Version)>>);

/// About the length of a page for a thousand files.
const PAGE: u64 = 512 * 1024;

impl WebStore {
    pub(super) async fn index(&self, level: Level, from: Txid) -> Result<Vec<Listed>, Failure> {
        const AT_ONCE: usize = 16;
        let below = format!("{}/", Layout::Decimal.level(level));
        let request = || self.request(Method::GET, &below).header(CACHE_CONTROL, "no-cache");
        let page = match self.ask(PAGE, request).await {
            Err(Failure::Refused(StatusCode::FORBIDDEN)) => {
                return Err(Failure::Unfit(
                    "shows no page for a directory; turn its index of directories on".to_owned(),
                ));
            }
            page => page?.body,
        };
        let names = names(&String::from_utf8_lossy(&page));
        self.sizes.0.lock().retain(|(at, name), _| *at != level || names.binary_search(name).is_ok());
        let wanted = names.into_iter().filter(|name| name.min >= from);
        let files = stream::iter(wanted.map(|name| self.listed(level, name))).buffered(AT_ONCE);
        files.try_filter_map(|file| async move { Ok(file) }).try_collect().await
    }

    /// None if it is not there any more, or is a directory.
    async fn listed(&self, level: Level, name: FileName) -> Result<Option<Listed>, Failure> {
        // A snapshot may be rewritten under its name; other files are not, and the next read notices if one is.
        let known = self.sizes.0.lock().get(&(level, name)).filter(|_| level != Level::SNAPSHOT).cloned();
        let (size, version) = match known {
            Some(known) => known,
            None => match self.head(&Layout::Decimal.file(level, name)).await {
                Ok(found) => found,
                Err(failure) if failure.is_missing() => return Ok(None),
                // What leads elsewhere or has no length is no file.
                Err(Failure::Nonsense(_)) => return Ok(None),
                Err(failure) => return Err(failure),
            },
        };
        self.sizes.0.lock().insert((level, name), (size, version.clone()));
        Ok(Some(Listed { level, name, size, version: Some(version), modified_ms: 0 }))
    }
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
