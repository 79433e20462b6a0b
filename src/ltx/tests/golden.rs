//! Files written by a real Litestream are read as Litestream reads them.

use super::*;
use crc_fast::CrcAlgorithm;

fn crc32(page: &[u8]) -> u32 {
    crc_fast::checksum(CrcAlgorithm::Crc32IsoHdlc, page) as u32
}

#[test]
fn pages_equal_those_that_litestream_restores() {
    for golden in Golden::all() {
        let FileParts { header, entries, .. } = verify(&golden.bytes).expect(&golden.name);
        let restored = golden.restored_at(header.max_txid);
        assert_eq!(header.commit as usize, restored.len(), "{}", golden.name);
        let decoded = pages(&golden.bytes, &header, &entries).expect(&golden.name);
        for (pgno, page) in &decoded {
            assert!(restored.contains(&(*pgno, crc32(page))), "page {pgno} of {}", golden.name);
        }
        let is_complete = header.is_snapshot();
        assert_eq!(is_complete, decoded.len() == restored.len(), "{}", golden.name);
    }
}

#[test]
fn headers_and_trailers_are_parsed_and_encoded_again() {
    for golden in Golden::all() {
        let FileParts { header, trailer, .. } = verify(&golden.bytes).expect(&golden.name);
        let kind = golden.name.split_once('/').expect("a directory").1;
        let range = match kind {
            "level-0-first.ltx" => (1, 1),
            "level-0-last.ltx" => (4, 4),
            "level-1.ltx" => (2, 4),
            _ => (1, 4),
        };
        assert_eq!((header.min_txid.0, header.max_txid.0), range, "{}", golden.name);
        assert_eq!(header.wal_offset == 0, kind == "level-1.ltx", "{}", golden.name);
        assert!(!header.has_checksums() && trailer.post_apply_checksum == 0, "{}", golden.name);
        assert!(golden.name.contains(&format!("-{}/", header.page_size)), "{}", golden.name);
        assert_eq!(header.encode(), golden.bytes[..Header::SIZE], "{}", golden.name);
        assert_eq!(trailer.encode(), golden.bytes[golden.bytes.len() - Trailer::SIZE..], "{}", golden.name);
    }
}

/// Of a large file, only the start and the end are read.
#[test]
fn indexes_are_found_from_the_end_of_the_file() {
    for golden in Golden::all() {
        let verified = verify(&golden.bytes).expect(&golden.name);
        let size = golden.bytes.len() as u64;
        let tail = &golden.bytes[golden.bytes.len() - 24..];
        let range = index_range(size, tail).expect(&golden.name);
        assert_eq!(index_range(size, &golden.bytes), Ok(range.clone()), "{}", golden.name);
        let index = &golden.bytes[range.start as usize..range.end as usize];
        assert_eq!(parse_index(index, &verified.header, range.start), Ok(verified.entries), "{}", golden.name);
    }
}

/// The compressed bytes and the offsets in the index may differ, because compressors make different choices. Nothing else may differ.
#[test]
fn files_that_are_encoded_again_have_the_same_content() {
    for golden in Golden::all() {
        let verified = verify(&golden.bytes).expect(&golden.name);
        let content = pages(&golden.bytes, &verified.header, &verified.entries).expect(&golden.name);
        for form in [Form::Block, Form::Frame] {
            let mut encoder = Encoder::new(verified.header, form);
            content.iter().for_each(|(pgno, page)| encoder.page(*pgno, page));
            let file = encoder.finish();
            let again = verify(&file).expect(&golden.name);
            assert_eq!(again.header, verified.header, "{}", golden.name);
            assert_eq!(pages(&file, &again.header, &again.entries).as_ref(), Ok(&content), "{}", golden.name);
            let head = |file: &[u8], entry: &IndexEntry| file[entry.offset as usize..][..6].to_vec();
            let same_head = head(&file, &again.entries[0]) == head(&golden.bytes, &verified.entries[0]);
            assert_eq!(same_head, form == golden.form(), "{}", golden.name);
        }
    }
}

/// The positions of the pages determine the bytes of the index, so the encoder writes the same ones as Litestream.
#[test]
fn indexes_are_encoded_byte_for_byte() {
    for golden in Golden::all() {
        let verified = verify(&golden.bytes).expect(&golden.name);
        let range = index_range(golden.bytes.len() as u64, &golden.bytes).expect(&golden.name);
        let mut index = Vec::new();
        index::encode_index(&verified.entries, &mut index);
        assert_eq!(index, golden.bytes[range.start as usize..range.end as usize], "{}", golden.name);
    }
}

/// `docs/format.md` shows one of these files completely.
#[test]
fn the_example_in_the_documentation_is_a_golden_file() {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/format.md")).expect("format.md");
    let (_, dump) = page.split_once("```hex").expect("an example");
    let (dump, _) = dump.split_once("```").expect("the end of the example");
    let lines = dump.lines().filter_map(|line| line.split_once(": "));
    let bytes = lines.flat_map(|(_, bytes)| bytes.split_whitespace());
    let example: Vec<u8> = bytes.map(|byte| u8::from_str_radix(byte, 16).expect("a byte")).collect();
    let golden = Golden::all().into_iter().find(|golden| golden.name == "0.5.17-4096/level-0-last.ltx");
    assert_eq!(example, golden.expect("the file in the example").bytes);
}
