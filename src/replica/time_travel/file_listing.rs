//! Lists all files in batches: level by level from level 0, and within a level in the order of their names.

use crate::error::Error;
use crate::ltx::{Level, Txid};
use crate::replica::files::load_error::LoadError;
use crate::replica::time_travel::TimeTravel;
use crate::replica::time_travel::headers::existing;
use crate::store::{Listed, Store};
use futures_util::future::FutureExt;

/// A file of a replica.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileListingRow {
    /// Its level, its transactions and its length.
    pub file: Listed,
    /// When its last transaction was written, in milliseconds since 1970. For a snapshot, when the snapshot was made.
    /// None if times were not requested, or if the header of the file is damaged.
    pub time_ms: Option<i64>,
}

/// How far the files of a replica have been listed.
#[derive(Debug, Default)]
pub struct FileListing {
    /// Whether headers are read for the times of files.
    times: bool,
    next_level: Option<Level>,
    /// The files that have been listed but not returned, last first.
    pending: Vec<Listed>,
}

/// How many files a batch has at most.
const BATCH: usize = 256;

impl FileListing {
    /// A listing that begins with the first file. Times take one request for each file.
    pub fn new(times: bool) -> FileListing {
        FileListing { times, next_level: Some(Level::ZERO), pending: Vec::new() }
    }
}

impl TimeTravel {
    /// Returns the next files. Returns no rows at the end of the listing.
    pub(in crate::replica) async fn next_files(&self, listing: &mut FileListing) -> Result<Vec<FileListingRow>, Error> {
        loop {
            while listing.pending.is_empty() {
                let Some(level) = listing.next_level else { return Ok(Vec::new()) };
                listing.pending = self.files.store.list(level, Txid(1)).await?;
                listing.pending.reverse();
                listing.next_level = Level::all().find(|next| *next > level);
            }
            let rest = listing.pending.len().saturating_sub(BATCH);
            let batch: Vec<Listed> = listing.pending.split_off(rest).into_iter().rev().collect();
            if !listing.times {
                return Ok(batch.into_iter().map(|file| FileListingRow { file, time_ms: None }).collect());
            }
            let times = existing(batch.iter().map(|file| self.file_time(file).boxed()).collect()).await?;
            let rows = batch.into_iter().zip(times);
            let rows: Vec<FileListingRow> =
                rows.filter_map(|(file, time_ms)| Some(FileListingRow { file, time_ms: time_ms? })).collect();
            // All files of the batch may have been deleted since they were listed.
            if !rows.is_empty() {
                return Ok(rows);
            }
        }
    }

    /// Returns the time in the header of a file. None if that is damaged.
    async fn file_time(&self, file: &Listed) -> Result<Option<i64>, LoadError> {
        match self.header(file).await {
            Err(error) if error.is_damage() => Ok(None),
            header => Ok(Some(header?.time_ms)),
        }
    }
}
