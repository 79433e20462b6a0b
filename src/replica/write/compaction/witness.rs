//! Whether the replica is still the one that was listed.
//!
//! A process can be suspended at each of its requests, for days. Meanwhile the replica can be deleted or set back by another program, and go
//! on under the same names. Then a file that is merged of the old files must not stay, because readers prefer it to new files of level 0, and
//! what was to be deleted has become a new file.
//!
//! The newest file of the listing is the witness: its transaction follows from all before it, each name is created only once, and no
//! compactor deletes the newest file of a level.

use super::CompactionReport;
use crate::store::{Listed, Store, StoreError};
use crate::time::Stamp;
use std::cmp::Reverse;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// For how long a listing counts.
const FRESH: Duration = Duration::from_secs(60);

/// The pauses between looks for the witness, before it is taken for gone: one wrong listing proves nothing.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(1)];

/// What the witness shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sight {
    /// The replica is the one that was listed.
    Same,
    /// It has gone on, and may be another one.
    Unknown,
    /// It was deleted, set back or replaced.
    Another,
}

/// The file that shows whether the replica is still the one that was listed.
pub(super) struct Witness {
    file: Option<Listed>,
    /// When it was seen last.
    seen: Stamp,
}

impl Witness {
    /// Returns the witness of a listing that began at a time.
    pub(super) fn new(files: &[Listed], began: Stamp) -> Witness {
        let newest = files.iter().max_by_key(|file| (file.name.max, Reverse(file.level), file.name.min));
        Witness { file: newest.cloned(), seen: began }
    }

    /// Looks for the witness if it was not seen for some time.
    pub(super) async fn look_if_old(&mut self, store: &dyn Store) -> Result<Sight, StoreError> {
        if self.seen.age() < FRESH { Ok(Sight::Same) } else { self.look(store).await }
    }

    /// Looks for the witness. Sends one request if it is there.
    pub(super) async fn look(&mut self, store: &dyn Store) -> Result<Sight, StoreError> {
        let Some(file) = &self.file else { return Ok(Sight::Same) };
        let mut pauses = PAUSES.into_iter();
        loop {
            let sight = look_once(store, file).await?;
            if sight == Sight::Same {
                self.seen = Stamp::now();
                return Ok(sight);
            }
            match pauses.next() {
                Some(pause) => sleep(pause).await,
                None => {
                    tracing::warn!("{store} is not the replica any more that was to be compacted");
                    return Ok(sight);
                }
            }
        }
    }
}

async fn look_once(store: &dyn Store, file: &Listed) -> Result<Sight, StoreError> {
    let (began, awake) = (Stamp::now(), Instant::now());
    let listed = store.list(file.level, file.name.min).await?;
    // The response may be from before a suspension.
    if began.age().saturating_sub(awake.elapsed()) >= FRESH {
        return Ok(Sight::Unknown);
    }
    Ok(match listed.iter().find(|now| now.name == file.name) {
        Some(now) if is_another(file, now) => Sight::Another,
        Some(_) => Sight::Same,
        // It is not the newest one any more, so it may have been compacted and deleted.
        None if listed.iter().any(|now| now.name.max >= file.name.max) => Sight::Unknown,
        None => Sight::Another,
    })
}

/// Whether two listings show different files under one name. The versions in the listings of some stores change although the files do not;
/// then lengths and times decide.
pub(super) fn is_another(before: &Listed, now: &Listed) -> bool {
    let has_same_time = before.modified_ms == now.modified_ms && now.modified_ms > 0;
    before.size != now.size || before.version != now.version && !has_same_time
}

/// Whether a sight shows that the replica is still the one that was listed. If not, the next run lists it anew.
pub(super) fn is_same(sight: Result<Sight, StoreError>, report: &mut CompactionReport) -> bool {
    sight.map_err(|error| report.failures.push(error.into())).is_ok_and(|sight| sight == Sight::Same)
}
