//! The schema cookies of states, by which a search notices that the schema was another one: the primary counts its changes.

use crate::error::Error;
use crate::ltx::{Header, decode_page};
use crate::replica::dbformat::btree::u32_at;
use crate::replica::dbformat::header;
use crate::replica::diff::Diff;
use crate::replica::diff::trees::TreeReader;
use crate::replica::files::load_error::LoadError;
use crate::replica::time_travel::ReachableState;
use crate::replica::view::View;
use crate::store::Store;
use std::sync::Arc;

/// In a file, the number, the flags and the size of a page are before its content.
const FRAME_HEAD: usize = 10;

impl Diff {
    /// Returns the schema cookie of a state, as the replica has it.
    pub(super) async fn schema_cookie(&self, view: &Arc<View>) -> Result<u32, Error> {
        Ok(cookie_in(&TreeReader::new(&self.pages, view).await?.page_1))
    }

    /// Returns the schema cookie of the oldest available state, which takes one small request. None if this does not show
    /// it. `view` is a later state.
    pub(super) async fn oldest_cookie(&self, state: &ReachableState, view: &View) -> Result<Option<u32>, Error> {
        // No state is before it, so a file that ends there contains every page: the longest one.
        let Some(file) = state.files.iter().min_by_key(|file| file.name.min) else { return Ok(None) };
        let end = Header::SIZE as u64 + u64::from(view.tip().header.page_size.max_frame());
        match self.files.store.read(file.level, file.name, 0..end, None).await.map_err(LoadError::from) {
            Ok(chunk) => Ok(first_page(&chunk.bytes).map(|page_1| cookie_in(&page_1))),
            Err(LoadError::Moved) => Ok(None),
            Err(LoadError::Other(error)) => Err(error),
        }
    }

    /// Returns the place of the first of some states that has a schema cookie, provided that the last one has it.
    pub(super) async fn first_with_cookie(&self, states: &[ReachableState], cookie: u32) -> Result<usize, Error> {
        // Usually all have it.
        let (mut low, mut high, mut probe) = (0, states.len().saturating_sub(1), 0);
        while low < high {
            let view = self.time_travel.view_at_state(states[probe].txid).await?;
            if self.schema_cookie(&view).await? == cookie {
                high = probe;
            } else {
                low = probe + 1;
            }
            probe = low + (high - low) / 2;
        }
        Ok(low)
    }
}

fn cookie_in(page_1: &[u8]) -> u32 {
    u32_at(page_1, header::SCHEMA_COOKIE).unwrap_or(0)
}

/// Returns page 1 from the start of a file, if the file begins with it.
fn first_page(file: &[u8]) -> Option<Vec<u8>> {
    let mut page = vec![0; Header::parse(file).ok()?.page_size.get() as usize];
    let frame = file.get(Header::SIZE..)?;
    let size = FRAME_HEAD.checked_add(u32_at(frame, FRAME_HEAD - 4)? as usize)?;
    decode_page(frame.get(..size)?, 1, &mut page).ok()?;
    Some(page)
}
