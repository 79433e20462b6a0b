//! What users pay: for having the library, and for asking it again.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::Path;

const MEBIBYTE: u64 = 1 << 20;

#[test]
fn the_release_library_is_small() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target directory");
    let library = target.join("release").join(format!("{DLL_PREFIX}litestream_vfs{DLL_SUFFIX}"));
    let built =
        library.metadata().unwrap_or_else(|error| panic!("{}: {error}; `scripts/test` builds it", library.display()));
    assert!(built.len() < 14 * MEBIBYTE, "{} has {} bytes", library.display(), built.len());
}

#[cfg(unix)]
#[test]
fn what_was_read_once_is_asked_for_once_however_many_connections_read_it() {
    use crate::stories::sample::upload_sample;
    use crate::support::hosts::Host;
    use crate::support::litestream::Place;
    use crate::support::s3::S3Server;

    let server = S3Server::start();
    upload_sample(&server, "sample");
    let place = Place::s3(&server, "sample");
    let requests = |connections: &str, times: &str| {
        let host = Host::python("repeated.py").arg(&place.url).arg(connections).arg(times);
        assert_eq!(host.credentials(&place).succeed(), "ok\n");
        server.take_requests().len()
    };
    let once = requests("1", "1");
    assert!(once > 0, "the replica was read from the server");
    assert_eq!(requests("1", "50"), once, "a warm connection asks again");
    assert_eq!(requests("10", "5"), once, "each connection asks for itself");
}

#[cfg(target_os = "linux")]
#[test]
fn loading_starts_nothing() {
    use crate::support::extension::sample_url;
    use crate::support::hosts::Host;

    assert_eq!(Host::python("quiet_load.py").arg(sample_url()).succeed(), "ok\n");
}
