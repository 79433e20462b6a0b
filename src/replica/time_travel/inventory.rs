//! All files, a few at a time: level by level from 0, and as they follow each other in a level.

use crate::error::Error;
use crate::ltx::{Level, Txid};
use crate::replica::time_travel::TimeTravel;
use crate::replica::time_travel::stamps::or_gone;
use crate::store::{Listed, Store};
use futures_util::future::FutureExt;

/// A file of a replica.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileListingRow {
    /// Where it lies, what it holds, and how long it is.
    pub file: Listed,
    /// When its last transaction was written, in milliseconds since 1970; of a snapshot, when that was made. None if that
    /// was not asked for.
    pub time_ms: Option<i64>,
}

/// How far the files of a replica have been told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FileListing {
    /// Whether their headers are to be read.
    times: bool,
    next_level: Option<Level>,
    /// What has been listed and not told, the other way round.
    pending: Vec<Listed>,
}

const PORTION: usize = 256;

impl FileListing {
    /// All files are still to be told. Times take a request for each file.
    pub fn new(times: bool) -> FileListing {
        FileListing { times, next_level: Some(Level::ZERO), pending: Vec::new() }
    }
}

impl TimeTravel {
    /// The next files. None are left where none come.
    pub(in crate::replica) async fn further(&self, inventory: &mut FileListing) -> Result<Vec<FileListingRow>, Error> {
        loop {
            while inventory.pending.is_empty() {
                let Some(level) = inventory.next_level else { return Ok(Vec::new()) };
                inventory.pending = self.files.store.list(level, Txid(1)).await?;
                inventory.pending.reverse();
                inventory.next_level = Level::all().find(|next| *next > level);
            }
            let rest = inventory.pending.len().saturating_sub(PORTION);
            let told: Vec<Listed> = inventory.pending.split_off(rest).into_iter().rev().collect();
            if !inventory.times {
                return Ok(told.into_iter().map(|file| FileListingRow { file, time_ms: None }).collect());
            }
            let stamps = or_gone(told.iter().map(|file| self.stamp(file).boxed()).collect()).await?;
            let rows = told.into_iter().zip(stamps);
            let rows: Vec<FileListingRow> =
                rows.filter_map(|(file, stamp)| Some(FileListingRow { file, time_ms: Some(stamp?.ms) })).collect();
            if !rows.is_empty() {
                return Ok(rows);
            }
        }
    }
}
