//! Listings of a bucket, which come in pages.

use super::client::{Bucket, Service};
use super::error::CloudError;
use super::refusal::CloudOperation;
use super::store::{CloudStore, version};
use crate::ltx::{FileName, Level, Txid};
use crate::store::bounds::{MOST_EMPTY_PAGES, MOST_NAMES, too_many_names};
use crate::store::timeouts::Allowance;
use crate::store::{Listed, StoreError, paths};
use object_store::ObjectMeta;
use object_store::list::PaginatedListOptions;
use std::ops::Range;
use std::sync::Arc;

/// The approximate length of an entry in bytes.
const ENTRY: u64 = 512;

/// The approximate length of a page of 1000 entries in bytes.
const PAGE: u64 = 1024 * ENTRY;

/// The maximum number of keys in a page.
const PAGE_KEYS: u64 = 1000;

impl<S: Service> CloudStore<S> {
    /// Lists the files of a level whose min TXID is in the range, in ascending order.
    pub(super) async fn list_level(&self, level: Level, range: Range<Txid>) -> Result<Vec<Listed>, StoreError> {
        let prefix = format!("{}/{}/", self.service.path(), self.service.layout().level(level));
        let start = paths::start(range.start);
        // One more than the range can contain, so that the first key after the range ends the listing.
        let most = range.end.0.saturating_sub(range.start.0).saturating_add(1).min(PAGE_KEYS) as usize;
        let allowance = Allowance::of(PAGE);
        let pages = self.list_pages(level, &prefix, start.as_deref(), most, &range, &allowance);
        let files = match allowance.limit(pages).await {
            Some(files) => files,
            None => Err(CloudError::timed_out(self.server(), allowance.deadline().as_secs())),
        };
        let mut files = files.map_err(|error| error.to_store_error(&self.shown, CloudOperation::Listing))?;
        files.retain(|file| file.name.min < range.end);
        files.sort_unstable_by_key(|file| file.name);
        Ok(files)
    }

    /// Lists one page. Returns its objects, and the token for the next page, or None if there is none.
    pub(super) async fn list_page(
        &self,
        prefix: &str,
        start: Option<&str>,
        token: Option<String>,
        most: usize,
    ) -> Result<(Vec<ObjectMeta>, Option<String>), CloudError> {
        let options = PaginatedListOptions {
            offset: start.map(|start| format!("{prefix}{start}")),
            max_keys: Some(most),
            page_token: token,
            ..PaginatedListOptions::default()
        };
        let list = |bucket: Arc<dyn Bucket>, attempt| {
            let mut options = options.clone();
            options.extensions.insert(attempt);
            async move { bucket.client().list_paginated(Some(prefix), options).await }
        };
        let page = self.request(PAGE, list).await?;
        Ok((page.result.objects, page.page_token))
    }

    /// Lists pages up to the end of the range. The last page may contain files after it.
    async fn list_pages(
        &self,
        level: Level,
        prefix: &str,
        start: Option<&str>,
        most: usize,
        range: &Range<Txid>,
        allowance: &Allowance,
    ) -> Result<Vec<Listed>, CloudError> {
        let (mut files, mut token) = (Vec::new(), None);
        let (mut names, mut empty) = (0, 0);
        loop {
            let (objects, next) = self.list_page(prefix, start, token.clone(), most).await?;
            allowance.extend(objects.len() as u64 * ENTRY);
            names += objects.len();
            empty = if objects.is_empty() { empty + 1 } else { 0 };
            files.extend(objects.iter().filter_map(|object| listed(level, range.start, prefix, object)));
            // Keys are listed in ascending order.
            let is_complete = files.last().is_some_and(|last| last.name.min >= range.end);
            match next {
                None => return Ok(files),
                Some(_) if is_complete => return Ok(files),
                Some(_) if names > MOST_NAMES => {
                    return Err(CloudError::invalid_response(self.server(), too_many_names()));
                }
                Some(next) if Some(&next) == token.as_ref() || empty > MOST_EMPTY_PAGES => {
                    return Err(CloudError::invalid_response(self.server(), "the listing does not end".to_owned()));
                }
                Some(next) => token = Some(next),
            }
        }
    }
}

fn listed(level: Level, from: Txid, prefix: &str, object: &ObjectMeta) -> Option<Listed> {
    let name = object.location.as_ref().strip_prefix(prefix).and_then(FileName::parse)?;
    (name.min >= from).then(|| Listed {
        level,
        name,
        size: object.size,
        version: object.e_tag.is_some().then(|| version(object)),
        modified_ms: object.last_modified.timestamp_millis(),
    })
}
