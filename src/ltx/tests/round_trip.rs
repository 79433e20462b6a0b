//! Encoded files are decoded again, byte for byte.

use super::*;
use proptest::prelude::*;

/// Generates pages of `size` bytes, from highly compressible to incompressible.
fn page(size: usize) -> impl Strategy<Value = Vec<u8>> {
    let dense = any::<u64>().prop_map(move |seed| noise(seed, size));
    let mixed = (any::<u64>(), 0..=size).prop_map(move |(seed, rest)| {
        let mut page = noise(seed, size);
        page[..rest].fill(0);
        page
    });
    prop_oneof![any::<u8>().prop_map(move |byte| vec![byte; size]), dense, mixed]
}

/// Returns incompressible bytes.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..size).map(|_| step()).collect()
}

/// Generates the header and pages of a file.
fn file() -> impl Strategy<Value = (Header, Vec<(u32, Vec<u8>)>)> {
    let shape = (9u32..=16, any::<bool>(), 2u64..1 << 40, 0u64..1000, any::<i64>());
    shape.prop_flat_map(|(bits, checksums, min, more, timestamp_ms)| {
        let pages = prop::collection::btree_map(1u32..5000, page(1 << bits), 0..5);
        (pages, 5000u32..=u32::MAX).prop_map(move |(pages, commit)| {
            let (flags, pre_apply_checksum) = if checksums { (0, 1 << 63 | 5) } else { (Header::NO_CHECKSUMS, 0) };
            let header = header(1 << bits, commit, min, min + more);
            (Header { flags, pre_apply_checksum, timestamp_ms, ..header }, pages.into_iter().collect())
        })
    })
}

fn encode(header: Header, pages: &[(u32, Vec<u8>)], form: Form) -> Vec<u8> {
    let mut encoder = Encoder::new(header, form);
    encoder.post_apply_checksum(1 << 63 | 9);
    pages.iter().for_each(|(pgno, page)| encoder.page(*pgno, page));
    encoder.finish()
}

proptest! {
    #[test]
    fn files_of_every_page_size_and_form_round_trip((header, content) in file(), form in prop_oneof![Just(Form::Block), Just(Form::Frame)]) {
        let file = encode(header, &content, form);
        let verified = verify(&file).expect("a valid file");
        prop_assert_eq!(verified.header, header);
        prop_assert_eq!(verified.trailer.post_apply_checksum, if header.has_checksums() { 1 << 63 | 9 } else { 0 });
        prop_assert!(verified.entries.iter().all(|entry| entry.size <= header.page_size.max_frame()));
        prop_assert_eq!(pages(&file, &header, &verified.entries), Ok(content));
    }
}

proptest! {
    /// A copied page has the block of the other file.
    #[test]
    fn pages_are_copied_from_files_of_both_forms((header, content) in file()) {
        let header = Header { flags: Header::NO_CHECKSUMS, pre_apply_checksum: 0, ..header };
        let [expected, old] = [Form::Block, Form::Frame].map(|form| encode(header, &content, form));
        for other in [&expected, &old] {
            let mut encoder = Encoder::new(header, Form::Block);
            encoder.reserve(other.len());
            let entries = verify(other).expect("a valid file").entries;
            for (entry, (pgno, page)) in entries.iter().zip(&content) {
                let frame = entry.range();
                encoder.copy(*pgno, &other[frame.start as usize..frame.end as usize], page);
            }
            prop_assert!(encoder.finish() == expected);
        }
    }
}

#[test]
fn the_frame_of_an_incompressible_page_is_within_the_limit_for_every_page_size() {
    for size in (9..=16).map(|bits| 1 << bits) {
        let header = header(size, 7, 2, 2);
        for form in [Form::Block, Form::Frame] {
            let content = [(7, noise(u64::from(size), size as usize))];
            let file = encode(header, &content, form);
            let entries = verify(&file).expect("a valid file").entries;
            assert!((size..=header.page_size.max_frame()).contains(&entries[0].size), "{:?}", entries[0]);
            assert_eq!(pages(&file, &header, &entries), Ok(content.to_vec()));
        }
    }
}

#[test]
fn a_file_may_contain_no_page() {
    for header in [header(4096, 0, 1, 1), header(4096, 8, 2, 2), Header { flags: 0, ..header(4096, 0, 1, 1) }] {
        let file = encode(header, &[], Form::Block);
        assert_eq!(file.len(), 100 + 6 + 1 + 8 + 16);
        let verified = verify(&file).expect("a valid file");
        assert_eq!((verified.header, verified.entries.len()), (header, 0));
        let empty_database = if header.has_checksums() { 1 << 63 } else { 0 };
        assert_eq!(verified.trailer.post_apply_checksum, empty_database);
    }
}

/// The database is larger than 1 GiB, so the lock page is within it.
#[test]
fn a_snapshot_omits_the_lock_page() {
    let lock_page = 16385;
    let header = header(65536, lock_page + 1, 1, 1);
    assert_eq!(header.page_size.lock_page(), lock_page);
    let mut encoder = Encoder::new(header, Form::Block);
    let mut page = vec![0; 65536];
    for pgno in (1..=header.commit).filter(|pgno| *pgno != lock_page) {
        page[..4].copy_from_slice(&pgno.to_be_bytes());
        encoder.page(pgno, &page);
    }
    let verified = verify(&encoder.finish()).expect("a valid file");
    let last_two: Vec<u32> = verified.entries[lock_page as usize - 2..].iter().map(|entry| entry.pgno).collect();
    assert_eq!(last_two, [lock_page - 1, lock_page + 1]);
}

#[test]
fn the_encoder_panics_on_invalid_content() {
    let encoder = || Encoder::new(header(65536, 1 << 20, 2, 2), Form::Block);
    let page = vec![0; 65536];
    let panics = |write: &dyn Fn()| {
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(write)).is_err());
    };
    panics(&|| encoder().page(0, &page));
    panics(&|| encoder().page(16385, &page));
    panics(&|| encoder().page((1 << 20) + 1, &page));
    panics(&|| encoder().page(1, &page[1..]));
    panics(&|| {
        let mut encoder = encoder();
        encoder.page(5, &page);
        encoder.page(5, &page);
    });
    panics(&|| drop(Encoder::new(header(512, 1, 2, 1), Form::Block)));
    panics(&|| drop(Encoder::new(header(512, 1, 1, 1), Form::Block).finish()));
    let with_checksums = Header { flags: 0, pre_apply_checksum: 1 << 63, ..header(512, 1, 2, 2) };
    panics(&|| drop(Encoder::new(with_checksums, Form::Block).finish()));
}
