//! Costs: the size of the library, repeated reads, loading, and memory.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::Path;

const MEBIBYTE: u64 = 1 << 20;

#[test]
fn the_release_library_is_small() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target directory");
    let library = target.join("release").join(format!("{DLL_PREFIX}litestream_vfs{DLL_SUFFIX}"));
    let built =
        library.metadata().unwrap_or_else(|error| panic!("{}: {error}; `scripts/test` builds it", library.display()));
    assert!(built.len() < 14 * MEBIBYTE, "{} has {} bytes", library.display(), built.len());
}

#[cfg(unix)]
#[test]
fn repeated_reads_by_many_connections_cost_the_requests_of_one() {
    use crate::support::hosts::Host;
    use crate::support::litestream::Destination;
    use crate::support::s3::S3Server;
    use crate::support::sample::upload_sample;

    let server = S3Server::start();
    upload_sample(&server, "sample");
    let destination = Destination::s3(&server, "sample");
    let requests = |connections: &str, times: &str| {
        let host = Host::python("repeated.py").arg(&destination.url).arg(connections).arg(times);
        assert_eq!(host.credentials(&destination).succeed(), "ok\n");
        server.take_requests().len()
    };
    let once = requests("1", "1");
    assert!(once > 0, "the replica was read from the server");
    assert_eq!(requests("1", "50"), once, "a warm connection sends no requests");
    assert_eq!(requests("10", "5"), once, "the connections share one cache");
}

#[cfg(target_os = "linux")]
#[test]
fn loading_starts_no_threads_and_opens_no_files() {
    use crate::support::extension::sample_url;
    use crate::support::hosts::Host;

    assert_eq!(Host::python("quiet_load.py").arg(sample_url()).succeed(), "ok\n");
}

/// With pages of 4 KiB, this would be a database of 40 GB. Its index takes 120 MB of memory, and 100 MB of the file.
#[cfg(target_os = "linux")]
#[test]
fn ten_million_pages_open_in_less_than_200_megabytes() {
    use crate::support::hosts::Host;
    use crate::support::snapshot::snapshot;

    const PAGES: u32 = 10_000_000;
    let dir = tempfile::tempdir().expect("a directory");
    let empty = rusqlite::Connection::open(dir.path().join("empty.db")).expect("a database");
    empty.execute_batch("PRAGMA page_size = 512; CREATE TABLE t (x)").expect("a table");
    let content = std::fs::read(dir.path().join("empty.db")).expect("a database");
    let pages = content.chunks(512).chain(std::iter::repeat(&[0u8; 512][..]));
    let (name, content) = snapshot(512, PAGES, pages);
    let snapshots = dir.path().join("replica/ltx/9");
    std::fs::create_dir_all(&snapshots).expect("a directory");
    std::fs::write(snapshots.join(name), content).expect("a snapshot");

    let url = format!("file://{}", dir.path().join("replica").display());
    let printed = Host::python("large.py").arg(url).succeed();
    let (pages, peak) = printed.trim().split_once(' ').expect("two numbers");
    assert_eq!(pages, PAGES.to_string());
    let peak: u64 = peak.parse().expect("kilobytes");
    assert!(peak < 200_000, "{peak} kB");
    println!("{peak} kB");
}
