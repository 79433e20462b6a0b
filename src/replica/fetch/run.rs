//! Which bytes of which files a request reads: frames of pages, joined into runs.

use crate::replica::cache::PageKey;
use crate::replica::files::ltx_file::LtxFile;
use crate::replica::view::{Extent, View};
use std::ops::Range;
use std::sync::Arc;

/// The position of a page's frame in its file.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameRange {
    pub pgno: u32,
    pub offset: u64,
    pub size: u32,
    /// True if a reader waits for the page.
    pub on_demand: bool,
}

impl FrameRange {
    pub(super) fn of(pgno: u32, extent: &Extent<'_>) -> FrameRange {
        FrameRange { pgno, offset: extent.offset, size: extent.size, on_demand: false }
    }

    pub(super) fn end(&self) -> u64 {
        self.offset + u64::from(self.size)
    }
}

/// Returns the bytes from the first of some frames to the last.
pub(super) fn span(frames: &[FrameRange]) -> Range<u64> {
    frames.first().map_or(0, |frame| frame.offset)..frames.last().map_or(0, FrameRange::end)
}

/// Frames of one file that one request reads, in ascending order. There may be other bytes between them.
pub(super) struct FetchRun {
    pub file: Arc<LtxFile>,
    pub page_size: u32,
    pub frames: Vec<FrameRange>,
    /// True if the page that a reader waits for was requested before and could not be decoded.
    pub is_retry: bool,
}

impl FetchRun {
    pub(super) fn new(view: &View, file: &Arc<LtxFile>, frames: Vec<FrameRange>) -> FetchRun {
        FetchRun { file: file.clone(), page_size: view.page_size(), frames, is_retry: false }
    }

    /// Returns the bytes of the file that the request reads.
    pub(super) fn range(&self) -> Range<u64> {
        span(&self.frames)
    }

    pub(super) fn len(&self) -> u64 {
        let range = self.range();
        range.end - range.start
    }

    /// Returns the bytes of a frame in the response to the request. If they are missing, the slice is empty.
    pub(super) fn bytes_of<'a>(&self, frame: &FrameRange, response: &'a [u8]) -> &'a [u8] {
        let (start, end) = (frame.offset - self.range().start, frame.end() - self.range().start);
        response.get(start as usize..end as usize).unwrap_or_default()
    }

    /// Returns the frames that the request is for: that of the page on demand, or else all.
    pub(super) fn wanted(&self) -> &[FrameRange] {
        let on_demand = self.frames.iter().position(|frame| frame.on_demand);
        on_demand.map_or(&self.frames, |at| &self.frames[at..=at])
    }

    pub(super) fn key(&self, frame: &FrameRange) -> PageKey {
        PageKey { file: self.file.number, pgno: frame.pgno }
    }

    /// Returns true if the run can be extended by a frame: over a gap of at most `max_gap` bytes, and to at most
    /// `max_request` bytes.
    fn can_take(&self, file: &LtxFile, frame: &FrameRange, max_gap: u64, max_request: u64) -> bool {
        let Range { start, end } = self.range();
        let gap = frame.offset.saturating_sub(end);
        self.file.number == file.number && gap <= max_gap && frame.end() - start <= max_request
    }
}

