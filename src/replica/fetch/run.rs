//! Which bytes of which files to ask for: frames of pages, joined into runs.

use crate::replica::cache::PageKey;
use crate::replica::files::ltx_file::LtxFile;
use crate::replica::view::{Extent, View};
use std::sync::Arc;

/// Where a page lies in its file.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameRange {
    pub pgno: u32,
    pub offset: u64,
    pub size: u32,
    /// Whether a reader waits for it.
    pub asked: bool,
}

impl FrameRange {
    pub(super) fn of(pgno: u32, extent: &Extent<'_>) -> FrameRange {
        FrameRange { pgno, offset: extent.offset, size: extent.size, asked: false }
    }

    pub(super) fn end(&self) -> u64 {
        self.offset + u64::from(self.size)
    }
}

/// Frames of one file that are fetched with one request, ascending. There may be other bytes between them.
pub(super) struct FetchRun {
    pub file: Arc<LtxFile>,
    pub page_size: u32,
    pub frames: Vec<FrameRange>,
    /// Whether what is asked for was asked for before, and came as no page.
    pub is_again: bool,
}

impl FetchRun {
    pub(super) fn new(view: &View, file: &Arc<LtxFile>, frames: Vec<FrameRange>) -> FetchRun {
        FetchRun { file: file.clone(), page_size: view.page_size(), frames, is_again: false }
    }

    pub(super) fn start(&self) -> u64 {
        self.frames.first().map_or(0, |frame| frame.offset)
    }

    pub(super) fn end(&self) -> u64 {
        self.frames.last().map_or(0, FrameRange::end)
    }

    pub(super) fn len(&self) -> u64 {
        self.end() - self.start()
    }

    pub(super) fn key(&self, frame: &FrameRange) -> PageKey {
        PageKey { file: self.file.number, pgno: frame.pgno }
    }
}

/// The bytes around a page that are fetched with it: the frames beside it for which `wanted` holds, without a hole, from
/// at most an eighth of `reach` before it to the rest of it from its beginning on, up to `most` of them.
pub(super) fn around(
    view: &View,
    pgno: u32,
    extent: &Extent<'_>,
    (reach, most): (u64, usize),
    wanted: impl Fn(PageKey) -> bool,
) -> FetchRun {
    let (before, onwards) = (reach / 8, reach - reach / 8);
    let asked = FrameRange { asked: true, ..FrameRange::of(pgno, extent) };
    let neighbour = |pgno: u32| {
        let beside = view.locate(pgno).filter(|beside| beside.file.number == extent.file.number)?;
        wanted(PageKey { file: beside.file.number, pgno }).then(|| FrameRange::of(pgno, &beside))
    };
    let mut lower = Vec::new();
    let mut first = asked;
    while let Some(frame) = first.pgno.checked_sub(1).and_then(&neighbour) {
        if lower.len() >= most / 8 || frame.end() != first.offset || asked.offset - frame.offset > before {
            break;
        }
        lower.push(frame);
        first = frame;
    }
    let mut frames: Vec<FrameRange> = lower.into_iter().rev().chain([asked]).collect();
    let mut last = asked;
    while let Some(frame) = last.pgno.checked_add(1).and_then(&neighbour) {
        if frames.len() > most || frame.offset != last.end() || frame.end() - asked.offset > onwards {
            break;
        }
        frames.push(frame);
        last = frame;
    }
    FetchRun::new(view, extent.file, frames)
}

/// The requests that bring pages: joined over up to `gap` bytes, up to `piece` bytes each, in the order in which the first
/// page of each is named. Pages whose file is in memory are left out.
pub(super) fn gather(view: &View, pages: &[u32], gap: u64, piece: u64) -> Vec<FetchRun> {
    let mut places: Vec<(usize, u32, Extent<'_>)> = Vec::with_capacity(pages.len());
    for (turn, pgno) in pages.iter().enumerate() {
        let extent = view.locate(*pgno).filter(|extent| extent.file.body.is_none());
        places.extend(extent.map(|extent| (turn, *pgno, extent)));
    }
    places.sort_unstable_by_key(|(_, _, extent)| (extent.file.number, extent.offset));
    places.dedup_by_key(|(_, pgno, _)| *pgno);
    let mut runs: Vec<(usize, FetchRun)> = Vec::new();
    for (turn, pgno, extent) in places {
        let frame = FrameRange::of(pgno, &extent);
        match runs.last_mut().filter(|(_, run)| run.takes(extent.file, &frame, gap, piece)) {
            Some((first, run)) => {
                *first = turn.min(*first);
                run.frames.push(frame);
            }
            None => {
                runs.push((turn, FetchRun::new(view, extent.file, vec![frame])));
            }
        }
    }
    runs.sort_by_key(|(turn, _)| *turn);
    runs.into_iter().map(|(_, run)| run).collect()
}

/// The bytes of requests.
pub(super) fn total(runs: &[FetchRun]) -> u64 {
    runs.iter().map(FetchRun::len).sum()
}

/// Pages with numbers so far apart are no neighbours, however near their frames are.
const NEAR: u32 = 256;

/// Takes the pages between the frames of a run into it, since their bytes come anyway: those for which `wanted` holds.
pub(super) fn fill(run: &mut FetchRun, view: &View, wanted: &mut impl FnMut(PageKey) -> bool) {
    let mut filled = Vec::with_capacity(run.frames.len());
    for frame in std::mem::take(&mut run.frames) {
        let last: Option<FrameRange> = filled.last().copied();
        if let Some(last) = last.filter(|last| last.end() < frame.offset && frame.pgno - last.pgno <= NEAR) {
            let between = (last.pgno + 1..frame.pgno).filter_map(|pgno| {
                let extent = view.locate(pgno).filter(|extent| extent.file.number == run.file.number)?;
                wanted(PageKey { file: run.file.number, pgno }).then(|| FrameRange::of(pgno, &extent))
            });
            filled.extend(between);
        }
        filled.push(frame);
    }
    run.frames = filled;
}

impl FetchRun {
    fn takes(&self, file: &LtxFile, frame: &FrameRange, gap: u64, piece: u64) -> bool {
        let hole = frame.offset.saturating_sub(self.end());
        self.file.number == file.number && hole <= gap && frame.end() - self.start() <= piece
    }
}
