//! The format of a journal: a head, and an entry for each transaction.
//!
//! | part | bytes |
//! |---|---|
//! | head | the mark of this format (8), the salt of the journal (8), the checksum of both (8) |
//! | entry | the salt (8), the number of the entry (8), the length of the file (8), the checksum of these (8), the file of the transaction, its checksum (8) |
//!
//! Numbers are little-endian. Entries are numbered from 1 on. An entry is written and made durable before the next one, so only the last can
//! be incomplete without damage: its transaction was not acknowledged. If another entry follows one that is wrong, the wrong one was complete
//! once, and the journal is damaged. A wrong last entry can be both, unless it is shorter than its head says ([`JournalRest`]).

use crate::ltx::page_checksum;
use std::ops::Range;

const MARK: [u8; 8] = *b"LSVFSJ\0\x01";

/// The length of the head of a journal.
pub(super) const HEAD: usize = 24;

/// The length of an entry before the file, and after it.
pub(super) const ENTRY_HEAD: usize = 32;
const ENTRY_TAIL: usize = 8;

/// Where a journal is damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum JournalDamage {
    Head,
    /// An entry, and later ones exist.
    Entry(u64),
}

/// The content of a journal.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct JournalContent {
    pub salt: u64,
    /// The bytes of the files of the transactions, in order.
    pub files: Vec<Range<usize>>,
    /// The end of the last complete entry.
    pub end: usize,
}

/// What follows the last complete entry of a journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum JournalRest {
    Nothing,
    /// A part of an entry. A transaction is acknowledged after an `fsync` of the whole entry, which makes its length durable too, so this one
    /// was not. Or only zeros, as a crash leaves if the system has written the length first: nothing of any transaction is in them.
    Torn,
    /// Bytes that do not begin with the head of the next entry. They can be one that was acknowledged and whose head has changed.
    Unknown,
    /// An entry of which everything is there and something is wrong. It can have been acknowledged, or its bytes were not written in a crash.
    Whole,
}

/// Returns the head of a journal.
pub(super) fn head(salt: u64) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MARK);
    head[8..16].copy_from_slice(&salt.to_le_bytes());
    let checksum = page_checksum(0, &head[..16]);
    head[16..].copy_from_slice(&checksum.to_le_bytes());
    head
}

/// Returns what an entry has before and after the file of its transaction.
pub(super) fn frame(salt: u64, number: u64, file: &[u8]) -> ([u8; ENTRY_HEAD], [u8; ENTRY_TAIL]) {
    let mut head = [0; ENTRY_HEAD];
    head[..8].copy_from_slice(&salt.to_le_bytes());
    head[8..16].copy_from_slice(&number.to_le_bytes());
    head[16..24].copy_from_slice(&(file.len() as u64).to_le_bytes());
    let checksum = page_checksum(0, &head[..24]);
    head[24..].copy_from_slice(&checksum.to_le_bytes());
    (head, page_checksum(1, file).to_le_bytes())
}

/// Reads a journal.
pub(super) fn read(journal: &[u8]) -> Result<JournalContent, JournalDamage> {
    let salt = number_at(journal, 8).filter(|salt| journal.starts_with(&head(*salt))).ok_or(JournalDamage::Head)?;
    let mut content = JournalContent { salt, files: Vec::new(), end: HEAD };
    loop {
        let number = content.files.len() as u64 + 1;
        match complete_entry(journal, content.end, salt, number) {
            Some(file) => {
                content.end = file.end + ENTRY_TAIL;
                content.files.push(file);
            }
            None if has_later_entry(journal, content.end, salt, number) => return Err(JournalDamage::Entry(number)),
            None => return Ok(content),
        }
    }
}

/// Returns what follows the last complete entry. `content` is that of the journal.
pub(super) fn rest(journal: &[u8], content: &JournalContent) -> JournalRest {
    let (rest, number) = (&journal[content.end..], content.files.len() as u64 + 1);
    match rest {
        [] => JournalRest::Nothing,
        _ if rest.len() < ENTRY_HEAD + ENTRY_TAIL || rest.iter().all(|byte| *byte == 0) => JournalRest::Torn,
        _ => match entry_length(rest, content.salt, number) {
            None => JournalRest::Unknown,
            Some(length) if (rest.len() as u64) < length => JournalRest::Torn,
            Some(_) => JournalRest::Whole,
        },
    }
}

/// Returns the length of the entry with this number, as its head says, which is not wrong.
fn entry_length(entry: &[u8], salt: u64, number: u64) -> Option<u64> {
    let is_head = number_at(entry, 0) == Some(salt)
        && number_at(entry, 8) == Some(number)
        && number_at(entry, 24) == Some(page_checksum(0, &entry[..24]));
    let length = number_at(entry, 16).filter(|_| is_head)?;
    Some(length.saturating_add((ENTRY_HEAD + ENTRY_TAIL) as u64))
}

