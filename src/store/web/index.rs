//! Listings by the page that a plain web server shows for a directory.
//!
//! The formats of such pages differ, so only the names of files are taken from them. Length and version of each file are requested once, and
//! those of the first and the last file again for each listing.

use super::WebStore;
use super::error::WebError;
use super::response::{ResponseLength, WebResponse};
use crate::ltx::{FileName, Level, Txid};
use crate::store::Listed;
use crate::store::bounds::check_names;
use crate::store::paths::Layout;
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::header::CACHE_CONTROL;
use reqwest::{Client, Method, StatusCode};
use std::sync::atomic::Ordering;

/// Number of files that are requested at the same time.
pub(super) const CONCURRENT_REQUESTS: usize = 16;

impl WebStore {
    /// Lists a level by its page. If there is no page, or it contains no names, lists the level by the manifest.
    pub(super) async fn list_by_index(&self, level: Level, from: Txid) -> Result<Vec<Listed>, WebError> {
        let page = match self.has_manifest.load(Ordering::Relaxed) {
            true => Err(WebError::Status(StatusCode::NOT_FOUND, None)),
            false => self.names_on_page(level).await,
        };
        let names = match page {
            Ok(names) if !names.is_empty() => {
                self.has_index_pages.store(true, Ordering::Relaxed);
                names
            }
            // The server shows pages, so a level without a page does not exist.
            page if self.has_index_pages.load(Ordering::Relaxed) => return page.map(|_| Vec::new()),
            Err(error) if !error.may_mean_missing() => return Err(error),
            page => {
                // A server that has a page of its own for any path has one for the directory, too.
                let is_required = page.as_ref().is_err_and(|error| self.is_not_found(error));
                return match (self.load_manifest(is_required).await?, page) {
                    (Some(manifest), _) => self.list_by_manifest(manifest, level, from).await,
                    (None, Err(WebError::Status(StatusCode::FORBIDDEN, _))) => Err(WebError::UnsupportedServer(
                        "does not list directories; enable directory listings, or put a list of the files into \
                         ltx/index.txt"
                            .to_owned(),
                    )),
                    (None, page) => page.map(|_| Vec::new()),
                };
            }
        };
        self.files.retain(level, &names);
        let names: Vec<FileName> = names.into_iter().filter(|name| name.min >= from).collect();
        self.check_ends(level, &names).await?;
        self.readable_files(level, names).await
    }

    /// Requests the first and the last of the files in `names` that were found before. If the replica was replaced, they have other
    /// versions, and all files are requested again. The first file of a listing from the state of a reader is that state's own file.
    pub(super) async fn check_ends(&self, level: Level, names: &[FileName]) -> Result<(), WebError> {
        let requests = self.files.ends(level, names).into_iter().map(|name| async move {
            match self.current_file(level, name).await {
                Err(WebError::Status(StatusCode::FORBIDDEN, _)) => {
                    self.files.remove(level, name);
                    Ok(())
                }
                result => result.map(drop),
            }
        });
        try_join_all(requests).await.map(|_| ())
    }

    /// Returns those of the files that can be read. A file that cannot, such as a link to itself, must not hide the others. Fails if no
    /// file can be read.
    async fn readable_files(&self, level: Level, names: Vec<FileName>) -> Result<Vec<Listed>, WebError> {
        let requests = names.into_iter().map(|name| async move {
            match self.file(level, name).await {
                Err(error @ WebError::Status(StatusCode::FORBIDDEN, _)) => Ok(Err(error)),
                result => result.map(Ok),
            }
        });
        let results: Vec<_> = stream::iter(requests).buffered(CONCURRENT_REQUESTS).try_collect().await?;
        let (mut files, mut denied) = (Vec::new(), None);
        for result in results {
            match result {
                Ok(file) => files.extend(file),
                Err(error) => denied = Some(error),
            }
        }
        match denied {
            Some(error) if files.is_empty() => Err(error),
            _ => Ok(files),
        }
    }

