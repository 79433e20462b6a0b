//! Parses arbitrary text as a point in time and as the value of every setting.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litestream_vfs::config::Settings;
use litestream_vfs::time;

fuzz_target!(|text: &str| {
    let _ = time::parse(text);
    let _ = Settings::read(|_| Some(text.to_owned()));
    // One at a time, because the first error ends the reading.
    let (name, value) = text.split_once('=').unwrap_or_default();
    let _ = Settings::read(|parameter| (parameter == name).then(|| value.to_owned()));
});
