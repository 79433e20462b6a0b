//! Systems without the owners and modes that the rules need.

use super::{Folder, FolderEntry, FolderLock};
use crate::error::{Error, ErrorKind};
use std::fs::File;
use std::io;
use std::path::Path;

fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Folder {
    pub(in crate::replica) fn open(_: &Path, setting: &str) -> Result<Folder, Error> {
        let error = Error::new(ErrorKind::Config, format!("{setting} is not supported on this system"));
        Err(error.remedy(format!("remove {setting} and its environment variable")))
    }

    pub(in crate::replica) fn sync(&self) -> io::Result<()> {
        unsupported()
    }

    pub(in crate::replica) fn create_folder(&self, _: &str) -> io::Result<Folder> {
        unsupported()
    }

    pub(in crate::replica) fn folder(&self, _: &str) -> io::Result<Folder> {
        unsupported()
    }

    pub(in crate::replica) fn find_folder(&self, _: &str) -> io::Result<Option<Folder>> {
        unsupported()
    }

    pub(in crate::replica) fn open_file(&self, _: &str) -> io::Result<Option<File>> {
        unsupported()
    }

    pub(in crate::replica) fn create_file(&self, _: &str) -> io::Result<File> {
        unsupported()
    }

    pub(in crate::replica) fn create_new_file(&self, _: &str) -> io::Result<File> {
        unsupported()
    }

    pub(in crate::replica) fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        unsupported()
    }

    pub(in crate::replica) fn remove(&self, _: &str) -> io::Result<()> {
        unsupported()
    }

    pub(in crate::replica) fn entries(&self) -> io::Result<Vec<FolderEntry>> {
        unsupported()
    }

    pub(in crate::replica) fn try_lock(&self, _: &str) -> io::Result<Option<FolderLock>> {
        unsupported()
    }
}
