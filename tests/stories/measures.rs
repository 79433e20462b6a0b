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
    assert!(built.len() < 12 * MEBIBYTE, "{} has {} bytes", library.display(), built.len());
}

#[cfg(unix)]
#[test]
fn what_was_read_once_is_asked_for_once_however_many_connections_read_it() {
    use crate::support::hosts::Host;
    use crate::support::litestream::Place;
    use crate::support::s3::S3Server;

    let server = S3Server::start();
    upload_sample(|level, name, file| {
        let object = server.path(&format!("sample/{level:04x}/{name}"));
        std::fs::create_dir_all(object.parent().expect("a key has a path")).expect("a directory is made");
        std::fs::copy(file, object).expect("a file is copied");
    });
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

/// Calls for each file of the sample: its level, its name, where it lies.
#[cfg(unix)]
fn upload_sample(put: impl Fn(u8, &str, &Path)) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/replica/ltx");
    for level in root.read_dir().expect("the sample is there").flatten() {
        let number = level.file_name().to_str().and_then(|name| name.parse().ok()).expect("levels are numbers");
        for file in level.path().read_dir().expect("a level is a directory").flatten() {
            put(number, file.file_name().to_str().expect("names are text"), &file.path());
        }
    }
}
