//! Damaged and malicious files result in errors, never in a panic or a wrong page.

use super::*;
use proptest::prelude::*;

/// Runs every parser on arbitrary bytes.
fn read_all<'a>(bytes: &[u8], header: &Header, entries: impl IntoIterator<Item = &'a IndexEntry>) {
    let _ = Header::parse(bytes);
    if let Ok(range) = index_range(bytes.len() as u64, bytes) {
        let index = &bytes[range.start as usize..range.end as usize];
        let _ = parse_index(index, header, range.start);
    }
    let mut page = vec![0; header.page_size.get() as usize];
    for entry in entries {
        let clamp = |at: u64| at.min(bytes.len() as u64) as usize;
        let frame = &bytes[clamp(entry.offset)..clamp(entry.range().end)];
        let _ = decode_page(frame, entry.pgno, &mut page);
    }
}

#[test]
fn every_truncation_is_detected() {
    for golden in Golden::all() {
        let FileParts { header, entries, .. } = verify(&golden.bytes).expect(&golden.name);
        for length in 0..golden.bytes.len() {
            let cut = &golden.bytes[..length];
            assert!(verify(cut).is_err(), "{length} bytes of {}", golden.name);
            read_all(cut, &header, entries.iter().find(|entry| entry.range().contains(&(length as u64))));
        }
    }
}

#[test]
fn bytes_after_the_end_are_detected() {
    for golden in Golden::all() {
        for extra in [&[0][..], &[0; 24], &golden.bytes] {
            assert!(verify(&[&golden.bytes, extra].concat()).is_err(), "{}", golden.name);
        }
    }
}

/// The checksum covers uncompressed pages. A changed byte in compressed data is therefore undetected if it decompresses to the same page;
/// any other change is detected.
///
/// The few golden files above 2.5 KB are skipped: their pages of 64 KiB take most of a minute without optimisation, and they have the same
/// parts as the others.
#[test]
fn every_changed_byte_is_detected_or_has_no_effect() {
    for golden in Golden::all().into_iter().filter(|golden| golden.bytes.len() <= 2500) {
        let whole = verify(&golden.bytes).expect(&golden.name);
        let content = pages(&golden.bytes, &whole.header, &whole.entries).expect(&golden.name);
        let head = if golden.form() == Form::Block { 10 } else { 6 };
        for at in 0..golden.bytes.len() {
            let entry = whole.entries.iter().find(|entry| entry.range().contains(&(at as u64)));
            for change in [0x01, 0x10, 0x80, 0xff] {
                let mut bytes = golden.bytes.clone();
                bytes[at] ^= change;
                read_all(&bytes, &whole.header, entry);
                if let Ok(verified) = verify(&bytes) {
                    let is_data = entry.is_some_and(|entry| at as u64 >= entry.offset + head);
                    assert!(is_data, "byte {at} of {}", golden.name);
                    assert_eq!(verified, whole, "byte {at} of {}", golden.name);
                    let decoded = pages(&bytes, &whole.header, &whole.entries);
                    assert_eq!(decoded.as_ref(), Ok(&content), "byte {at} of {}", golden.name);
                }
            }
        }
    }
}

/// Corrects the checksum of a changed file, so that only the structural checks can fail.
fn with_correct_checksum(mut file: Vec<u8>) -> Vec<u8> {
    if let Err(LtxError::FileChecksum { computed, .. }) = verify(&file) {
        let at = file.len() - 8;
        file[at..].copy_from_slice(&computed.to_be_bytes());
    }
    file
}

fn small(flags: u32) -> Vec<u8> {
    let mut encoder = Encoder::new(Header { flags, ..header(512, 2, 1, 3) }, Form::Block);
    encoder.page(1, &[1; 512]);
    encoder.page(2, &[2; 512]);
    encoder.finish()
}

#[test]
fn a_file_that_starts_at_transaction_1_must_contain_every_page() {
    let whole = small(Header::NO_CHECKSUMS);
    for (commit, missing) in [(1, 2), (3, 3), (u32::MAX, 3)] {
        let mut file = whole.clone();
        file[12..16].copy_from_slice(&u32::to_be_bytes(commit));
        assert_eq!(verify(&with_correct_checksum(file)), Err(LtxError::Incomplete(missing)));
    }
    let mut later = whole;
    (later[23], later[15]) = (2, 9);
    assert_eq!(verify(&with_correct_checksum(later)).map(|verified| verified.entries.len()), Ok(2));
}

