//! A file of the directory that stays open.

use crate::lock::RwLock;
use crate::replica::folder::{self, Folder};
use std::fs::File;
use std::io;
use std::sync::Arc;

/// A file that is created when it is needed first, and then stays open.
pub(super) struct OpenFile {
    folder: Arc<Folder>,
    name: String,
    file: RwLock<Option<Arc<File>>>,
}

impl OpenFile {
    pub(super) fn new(folder: Arc<Folder>, name: String) -> OpenFile {
        OpenFile { folder, name, file: RwLock::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the file. Another process may have removed it.
    pub(super) fn get(&self) -> io::Result<Arc<File>> {
        if let Some(file) = &*self.file.read() {
            return Ok(file.clone());
        }
        let mut file = self.file.write();
        if let Some(file) = &*file {
            return Ok(file.clone());
        }
        Ok(file.insert(Arc::new(self.folder.create_file(&self.name)?)).clone())
    }

    /// Returns the file that has the name now. It is created again if another process has removed it.
    pub(super) fn current(&self) -> io::Result<Arc<File>> {
        let file = self.get()?;
        if !folder::is_removed(&file) {
            return Ok(file);
        }
        *self.file.write() = None;
        self.get()
    }

    /// Empties the file, for the processes that have it open, and removes it.
    pub(super) fn remove(&self) {
        if let Ok(file) = self.get() {
            let _ = file.set_len(0);
        }
        let _ = self.folder.remove(&self.name);
        *self.file.write() = None;
    }
}
