//! Byte ranges of files.

use super::*;
use crate::store::{Chunk, Listed, Version};

pub(super) fn listed(max: u64, version: &str) -> Listed {
    Listed {
        level: Level::SNAPSHOT,
        name: name(max),
        size: 1000,
        version: Some(Version(version.into())),
        modified_ms: 5,
    }
}

pub(super) fn chunk(version: &str) -> Chunk {
    Chunk { bytes: bytes(3).into(), file_size: 1000, version: Version(version.into()), modified_ms: 7 }
}

#[test]
fn a_part_is_that_of_one_version_and_one_range() {
    let cache = Directory::new();
    let (directory, range) = (cache.open(), 10..10 + u64::from(SIZE));
    directory.keep_part(&listed(7, "a"), &range, &chunk("b"));
    let found = |listed: &Listed, range: &std::ops::Range<u64>, expected: Option<&str>| {
        cache.open().part(listed, range, expected.map(|version| Version(version.into())).as_ref())
    };
    for expected in [None, Some("a"), Some("b")] {
        let part = found(&listed(7, "a"), &range, expected).expect("a part");
        assert_eq!((&part.bytes[..], part.file_size, part.modified_ms), (&bytes(3)[..], 1000, 7));
        assert_eq!(part.version, Version("b".into()));
    }
    assert!(found(&listed(7, "a"), &range, Some("c")).is_none());
    assert!(found(&listed(7, "b"), &range, None).is_none());
    assert!(found(&listed(8, "a"), &range, None).is_none());
    assert!(found(&Listed { size: 1001, ..listed(7, "a") }, &range, None).is_none());
    assert!(found(&Listed { version: None, ..listed(7, "a") }, &range, None).is_none());
    assert!(found(&listed(7, "a"), &(10..11), None).is_none());
    directory.forget_parts(Level::SNAPSHOT, name(7));
    assert!(found(&listed(7, "a"), &range, None).is_none());
}

#[test]
fn a_damaged_part_is_absent_and_is_replaced() {
    let cache = Directory::new();
    let (directory, range) = (cache.open(), 0..u64::from(SIZE));
    for damage in [&b""[..], b"\0", &[7; 10_000], &[0; 100_000]] {
        directory.keep_part(&listed(7, "a"), &range, &chunk("a"));
        let path = cache.files(".r-").remove(0);
        let whole = std::fs::read(&path).expect("a file");
        for at in (0..whole.len()).step_by(61) {
            let mut changed = whole.clone();
            changed[at] ^= 4;
            std::fs::write(&path, changed).expect("a file");
            assert!(directory.part(&listed(7, "a"), &range, None).is_none(), "byte {at}");
        }
        std::fs::write(&path, damage).expect("a file");
        assert!(directory.part(&listed(7, "a"), &range, None).is_none());
    }
    directory.keep_part(&listed(7, "a"), &range, &chunk("a"));
    assert_eq!(directory.part(&listed(7, "a"), &range, None).expect("a part").bytes, chunk("a").bytes);
    assert_eq!(cache.files(".r-").len(), 1);
    // One of another version that was listed in the same way is no better.
    directory.keep_part(&listed(7, "a"), &range, &chunk("b"));
    assert!(directory.part(&listed(7, "a"), &range, Some(&Version("b".into()))).is_some());
}
