//! Bytes that are kept in memory as long as they are few, and in a temporary file otherwise.

use crate::pread;
use crate::process::Maker;
use std::fs::File;
use std::io;

/// Bytes that are kept in memory up to a limit. Beyond it they move to an unnamed temporary file, which the system deletes with the
/// process.
///
/// A forked child shares the file with its parent, which goes on using it. So in the child, every operation on such a file fails.
#[derive(Debug)]
pub(crate) struct Scratch {
    limit: usize,
    memory: Vec<u8>,
    file: Option<OwnFile>,
    length: u64,
}

/// A file of one process.
#[derive(Debug)]
struct OwnFile {
    file: File,
    maker: Maker,
}

impl OwnFile {
    fn get(&self) -> io::Result<&File> {
        match self.maker.is_this() {
            true => Ok(&self.file),
            false => {
                Err(io::Error::new(io::ErrorKind::ResourceBusy, "it is that of the parent process, which has forked"))
            }
        }
    }
}

impl Scratch {
    /// Creates an empty one that keeps at most `limit` bytes in memory.
    pub(crate) fn new(limit: usize) -> Scratch {
        Scratch { limit, memory: Vec::new(), file: None, length: 0 }
    }

    /// Returns the number of bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Fills `bytes` with those from `offset` on. Returns how many of them there are; the others are 0.
    pub(crate) fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let available = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX).min(bytes.len());
        let (inside, beyond) = bytes.split_at_mut(available);
        beyond.fill(0);
        match &self.file {
            _ if available == 0 => {}
            Some(file) => pread::read_exact_at(file.get()?, inside, offset)?,
            None => {
                let start = offset as usize;
                inside.copy_from_slice(self.memory.get(start..start + available).ok_or(io::ErrorKind::UnexpectedEof)?);
            }
        }
        Ok(available)
    }

    /// Writes bytes from `offset` on. Bytes between the end and `offset` become 0.
    pub(crate) fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        if self.file.is_none() && end > self.limit as u64 {
            let file = pread::temporary()?;
            pread::write_all_at(&file, &self.memory, 0)?;
            self.memory = Vec::new();
            self.file = Some(OwnFile { file, maker: Maker::this() });
        }
        match &self.file {
            Some(file) => pread::write_all_at(file.get()?, bytes, offset)?,
            None => {
                let (start, end) = (offset as usize, end as usize);
                if self.memory.len() < end {
                    self.memory.resize(end, 0);
                }
                self.memory[start..end].copy_from_slice(bytes);
            }
        }
        self.length = self.length.max(end);
        Ok(())
    }

    /// Removes the bytes from `length` on. Has no effect if there are fewer.
    pub(crate) fn truncate(&mut self, length: u64) -> io::Result<()> {
        if length >= self.length {
            return Ok(());
        }
        match &self.file {
            // Nothing of it is needed.
            _ if length == 0 => self.file = None,
            Some(file) => file.get()?.set_len(length)?,
            None => {}
        }
        self.memory.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        self.length = length;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_child_of_a_fork_keeps_what_is_in_memory_and_never_touches_the_file_of_its_parent() {
        let mut small = Scratch::new(10);
        small.write(b"parent", 0).expect("it is written");
        let mut large = Scratch::new(2);
        large.write(b"parent", 0).expect("it is written");
        let file = large.file.as_mut().expect("a file");
        file.maker = Maker::parent();
        let shared = file.file.try_clone().expect("another descriptor");
        let mut bytes = [0; 6];
        assert_eq!(small.read(&mut bytes, 0).expect("it is in memory"), 6);
        for failed in [large.read(&mut bytes, 0).map(drop), large.write(b"child", 0), large.truncate(3)] {
            assert_eq!(failed.map_err(|error| error.kind()), Err(io::ErrorKind::ResourceBusy));
        }
        large.truncate(0).expect("nothing of it is needed");
        large.write(b"child", 0).expect("it has a file of its own");
        pread::read_exact_at(&shared, &mut bytes, 0).expect("the file of the parent");
        assert_eq!((&bytes, large.length()), (b"parent", 5));
    }

    /// Random writes, reads and truncations give what a vector gives, below and above the limit.
    #[test]
    fn it_equals_a_vector() {
        let mut state = 7u64;
        let mut random = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        let (mut scratch, mut expected) = (Scratch::new(1000), Vec::<u8>::new());
        let mut was_in_file = false;
        for step in 0..5000u32 {
            let (offset, length) = (random(3000), random(400) as usize);
            match random(8) {
                0 => {
                    let length = random(2) * offset;
                    scratch.truncate(length).expect("it is truncated");
                    expected.truncate(length as usize);
                }
                1..4 => {
                    let bytes = vec![step as u8; length];
                    scratch.write(&bytes, offset).expect("it is written");
                    let end = offset as usize + length;
                    if expected.len() < end {
                        expected.resize(end, 0);
                    }
                    expected[offset as usize..end].copy_from_slice(&bytes);
                }
                _ => {
                    let mut bytes = vec![0xee; length];
                    let available = scratch.read(&mut bytes, offset).expect("it is read");
                    let start = expected.len().min(offset as usize);
                    let inside = &expected[start..expected.len().min(offset as usize + length).max(start)];
                    assert_eq!(available, inside.len());
                    assert_eq!(&bytes[..available], inside);
                    assert!(bytes[available..].iter().all(|byte| *byte == 0));
                }
            }
            assert_eq!(scratch.length(), expected.len() as u64);
            was_in_file |= scratch.file.is_some();
        }
        assert!(was_in_file);
    }
}
