//! Hosts that list nothing: a file names the others, and what came since is asked for by its name.
//!
//! The manifest is `ltx/index.txt` in the replica. Each line names a file by its path in the replica or below `ltx`, and may
//! tell its length in bytes and its ETag behind that, apart from each other by white space. It may be older than the replica: names of
//! level 0 follow each other, so those behind its last are tried until one is not there.

use super::index::{AT_ONCE, some};
use super::response::Length;
use super::{NEVER, Version, WebError, WebStore, etag};
use crate::ltx::{FileName, Level, Txid};
use crate::store::Listed;
use crate::store::paths::Layout;
use reqwest::header::CACHE_CONTROL;
use reqwest::{Client, Method};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// Where it lies in a replica.
const PATH: &str = "ltx/index.txt";

/// More are left for the next listing.
const MOST: usize = 1 << 16;

/// What is told of each file: its length and its version, where both are told.
#[derive(PartialEq, Debug)]
pub(super) struct Manifest(BTreeMap<(Level, FileName), Option<(u64, Version)>>);

impl WebStore {
    /// The manifest, if there is one. From then on it is what listings are made of.
    pub(super) async fn manifest(&self) -> Result<Option<Manifest>, WebError> {
        let request = |client: &Client| self.request(client, Method::GET, PATH).header(CACHE_CONTROL, "no-cache");
        let answer = match self.ask(Length::Listing, request, |answer, _| Ok(answer)).await {
            Err(WebError::Refused(status, _)) if status.is_client_error() => return Ok(None),
            answer => answer?,
        };
        // Some hosts show a page for whatever they are asked.
        let manifest = Manifest::parse(&String::from_utf8_lossy(&answer.body));
        if manifest.is_some() && !self.has_manifest.load(Ordering::Relaxed) {
            self.tells_what_is_missing().await?;
            self.has_manifest.store(true, Ordering::Relaxed);
        }
        Ok(manifest)
    }

    /// A host that shows a page for whatever it is asked cannot be asked for the next file.
    async fn tells_what_is_missing(&self) -> Result<(), WebError> {
        let nobodys = Layout::Decimal.file(Level::ZERO, FileName { min: Txid(u64::MAX), max: Txid(u64::MAX) });
        match self.head(&nobodys).await {
            Err(WebError::Refused(..)) => Ok(()),
            Err(failure @ WebError::Silent(_)) => Err(failure),
            _ => Err(WebError::Unfit("says of a file that is not there that it is; it has to answer 404".to_owned())),
        }
    }

    pub(super) async fn listed_by(
        &self,
        manifest: Manifest,
        level: Level,
        from: Txid,
    ) -> Result<Vec<Listed>, WebError> {
        let reached = manifest.0.keys().map(|(_, name)| name.max).max().unwrap_or_default();
        let told = manifest.0.into_iter().filter(|((at, name), _)| *at == level && name.min >= from);
        let files = told.map(|((_, name), told)| async move {
            match told {
                Some((size, version)) => Ok(Some(Listed { level, name, size, version: Some(version), modified_ms: 0 })),
                None => self.listed(level, name).await,
            }
        });
        let mut files: Vec<Listed> = some(files).await?;
        if level == Level::ZERO {
            files.extend(self.listed_by_name(reached.next().max(from)).await?);
        }
        Ok(files)
    }

    /// The files of level 0 from `from` on that were seen before, and those that follow the last of them.
    async fn listed_by_name(&self, from: Txid) -> Result<Vec<Listed>, WebError> {
        let seen = self.sizes.names(Level::ZERO, from);
        let mut next = seen.last().map_or(from, |last| last.max.next());
        let mut files = some(seen.into_iter().map(|name| self.listed_anew(Level::ZERO, name))).await?;
        let mut count = 1;
        loop {
            let names =
                (next.0..next.0.saturating_add(count)).map(|txid| FileName { min: Txid(txid), max: Txid(txid) });
            let found = some(names.map(|name| self.listed_anew(Level::ZERO, name))).await?;
            let are_all = found.len() as u64 == count;
            files.extend(found);
            if !are_all || files.len() >= MOST {
                return Ok(files);
            }
            next = Txid(next.0.saturating_add(count));
            count = AT_ONCE as u64;
        }
    }
}

impl Manifest {
    /// None if the text is none.
    fn parse(text: &str) -> Option<Manifest> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(entry).collect::<Option<_>>().map(Manifest)
    }
}

type ManifestEntry = ((Level, FileName), Option<(u64, Version)>);

fn entry(line: &str) -> Option<ManifestEntry> {
    let mut words = line.split_ascii_whitespace();
    let path = words.next()?;
    let path = path.strip_prefix("./").unwrap_or(path);
    let (level, name) = path.strip_prefix("ltx/").unwrap_or(path).split_once('/')?;
    let file = (level.parse().ok().and_then(Level::new)?, FileName::parse(name)?);
    // Only what is written as Litestream writes it can be asked for.
    if !format!("ltx/{path}").ends_with(&Layout::Decimal.file(file.0, file.1)) {
        return None;
    }
    let size = words.next().map(str::parse).transpose().ok()?;
    let told = size.zip(words.next()).map(|(size, tag)| (size, etag::version(Some(tag), size, NEVER)));
    words.next().is_none().then_some((file, told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_files_and_nothing_else_does() {
        let file = |level, txid| (Level::new(level).expect("a level"), FileName { min: Txid(txid), max: Txid(txid) });
        let (one, two) = (file(0, 1).1, file(0, 2).1);
        let parsed =
            Manifest::parse(&format!("# made by find\n0/{one} 12\r\n\n./9/{one}\nltx/1/{two}\t34\t\"a-tag\"\n"));
        let told = Some((34, etag::version(Some("a-tag"), 34, NEVER)));
        let expected = [(file(0, 1), None), (file(1, 2), told), (file(9, 1), None)];
        assert_eq!(parsed, Some(Manifest(expected.into())));
        assert_eq!(Manifest::parse("\n"), Some(Manifest(BTreeMap::new())));
        for nonsense in [
            "<html>Sign in</html>",
            &one.to_string(),
            &format!("00/{one}"),
            &format!("0/{one} x"),
            "0/a.ltx",
            &format!("0/{one} 1 b c"),
        ] {
            assert_eq!(Manifest::parse(nonsense), None, "{nonsense}");
        }
    }
}
