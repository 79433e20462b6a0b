//! Merges files into one.
//!
//! The new file has the newest version of each page, without those that a later commit cut off. Its bytes depend only on the inputs, so two
//! compactors that merge the same files create the same file.

use super::created::FileChecksum;
use super::input::{MergeInput, OpenedInput};
use super::plan::{MAX_OUTPUT, Merge};
use crate::error::{Error, ErrorKind};
use crate::ltx::{Encoder, FileName, Form, Header, IndexEntry, Level};
use crate::replica::files::load_error::{LoadError, display_name};
use crate::store::{Listed, Store};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::cmp::Reverse;

/// The maximum number of bytes that all inputs keep in memory.
const BUFFERS: u64 = 64 << 20;

/// The maximum number of bytes per request.
const PIECE: u64 = 1 << 20;

/// The maximum length of all indexes together, in bytes. A page takes about 8 bytes.
const MAX_INDEXES: u64 = 64 << 20;

/// Requests in flight at once.
const IN_FLIGHT: usize = 8;

/// What helps if files are too large.
pub(super) const WITHOUT_LIMITS: &str =
    "restore the database, and run `litestream replicate` on it to write a snapshot";

/// Why files were not merged.
#[derive(Debug)]
pub(super) enum MergeError {
    /// The listing is out of date.
    Moved,
    /// These files cannot be merged, also not later.
    Refused(Error),
    /// An input is damaged, as far as the bytes show that the store has sent.
    Damaged(Level, FileName, Error),
    /// Any other failure, which may not occur again.
    Failed(Error),
}

impl MergeError {
    /// Returns the failure to read an input.
    fn of_input(level: Level, name: FileName, error: LoadError) -> MergeError {
        match error {
            LoadError::Moved => MergeError::Moved,
            LoadError::Other(error) if error.kind() == ErrorKind::Damaged => MergeError::Damaged(level, name, error),
            LoadError::Other(error) => MergeError::Failed(error),
        }
    }

    fn refused(store: &dyn Store, merge: &Merge, cause: &str) -> MergeError {
        let file = display_name(store, merge.level, merge.name);
        let error = Error::new(ErrorKind::Exhausted, format!("the file {file} is not written: {cause}"));
        MergeError::Refused(error.remedy(WITHOUT_LIMITS))
    }
}

/// A page of the new file, by its position in an input.
pub(in crate::replica::write) struct PageSource {
    pub pgno: u32,
    pub input: u32,
    pub entry: u32,
}

/// A merged file.
pub(super) struct MergedFile {
    pub bytes: Bytes,
    /// What it was merged of.
    pub inputs: Vec<FileChecksum>,
}

/// Merges files, and verifies all of them.
pub(super) async fn merge(store: &dyn Store, merge: &Merge) -> Result<MergedFile, MergeError> {
    let refused = |cause: String| MergeError::refused(store, merge, &cause);
    let mut inputs = read_indexes(store, merge).await?;
    // A file with every page replaces all before it, also if they have another page size.
    let base = inputs.iter().rposition(MergeInput::is_complete).unwrap_or_default();
    drop(inputs.drain(..base));
    let Some(newest) = inputs.last().map(|input| input.header) else { return Err(MergeError::Moved) };
    if inputs.iter().any(|input| input.header.page_size != newest.page_size) {
        return Err(refused("its inputs have several page sizes".to_owned()));
    }
    // Another compactor was faster, and a suspended writer has created a file under a name that is free again; or a file is damaged.
    let late = inputs.windows(2).find(|pair| pair[1].follows(&pair[0]) == Some(false)).map(|pair| pair[0].identity().1);
    let plain = Header::plain(newest.page_size, newest.commit, merge.name);
    let header = Header { timestamp_ms: newest.timestamp_ms, ..plain };
    let sources = newest_pages(inputs.iter().map(|input| (input.header.commit, &input.entries[..])));
    let lock_page = u32::from(header.commit >= header.page_size.lock_page());
    if late.is_none() && header.is_snapshot() && sources.len() as u64 + u64::from(lock_page) != u64::from(header.commit)
    {
        return Err(refused("its inputs do not have every page".to_owned()));
    }
    let size = size_of_file(&inputs, &sources);
    if size > MAX_OUTPUT {
        return Err(refused(format!("it would have {size} bytes, and at most {MAX_OUTPUT} are supported")));
    }
    let checksums = inputs.iter().map(MergeInput::checksum).collect();
    let mut encoder = Encoder::new(header, Form::Block);
    encoder.reserve(size as usize);
    write_pages(inputs, &sources, &mut encoder).await?;
    if let Some(late) = late {
        let message =
            format!("the file {} is not the one that the next file follows", display_name(store, Level::ZERO, late));
        return Err(MergeError::Failed(Error::new(ErrorKind::Damaged, message)));
    }
    Ok(MergedFile { bytes: encoder.finish().into(), inputs: checksums })
}

