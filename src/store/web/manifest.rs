//! Listings by a manifest, for servers that do not list directories.
//!
//! The manifest is `ltx/index.txt` in the replica. Each line contains the path of a file, relative to the replica or to `ltx`, and
//! optionally the file's length in bytes and its ETag, separated by white space. The manifest can be older than the replica: the names
//! of level 0 are consecutive, so the names after its last one are requested until one does not exist.

use super::WebStore;
use super::error::WebError;
use super::index::{CONCURRENT_REQUESTS, existing, is_sign_in};
use super::request::NO_DATE;
use super::response::{ResponseLength, WebResponse};
use crate::ltx::{FileName, Level, Txid};
use crate::store::bounds::check_names;
use crate::store::paths::Layout;
use crate::store::{Listed, Version, etag};
use reqwest::header::CACHE_CONTROL;
use reqwest::{Client, Method};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// The manifest's path in a replica.
const PATH: &str = "ltx/index.txt";

/// The files of a manifest, each with its length and version if the manifest contains both.
#[derive(PartialEq, Debug)]
pub(super) struct Manifest(BTreeMap<(Level, FileName), Option<(u64, Version)>>);

impl WebStore {
    /// Reads the manifest, or returns None if there is none. Once one was found, all listings are made of it.
    ///
    /// Some servers return a page of their own for any path. It is an error if `is_required`, and otherwise means that there is no manifest.
    pub(super) async fn load_manifest(&self, is_required: bool) -> Result<Option<Manifest>, WebError> {
        let request = |client: &Client| self.request(client, Method::GET, PATH).header(CACHE_CONTROL, "no-cache");
        let parse = |response: WebResponse, _| {
            let text = String::from_utf8_lossy(&response.body);
            check_names(text.lines().count()).map_err(WebError::InvalidResponse)?;
            match Manifest::parse(&text) {
                None if is_required || is_sign_in(&text) => {
                    Err(WebError::InvalidResponse(format!("{PATH} is no list of files")))
                }
                manifest => Ok(manifest),
            }
        };
        let manifest = match self.send(ResponseLength::Listing, request, parse).await {
            Err(error) if error.may_mean_missing() => return Ok(None),
            result => result?,
        };
        if manifest.is_some() && !self.has_manifest.load(Ordering::Relaxed) {
            self.check_missing_file().await?;
            self.has_manifest.store(true, Ordering::Relaxed);
        }
        Ok(manifest)
    }

    /// Fails if the server does not return an error for a file that does not exist, because then newer files cannot be found.
    async fn check_missing_file(&self) -> Result<(), WebError> {
        let unused = Layout::Decimal.file(Level::ZERO, FileName::of(Txid(u64::MAX)));
        match self.head(&unused).await {
            Err(error) if error.may_mean_missing() => Ok(()),
            Ok(_) | Err(WebError::Directory | WebError::Page) => Err(WebError::UnsupportedServer(
                "returns a page for a file that does not exist; it must return status 404".to_owned(),
            )),
            Err(error) => Err(error),
        }
    }

    /// Lists a level by a manifest, and level 0 by the names after its last one as well.
    pub(super) async fn list_by_manifest(
        &self,
        manifest: Manifest,
        level: Level,
        from: Txid,
    ) -> Result<Vec<Listed>, WebError> {
        let last = manifest.0.keys().map(|(_, name)| name.max).max().unwrap_or_default();
        let entries = manifest.0.into_iter().filter(|((other, name), _)| *other == level && name.min >= from);
        let entries: Vec<_> = entries.map(|((_, name), properties)| (name, properties)).collect();
        let bare: Vec<FileName> =
            entries.iter().filter(|(_, properties)| properties.is_none()).map(|(name, _)| *name).collect();
        self.check_ends(level, &bare).await?;
        let files = entries.into_iter().map(|(name, properties)| async move {
            match properties {
                Some((size, version)) => Ok(Some(Listed { level, name, size, version: Some(version), modified_ms: 0 })),
                None => self.file(level, name).await,
            }
        });
        let mut files: Vec<Listed> = existing(files).await?;
        if level == Level::ZERO {
            files.extend(self.list_by_name(last.next().max(from)).await?);
        }
        Ok(files)
    }

    /// Returns the known files of level 0 from `from` on that still exist, and the files whose names follow.
    async fn list_by_name(&self, from: Txid) -> Result<Vec<Listed>, WebError> {
        /// The next listing finds the files after these.
        const MOST_FILES: usize = 1 << 16;
        let known = self.files.names(Level::ZERO, from);
        let mut next = known.last().map_or(from, |last| last.max.next());
        let mut files = existing(known.into_iter().map(|name| self.current_file(Level::ZERO, name))).await?;
        // Usually there is no next file, so the first request is for a single one.
        let mut count = 1;
        loop {
            let txids = next.0..next.0.saturating_add(count);
            let names = txids.map(|txid| FileName::of(Txid(txid)));
            let found = existing(names.map(|name| self.current_file(Level::ZERO, name))).await?;
            let are_all_found = found.len() as u64 == count;
            files.extend(found);
            if !are_all_found || files.len() >= MOST_FILES {
                return Ok(files);
            }
            next = Txid(next.0.saturating_add(count));
            count = CONCURRENT_REQUESTS as u64;
        }
    }
}

impl Manifest {
    /// Returns None if a line is not a [`ManifestEntry`], an empty line, or a comment.
    fn parse(text: &str) -> Option<Manifest> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(parse_entry).collect::<Option<_>>().map(Manifest)
    }
}

type ManifestEntry = ((Level, FileName), Option<(u64, Version)>);

fn parse_entry(line: &str) -> Option<ManifestEntry> {
    let mut words = line.split_ascii_whitespace();
    let path = words.next()?;
    let path = path.strip_prefix("./").unwrap_or(path);
    let (level, name) = path.strip_prefix("ltx/").unwrap_or(path).split_once('/')?;
    let file = (level.parse().ok().and_then(Level::new)?, FileName::parse(name)?);
    // Files are requested by the path that Litestream writes, so another spelling of it would not be found.
    if !format!("ltx/{path}").ends_with(&Layout::Decimal.file(file.0, file.1)) {
        return None;
    }
    let size = words.next().map(str::parse).transpose().ok()?;
    let properties = size.zip(words.next()).map(|(size, etag)| (size, etag::version(Some(etag), size, NO_DATE)));
    words.next().is_none().then_some((file, properties))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_parsed_and_other_texts_are_rejected() {
        let file = |level, txid| (Level::new(level).expect("a level"), FileName::of(Txid(txid)));
        let (one, two) = (file(0, 1).1, file(0, 2).1);
        let parsed =
            Manifest::parse(&format!("# made by find\n0/{one} 12\r\n\n./9/{one}\nltx/1/{two}\t34\t\"a-tag\"\n"));
        let properties = Some((34, etag::version(Some("a-tag"), 34, NO_DATE)));
        let expected = [(file(0, 1), None), (file(1, 2), properties), (file(9, 1), None)];
        assert_eq!(parsed, Some(Manifest(expected.into())));
        assert_eq!(Manifest::parse("\n"), Some(Manifest(BTreeMap::new())));
        for invalid in [
            "<html>Sign in</html>",
            &one.to_string(),
            &format!("00/{one}"),
            &format!("0/{one} x"),
            "0/a.ltx",
            &format!("0/{one} 1 b c"),
        ] {
            assert_eq!(Manifest::parse(invalid), None, "{invalid}");
        }
    }
}
