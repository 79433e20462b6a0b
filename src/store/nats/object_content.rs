//! The bytes of an object as far as they were read: in memory if the object is small, in a temporary file if it is large.

use super::error::NatsError;
use crate::lock::RwLock;
use crate::pread;
use crate::process::get_or_try_init;
use crate::store::StoreErrorKind;
use bytes::Bytes;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::OnceLock;

/// Objects that are longer, in bytes, are kept in files.
pub(super) const LONGEST_IN_MEMORY: u64 = 1 << 20;

/// The first bytes of an object.
pub(super) enum ObjectContent {
    Memory(RwLock<Vec<u8>>),
    /// Created when there are bytes for it.
    File(OnceLock<File>),
}

impl ObjectContent {
    /// Returns the content of an object of this size, of which nothing was read yet.
    pub fn of(size: u64) -> ObjectContent {
        match size {
            0..=LONGEST_IN_MEMORY => ObjectContent::Memory(RwLock::new(Vec::with_capacity(size as usize))),
            _ => ObjectContent::File(OnceLock::new()),
        }
    }

    pub fn is_in_memory(&self) -> bool {
        matches!(self, ObjectContent::Memory(_))
    }

    /// Appends bytes to the content, whose length is `length`.
    pub fn append(&self, bytes: &[u8], length: u64) -> Result<(), NatsError> {
        match self {
            ObjectContent::Memory(content) => content.write().extend_from_slice(bytes),
            ObjectContent::File(_) if bytes.is_empty() => {}
            ObjectContent::File(file) => {
                let written = created(file).and_then(|file| pread::write_all_at(file, bytes, length));
                written.map_err(|error| temporary_file_error(&error))?;
            }
        }
        Ok(())
    }

    /// Returns a range of the content, which must not end after it.
    pub fn read(&self, range: Range<u64>) -> Result<Bytes, NatsError> {
        match self {
            ObjectContent::Memory(content) => {
                let content = content.read();
                Ok(Bytes::copy_from_slice(&content[range.start as usize..range.end as usize]))
            }
            ObjectContent::File(file) => {
                let mut bytes = vec![0; (range.end - range.start) as usize];
                let read = created(file).and_then(|file| pread::read_exact_at(file, &mut bytes, range.start));
                read.map_err(|error| temporary_file_error(&error))?;
                Ok(bytes.into())
            }
        }
    }
}

/// Returns the file, and creates it if necessary.
fn created(file: &OnceLock<File>) -> io::Result<&File> {
    get_or_try_init(file, pread::temporary)
}

fn temporary_file_error(error: &io::Error) -> NatsError {
    let cause = format!("a temporary file is needed to read a part of this object, and it fails: {error}");
    NatsError::new(StoreErrorKind::Config, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_created_for_the_first_bytes() {
        let content = ObjectContent::of(LONGEST_IN_MEMORY + 1);
        let has_file = || matches!(&content, ObjectContent::File(file) if file.get().is_some());
        assert!(!has_file() && !content.is_in_memory());
        content.append(b"first", 0).expect("a file");
        content.append(b"second", 5).expect("the same file");
        assert!(has_file());
        assert_eq!(&content.read(3..8).expect("it is there")[..], b"stsec");
    }
}
