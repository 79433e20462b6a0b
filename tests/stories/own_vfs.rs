//! Replicas that this library has written, read by Litestream's own extension.

use crate::support::extension;
use crate::support::hosts::Host;
use crate::support::litestream::Destination;
use crate::support::programs::program;
use crate::support::workload::{self, STEPS};
use std::path::{Path, PathBuf};

/// The extension of Litestream, from its Python package.
fn own_extension() -> PathBuf {
    let environment = program("litestream").parent().expect("a directory").join("../venv/lib");
    let python = environment.read_dir().expect("a Python environment").flatten().next().expect("a version of Python");
    let path = python.path().join("site-packages/litestream_vfs/litestream-vfs");
    let path = path.with_extension(std::env::consts::DLL_EXTENSION);
    assert!(path.exists(), "{} does not exist", path.display());
    path
}

fn dump(library: &Path, destination: &Destination) -> String {
    let ended = Host::python_with("dump.py", library).env("LITESTREAM_REPLICA_URL", &destination.url).run();
    assert!(ended.status.success(), "{}: {ended:?}", library.display());
    ended.stdout
}

#[test]
fn it_reads_what_was_written_with_every_page_size() {
    for page_size in [512, 4096, 65536] {
        let dir = tempfile::tempdir().expect("a directory");
        let destination = Destination::directory(&dir.path().join("replica"));
        let conn = extension::connect(&destination.url, &[("write_enabled", "1"), ("compaction", "1s")]);
        conn.execute_batch(&format!("PRAGMA page_size = {page_size}; PRAGMA auto_vacuum = INCREMENTAL"))
            .expect("a new database");
        for step in STEPS {
            workload::run(&conn, step);
        }
        conn.close().expect("it is closed");
        let ours = dump(extension::library(), &destination);
        assert!(ours.contains("'last'") && ours.len() > 500_000, "{} bytes", ours.len());
        assert!(dump(&own_extension(), &destination) == ours, "page size {page_size}");
    }
}