/// Returns the run that fetches a page with its neighbours. Neighbours are the contiguous frames of pages for which
/// `is_wanted` returns true: at most an eighth of `max_bytes` before the page, the rest from its beginning on, and at most
/// `max_pages` of them.
pub(super) fn around(
    view: &View,
    pgno: u32,
    extent: &Extent<'_>,
    (max_bytes, max_pages): (u64, usize),
    is_wanted: impl Fn(PageKey) -> bool,
) -> FetchRun {
    let (max_before, max_after) = (max_bytes / 8, max_bytes - max_bytes / 8);
    let on_demand = FrameRange { on_demand: true, ..FrameRange::of(pgno, extent) };
    let neighbour = |pgno: u32| {
        let neighbour = view.locate(pgno).filter(|neighbour| neighbour.file.number == extent.file.number)?;
        is_wanted(PageKey { file: neighbour.file.number, pgno }).then(|| FrameRange::of(pgno, &neighbour))
    };
    let mut lower = Vec::new();
    let mut first = on_demand;
    while let Some(frame) = first.pgno.checked_sub(1).and_then(&neighbour) {
        if lower.len() >= max_pages / 8 || frame.end() != first.offset || on_demand.offset - frame.offset > max_before {
            break;
        }
        lower.push(frame);
        first = frame;
    }
    let mut frames: Vec<FrameRange> = lower.into_iter().rev().chain([on_demand]).collect();
    let mut last = on_demand;
    while let Some(frame) = last.pgno.checked_add(1).and_then(&neighbour) {
        if frames.len() > max_pages || frame.offset != last.end() || frame.end() - on_demand.offset > max_after {
            break;
        }
        frames.push(frame);
        last = frame;
    }
    FetchRun::new(view, extent.file, frames)
}

/// Joins pages into runs, over gaps of up to `max_gap` bytes and to at most `max_request` bytes each. The runs are in the
/// order in which `pages` contains the first page of each. Pages whose file is in memory are left out, and those of which
/// the index has not been read.
pub(super) fn join(view: &View, pages: &[u32], max_gap: u64, max_request: u64) -> Vec<FetchRun> {
    let mut extents: Vec<(usize, u32, Extent<'_>)> = Vec::with_capacity(pages.len());
    for (position, pgno) in pages.iter().enumerate() {
        let extent = view.locate(*pgno).filter(|extent| extent.file.body.is_none());
        extents.extend(extent.map(|extent| (position, *pgno, extent)));
    }
    extents.sort_unstable_by_key(|(_, _, extent)| (extent.file.number, extent.offset));
    extents.dedup_by_key(|(_, pgno, _)| *pgno);
    let mut runs: Vec<(usize, FetchRun)> = Vec::new();
    for (position, pgno, extent) in extents {
        let frame = FrameRange::of(pgno, &extent);
        match runs.last_mut().filter(|(_, run)| run.can_take(extent.file, &frame, max_gap, max_request)) {
            Some((first, run)) => {
                *first = position.min(*first);
                run.frames.push(frame);
            }
            None => {
                runs.push((position, FetchRun::new(view, extent.file, vec![frame])));
            }
        }
    }
    runs.sort_by_key(|(position, _)| *position);
    runs.into_iter().map(|(_, run)| run).collect()
}

/// Returns how many bytes some requests read.
pub(super) fn total(runs: &[FetchRun]) -> u64 {
    runs.iter().map(FetchRun::len).sum()
}

/// Between two frames only pages whose numbers are in between are looked for, and only if the numbers differ by at most
/// this.
const MAX_FILL: u32 = 256;

/// Adds the pages between the frames of a run for which `is_wanted` returns true, because the request reads their bytes
/// anyway.
pub(super) fn fill(run: &mut FetchRun, view: &View, is_wanted: &mut impl FnMut(PageKey) -> bool) {
    let mut filled = Vec::with_capacity(run.frames.len());
    for frame in std::mem::take(&mut run.frames) {
        let last: Option<FrameRange> = filled.last().copied();
        if let Some(last) = last.filter(|last| last.end() < frame.offset && frame.pgno - last.pgno <= MAX_FILL) {
            let between = (last.pgno + 1..frame.pgno).filter_map(|pgno| {
                let extent = view.locate(pgno).filter(|extent| extent.file.number == run.file.number)?;
                is_wanted(PageKey { file: run.file.number, pgno }).then(|| FrameRange::of(pgno, &extent))
            });
            filled.extend(between);
        }
        filled.push(frame);
    }
    run.frames = filled;
}
