//! Compares what a test finds with a committed file.

use std::path::Path;

/// Asserts that a text is that of a file of this package, whose content is `expected`. With `LITESTREAM_VFS_WRITE_MATRIX` set, writes the file instead.
pub(crate) fn compare(found: &str, path: &str, expected: &str) {
    if std::env::var_os("LITESTREAM_VFS_WRITE_MATRIX").is_some() {
        return std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(path), found).expect("a file is written");
    }
    let differs = |(one, other): &(&str, &str)| one != other;
    let first = found.lines().zip(expected.lines()).find(differs);
    assert!(
        found == expected,
        "{path} differs from what was found, first in {first:?}; LITESTREAM_VFS_WRITE_MATRIX=1 writes it again"
    );
}
