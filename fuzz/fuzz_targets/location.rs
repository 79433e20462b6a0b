//! Parses arbitrary text as the URL of a replica, with arbitrary text as the value of every environment variable.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litestream_vfs::store::Location;

fuzz_target!(|input: (&str, &str)| {
    let (url, variable) = input;
    if let Ok(location) = Location::parse_with(url, |_| Some(variable.into())) {
        let _ = (location.place(), location.recipient(), location.to_string());
    }
});