    /// Returns the names on the page for a level, ascending.
    async fn names_on_page(&self, level: Level) -> Result<Vec<FileName>, WebError> {
        let path = format!("{}/", Layout::Decimal.level(level));
        let request = |client: &Client| self.request(client, Method::GET, &path).header(CACHE_CONTROL, "no-cache");
        let parse = |response: WebResponse, _| {
            let page = String::from_utf8_lossy(&response.body);
            let names = names(&page);
            if names.is_empty() && is_sign_in(&page) {
                return Err(WebError::InvalidResponse("a sign-in page instead of a listing".to_owned()));
            }
            check_names(names.len()).map(|()| names).map_err(WebError::InvalidResponse)
        };
        self.send(ResponseLength::Listing, request, parse).await
    }

    /// Returns a file, from [`FileVersions`](super::file_versions::FileVersions) if it is there. Returns None if it does not exist or is a
    /// directory.
    pub(super) async fn file(&self, level: Level, name: FileName) -> Result<Option<Listed>, WebError> {
        match self.files.get(level, name) {
            Some((size, version)) => Ok(Some(Listed { level, name, size, version: Some(version), modified_ms: 0 })),
            None => self.current_file(level, name).await,
        }
    }

    /// Requests a file. Returns None if it does not exist or is a directory.
    pub(super) async fn current_file(&self, level: Level, name: FileName) -> Result<Option<Listed>, WebError> {
        let (size, version) = match self.head(&Layout::Decimal.file(level, name)).await {
            Ok(found) => found,
            Err(error) if self.is_not_found(&error) || matches!(error, WebError::Directory) => {
                self.files.remove(level, name);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        self.files.add(level, name, size, &version);
        Ok(Some(Listed { level, name, size, version: Some(version), modified_ms: 0 }))
    }
}

/// Runs requests for files, several at a time. Returns the files that exist, in the order of the requests.
pub(super) async fn existing(
    requests: impl Iterator<Item = impl Future<Output = Result<Option<Listed>, WebError>>>,
) -> Result<Vec<Listed>, WebError> {
    let files = stream::iter(requests).buffered(CONCURRENT_REQUESTS);
    files.try_filter_map(|file| async move { Ok(file) }).try_collect().await
}

/// Returns the names of files in a text, ascending and without duplicates.
fn names(page: &str) -> Vec<FileName> {
    const LENGTH: usize = "0000000000000001-0000000000000001.ltx".len();
    let ends = page.match_indices(".ltx").map(|(at, end)| at + end.len());
    // If the name continues after `.ltx`, it is another name; a slash follows the name of a directory.
    let ends = ends.filter(|end| !page[*end..].starts_with(|next: char| next.is_alphanumeric() || "./".contains(next)));
    let mut names: Vec<FileName> =
        ends.filter_map(|end| page.get(end.checked_sub(LENGTH)?..end).and_then(FileName::parse)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Returns whether a page asks for a password. A proxy or a network that wants a login may send one for any address.
pub(super) fn is_sign_in(page: &str) -> bool {
    let page = page.to_ascii_lowercase();
    ["type=\"password\"", "type='password'", "type=password"].iter().any(|input| page.contains(input))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_a_page_of_any_format() {
        let file = |txid| FileName::of(Txid(txid));
        let (one, two) = (file(1).to_string(), file(2).to_string());
        let html =
            format!("<a href=\"{two}\">{two}</a> <a href=\"/x/{one}\">{}…</a> <a href=\"{}/\">", &one[..9], file(3));
        assert_eq!(names(&html), [file(1), file(2)]);
        assert_eq!(names(&format!("[{{\"name\":\"{one}\"}},\"{two}.tmp\"]")), [file(1)]);
        assert_eq!(names("é.ltx <html>Sign in</html>"), []);
    }
}