/// Reads and verifies a whole file.
pub(super) async fn verify(store: &dyn Store, listed: &Listed) -> Result<(), MergeError> {
    let read = async {
        let input = OpenedInput::open(store, listed, PIECE).await?.read_index().await?;
        let mut page = vec![0; input.header.page_size.get() as usize];
        input.finish(&mut page).await
    };
    read.await.map_err(|error| MergeError::of_input(listed.level, listed.name, error))
}

/// Reads the headers and the indexes of the inputs.
async fn read_indexes<'a>(store: &'a dyn Store, merge: &Merge) -> Result<Vec<MergeInput<'a>>, MergeError> {
    let piece = PIECE.min(BUFFERS / merge.inputs.len().max(1) as u64);
    let open = async |listed: &Listed| {
        let opened = OpenedInput::open(store, listed, piece).await;
        opened.map_err(|error| MergeError::of_input(listed.level, listed.name, error))
    };
    let opened = merge.inputs.iter().map(open).collect::<Vec<_>>();
    let opened: Vec<OpenedInput<'_>> = stream::iter(opened).buffered(IN_FLIGHT).try_collect().await?;
    let length = opened.iter().map(OpenedInput::index_length).fold(0, u64::saturating_add);
    if length > MAX_INDEXES {
        let cause = format!("the indexes of its inputs have {length} bytes, and at most {MAX_INDEXES} are supported");
        return Err(MergeError::refused(store, merge, &cause));
    }
    let read = async |(listed, input): (&Listed, OpenedInput<'a>)| {
        let read = input.read_index().await;
        read.map_err(|error| MergeError::of_input(listed.level, listed.name, error))
    };
    let inputs = merge.inputs.iter().zip(opened).map(read).collect::<Vec<_>>();
    stream::iter(inputs).buffered(IN_FLIGHT).try_collect().await
}

/// Returns the newest version of each page, in ascending order of page numbers. `inputs` are the size of the database after each file, and
/// the index of the file.
pub(in crate::replica::write) fn newest_pages<'a>(
    inputs: impl DoubleEndedIterator<Item = (u32, &'a [IndexEntry])> + ExactSizeIterator,
) -> Vec<PageSource> {
    let mut sources = Vec::new();
    let mut smallest = u32::MAX;
    for (number, (commit, entries)) in inputs.enumerate().rev() {
        // A page that a later file cut off does not come back if the database grows again.
        smallest = smallest.min(commit);
        let within = entries.partition_point(|entry| entry.pgno <= smallest);
        let source = |(entry, found): (u32, &IndexEntry)| PageSource { pgno: found.pgno, input: number as u32, entry };
        sources.extend((0..).zip(&entries[..within]).map(source));
    }
    sources.sort_unstable_by_key(|source| (source.pgno, Reverse(source.input)));
    sources.dedup_by_key(|source| source.pgno);
    sources
}

/// Returns the length of the new file, or slightly more.
fn size_of_file(inputs: &[MergeInput<'_>], sources: &[PageSource]) -> u64 {
    /// The header, the end mark, the end of the index and the trailer.
    const OTHERS: u64 = 160;
    /// The maximum length of an entry of the index of a file that is not longer than [`MAX_OUTPUT`].
    const INDEX_ENTRY: u64 = 5 + 5 + 3;
    let frame = |source: &PageSource| inputs[source.input as usize].entries[source.entry as usize].size;
    OTHERS + sources.iter().map(|source| u64::from(frame(source)) + INDEX_ENTRY).sum::<u64>()
}

/// Copies the pages, and verifies all inputs.
async fn write_pages(
    mut inputs: Vec<MergeInput<'_>>,
    sources: &[PageSource],
    encoder: &mut Encoder,
) -> Result<(), MergeError> {
    let mut page = inputs.first().map_or(Vec::new(), |input| vec![0; input.header.page_size.get() as usize]);
    for source in sources {
        let input = &mut inputs[source.input as usize];
        let (level, name) = input.identity();
        let frame = input.read_until(source.entry as usize, &mut page).await;
        let frame = frame.map_err(|error| MergeError::of_input(level, name, error))?;
        encoder.copy(source.pgno, &frame, &page);
    }
    for input in inputs {
        let (level, name) = input.identity();
        input.finish(&mut page).await.map_err(|error| MergeError::of_input(level, name, error))?;
    }
    Ok(())
}
