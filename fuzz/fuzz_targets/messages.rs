//! Parses arbitrary bytes as the responses of an SFTP server, and as the metadata of an object in NATS.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litestream_vfs::store::fuzzing;

fuzz_target!(|message: &[u8]| {
    fuzzing::sftp_response(message);
    fuzzing::sftp_version(message);
    if let Some(file) = fuzzing::nats_object(message) {
        assert!(file.name.min <= file.name.max, "{file:?}");
    }
});