/// Returns the file of a complete entry with this number.
fn complete_entry(journal: &[u8], at: usize, salt: u64, number: u64) -> Option<Range<usize>> {
    let length = usize::try_from(number_at(journal, at.checked_add(16)?)?).ok()?;
    let start = at.checked_add(ENTRY_HEAD)?;
    let file = start..start.checked_add(length)?;
    let bytes = journal.get(file.clone())?;
    let (head, tail) = frame(salt, number, bytes);
    (journal[at..].starts_with(&head) && journal[file.end..].starts_with(&tail)).then_some(file)
}

/// Whether an entry with a higher number begins after an offset.
fn has_later_entry(journal: &[u8], from: usize, salt: u64, number: u64) -> bool {
    let begins = salt.to_le_bytes();
    (from..journal.len().saturating_sub(ENTRY_HEAD - 1)).any(|at| {
        let entry = &journal[at..];
        entry.starts_with(&begins)
            && number_at(entry, 8).is_some_and(|later| later > number)
            && number_at(entry, 24) == Some(page_checksum(0, &entry[..24]))
    })
}

fn number_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(files: &[&[u8]]) -> Vec<u8> {
        let mut journal = head(77).to_vec();
        for (number, file) in (1..).zip(files) {
            let (head, tail) = frame(77, number, file);
            journal.extend([&head[..], file, &tail].concat());
        }
        journal
    }

    const FILES: [&[u8]; 3] = [b"one", b"", b"the third transaction"];

    fn read_files(journal: &[u8]) -> Result<Vec<&[u8]>, JournalDamage> {
        let content = read(journal)?;
        assert!(content.end <= journal.len());
        Ok(content.files.into_iter().map(|file| &journal[file]).collect())
    }

    #[test]
    fn every_truncation_leaves_the_complete_entries() {
        let whole = journal(&FILES);
        let ends: Vec<usize> = (0..=3).map(|count| journal(&FILES[..count]).len()).collect();
        for length in 0..=whole.len() {
            let complete = ends.iter().filter(|end| **end <= length).count();
            let expected = if complete == 0 { Err(JournalDamage::Head) } else { Ok(FILES[..complete - 1].to_vec()) };
            assert_eq!(read_files(&whole[..length]), expected, "{length} bytes");
        }
    }

    #[test]
    fn every_changed_byte_is_damage_or_drops_the_last_entry() {
        let whole = journal(&FILES);
        for (at, bit) in (0..whole.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            let expected = match (0..3).find(|count| at < journal(&FILES[..*count]).len()) {
                Some(0) => Err(JournalDamage::Head),
                Some(entry) => Err(JournalDamage::Entry(entry as u64)),
                None => Ok(FILES[..2].to_vec()),
            };
            assert_eq!(read_files(&changed), expected, "byte {at}");
        }
    }

    /// The data of an incomplete entry can be lost although its length is there.
    #[test]
    fn what_a_crash_leaves_after_the_last_entry_is_dropped() {
        let (whole, two) = (journal(&FILES), journal(&FILES[..2]).len());
        for rest in [vec![0; 5000], vec![0xff; 40], whole[two..two + ENTRY_HEAD].to_vec(), whole[..HEAD].to_vec()] {
            let torn = [&whole[..two], &rest].concat();
            assert_eq!(read(&torn).expect("no damage").end, two);
        }
        let mut holey = whole.clone();
        holey[two + ENTRY_HEAD..].fill(0);
        assert_eq!(read_files(&holey), Ok(FILES[..2].to_vec()));
        assert_eq!(rest_of(&holey), JournalRest::Whole);
    }

    fn rest_of(journal: &[u8]) -> JournalRest {
        rest(journal, &read(journal).expect("no damage"))
    }

    /// What is cut off without a copy is a part of an entry, or zeros.
    #[test]
    fn a_wrong_last_entry_is_not_taken_for_a_part_of_one() {
        let (whole, two) = (journal(&FILES), journal(&FILES[..2]).len());
        assert_eq!([rest_of(&whole), rest_of(&whole[..two])], [JournalRest::Nothing; 2]);
        for length in two + 1..whole.len() {
            assert_eq!(rest_of(&whole[..length]), JournalRest::Torn, "{length} bytes");
        }
        assert_eq!(rest_of(&[&whole[..two], &[0; 5000]].concat()), JournalRest::Torn);
        for (at, bit) in (two..whole.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            let expected = if at < two + ENTRY_HEAD { JournalRest::Unknown } else { JournalRest::Whole };
            assert_eq!(rest_of(&changed), expected, "byte {at}");
        }
    }
}
