//! Directories with unusual names, and every form of a file URL.

use crate::support::hosts::Host;
use std::path::Path;

#[test]
fn odd_names_relative_urls_and_a_late_first_backup_work() {
    let dir = tempfile::tempdir().expect("a directory");
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/replica");
    assert_eq!(Host::python("urls.py").arg(sample).arg(dir.path()).succeed(), "ok\n");
}
