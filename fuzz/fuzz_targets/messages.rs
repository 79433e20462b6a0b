//! Parses arbitrary bytes as the responses of an SFTP server, as the metadata of an object in NATS, and as the pause that a web server requests.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litestream_vfs::store::fuzzing;

fuzz_target!(|message: &[u8]| {
    fuzzing::sftp_response(message);
    fuzzing::sftp_version(message);
    if let Some(file) = fuzzing::nats_object(message) {
        assert!(file.name.min <= file.name.max, "{file:?}");
    }
    if let Ok(text) = str::from_utf8(message) {
        let (value, date) = text.split_once('\n').map_or((text, None), |(value, date)| (value, Some(date)));
        let _ = fuzzing::retry_after(value, date);
    }
});