/// No writer produces such files, even when a database shrinks. Litestream reads them.
#[test]
fn a_page_above_commit_stays_in_the_index() {
    let mut file = small(Header::NO_CHECKSUMS);
    (file[23], file[15]) = (2, 1);
    let verified = verify(&with_correct_checksum(file)).expect("a valid file");
    assert_eq!(verified.header.commit, 1);
    assert_eq!(verified.entries.iter().map(|entry| entry.pgno).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn checksums_of_the_database_are_verified() {
    let file = small(0);
    let database = (page_checksum(1, &[1; 512]) ^ page_checksum(2, &[2; 512])) | 1 << 63;
    let trailer = verify(&file).expect("a valid file").trailer;
    assert_eq!(trailer.post_apply_checksum, database);
    let at = file.len() - Trailer::SIZE;
    for (flags, stored) in [(0, database ^ 1), (0, 0), (Header::NO_CHECKSUMS, database)] {
        let mut bad = file.clone();
        bad[4..8].copy_from_slice(&flags.to_be_bytes());
        bad[at..at + 8].copy_from_slice(&stored.to_be_bytes());
        assert_eq!(verify(&with_correct_checksum(bad)), Err(LtxError::PostApplyChecksum(stored)));
    }
}

/// The memory for an index must not follow from what the file says.
#[test]
fn an_index_that_is_longer_than_one_of_all_pages_is_refused() {
    let (size, mut tail) = (1u64 << 50, [0; 8 + Trailer::SIZE]);
    for (length, is_accepted) in
        [(30 * u64::from(u32::MAX) + 1, true), (30 * u64::from(u32::MAX) + 2, false), (1 << 49, false)]
    {
        tail[..8].copy_from_slice(&length.to_be_bytes());
        assert_eq!(index_range(size, &tail).is_ok(), is_accepted, "{length}");
    }
}

/// A frame between two pages, or after them, that is not in the index.
#[test]
fn bytes_between_the_pages_are_detected() {
    let whole = small(Header::NO_CHECKSUMS);
    let FileParts { header, entries, .. } = verify(&whole).expect("a valid file");
    let first = &whole[..entries[1].offset as usize];
    let end = first.len() as u64;
    for (kept, gap) in [(&entries[..1], end), (&entries[1..], Header::SIZE as u64), (&[], Header::SIZE as u64)] {
        let range = index_range(whole.len() as u64, &whole).expect("an index");
        let mut file = whole[..range.start as usize].to_vec();
        index::encode_index(kept, &mut file);
        let length = file.len() as u64 - range.start;
        file.extend_from_slice(&length.to_be_bytes());
        file.extend_from_slice(&whole[whole.len() - Trailer::SIZE..]);
        file[16..24].copy_from_slice(&2u64.to_be_bytes());
        assert_eq!(header.page_size.get(), 512);
        assert_eq!(verify(&file), Err(LtxError::Gap(gap)));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..600), size in 9u32..=16) {
        let header = header(1 << size, 3, 2, 2);
        let entry = IndexEntry { pgno: 1, offset: 0, size: bytes.len() as u32 };
        read_all(&bytes, &header, [&entry]);
        prop_assert!(verify(&bytes).is_err());
        for head in [&[0, 0, 0, 1, 0, 0, 4, 0x22, 0x4d, 0x18, 0x64, 0x40, 0xa7][..], &[0, 0, 0, 1, 0, 1]] {
            let length = head.len().min(bytes.len());
            bytes[..length].copy_from_slice(&head[..length]);
            read_all(&bytes, &header, [&entry]);
        }
    }

    #[test]
    fn a_malicious_index_has_only_entries_within_bounds(
        bytes in prop::collection::vec(prop_oneof![0u8..8, any::<u8>()], 0..60),
        start in prop_oneof![0..300u64, any::<u64>()],
    ) {
        let header = header(512, 3, 2, 2);
        let terminated = [&bytes[..], &[0]].concat();
        for bytes in [bytes, terminated] {
            let Ok(entries) = parse_index(&bytes, &header, start) else { continue };
            let mut free = Header::SIZE as u64;
            for entry in &entries {
                prop_assert!(entry.pgno >= 1 && entry.offset >= free && entry.range().end <= start - 6);
                free = entry.range().end;
            }
            prop_assert!(entries.is_sorted_by(|a, b| a.pgno < b.pgno));
        }
    }
}
