//! Which files a cache directory has, their size, and who needs them.

use super::announcements::FETCHING;
use super::eviction_mark::EvictionMark;
use super::leader::{LEADER, SUCCESSION};
use super::sealed::FieldReader;
use super::{HEAD, MAX_HEAD};
use crate::replica::folder::{Folder, FolderEntry};
use crate::time;
use std::collections::HashSet;
use std::io;

/// The start of the names of the folders of all versions of the format.
const FORMATS: &str = "litestream-vfs-";

/// The files of a replica that belong to no view, but to the processes that read it.
const OF_PROCESSES: [&str; 4] = [HEAD, LEADER, SUCCESSION, FETCHING];

/// How long the newest view of a replica is kept like those that are read, after the last write for that replica, in seconds. Who reads it writes
/// its record every few seconds.
const IN_USE: i64 = 24 * 60 * 60;

/// What was written no further from now than this, in seconds, is not removed: a record of the newest view may not name it yet, or it is being
/// written. A time in the future counts no longer, because a clock may have been set back.
pub(super) const FRESH: u64 = 120;

/// Returns the time in seconds since 1970.
pub(super) fn seconds() -> i64 {
    time::now_ms() / 1000
}

/// The folder of a replica. It is open only while it is used: there can be more of them than files that a process may have open.
struct ReplicaFolder {
    format: String,
    name: String,
}

/// Passes the folders of replicas and their entries to `each`, of all versions of the format, one after another. Fails if one cannot be listed:
/// without its files, the directory would seem to be small.
fn each_replica(
    root: &Folder,
    mut each: impl FnMut(ReplicaFolder, &Folder, Vec<FolderEntry>) -> io::Result<()>,
) -> io::Result<()> {
    let formats = root.entries()?.into_iter().map(|entry| entry.name);
    for format in formats.filter(|name| name.starts_with(FORMATS)) {
        let Some(of_format) = root.find_folder(&format)? else { continue };
        for FolderEntry { name, .. } in entries(&of_format)? {
            let Some(folder) = of_format.find_folder(&name)? else { continue };
            let files = entries(&folder)?;
            each(ReplicaFolder { format: format.clone(), name }, &folder, files)?;
        }
    }
    Ok(())
}

/// Lists a folder. One that was removed meanwhile is empty.
fn entries(folder: &Folder) -> io::Result<Vec<FolderEntry>> {
    match folder.entries() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed,
    }
}

/// Returns the size of a cache directory on disk, in bytes.
pub(super) fn size(root: &Folder) -> io::Result<u64> {
    let mut size = 0;
    each_replica(root, |_, _, files| {
        size += files.iter().map(|file| file.allocated).sum::<u64>();
        Ok(())
    })?;
    Ok(size)
}

/// Who needs a file. Those whose files are removed first are first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NeededBy {
    Nobody,
    /// Perhaps a later process: it belongs to the newest view of a replica for which something was last written at this time, in seconds since 1970.
    LaterProcess(i64),
    /// A process that reads the newest view of its replica.
    Reader,
}

/// A file of the cache directory.
pub(super) struct CachedFile {
    /// The position of its folder in [`Contents`].
    folder: usize,
    pub entry: FolderEntry,
    pub needed_by: NeededBy,
}

impl CachedFile {
    /// Whether it was written no further from now than [`FRESH`].
    pub(super) fn is_fresh(&self, now: i64) -> bool {
        self.entry.modified.abs_diff(now) <= FRESH
    }
}

/// All files of a cache directory, for a process that evicts.
pub(super) struct Contents<'a> {
    root: &'a Folder,
    folders: Vec<ReplicaFolder>,
    pub files: Vec<CachedFile>,
    pub size: u64,
    pub mark: EvictionMark<'a>,
}

impl<'a> Contents<'a> {
    pub(super) fn read(root: &'a Folder, mark: EvictionMark<'a>) -> io::Result<Contents<'a>> {
        let (mut folders, mut files) = (Vec::new(), Vec::new());
        each_replica(root, |folder, open, entries| {
            let (current, user) = (current_stems(open)?, user_of(&entries));
            let needed_by = |name: &str| {
                let is_of_view = name.split_once('.').is_some_and(|(stem, _)| current.contains(stem));
                if is_of_view || OF_PROCESSES.contains(&name) { user } else { NeededBy::Nobody }
            };
            let cached = |entry: FolderEntry| {
                let needed_by = needed_by(&entry.name);
                CachedFile { folder: folders.len(), entry, needed_by }
            };
            files.extend(entries.into_iter().map(cached));
            folders.push(folder);
            Ok(())
        })?;
        let size = files.iter().map(|file| file.entry.allocated).sum();
        Ok(Contents { root, folders, files, size, mark })
    }

    /// Opens the folder of a file. Returns None if that is not possible, or if it is no longer there.
    pub(super) fn folder_of(&self, at: usize) -> Option<Folder> {
        let ReplicaFolder { format, name } = &self.folders[self.files[at].folder];
        self.root.find_folder(format).ok()??.find_folder(name).ok()?
    }

    /// Records that a file has only this size on disk now, in bytes.
    pub(super) fn shrunk(&mut self, at: usize, size: u64) {
        let entry = &mut self.files[at].entry;
        self.size = self.size.saturating_sub(entry.allocated.saturating_sub(size));
        entry.allocated = size;
    }
}

/// Returns who needs the newest view of the replica with these files.
fn user_of(files: &[FolderEntry]) -> NeededBy {
    let now = seconds();
    let times = files.iter().map(|file| file.modified).filter(|time| *time <= now.saturating_add_unsigned(FRESH));
    let last = times.max().unwrap_or(i64::MIN);
    if last.saturating_add(IN_USE) < now { NeededBy::LaterProcess(last) } else { NeededBy::Reader }
}

/// Returns the stems of the files of the newest view of a replica. Fails if its record cannot be read: nothing would seem to be needed.
fn current_stems(folder: &Folder) -> io::Result<HashSet<String>> {
    let head = folder.read(HEAD, MAX_HEAD)?;
    let stems = head.as_deref().and_then(FieldReader::open).and_then(|mut fields| fields.text().map(str::to_owned));
    Ok(stems.unwrap_or_default().lines().map(str::to_owned).collect())
}
