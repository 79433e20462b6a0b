//! The checksums that services send with whole objects.
//!
//! They are of the stored object, so they are compared only if the answer has all of it. What is corrupted on the way
//! is then fetched again, and what is corrupted at rest shows in the checksums of the file itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, checksum};

/// A header with one checksum in Base64, its algorithm and its length in bytes.
const HEADERS: [(&str, CrcAlgorithm, usize); 4] = [
    ("x-amz-checksum-crc32c", CrcAlgorithm::Crc32Iscsi, 4),
    ("x-amz-checksum-crc32", CrcAlgorithm::Crc32IsoHdlc, 4),
    ("x-amz-checksum-crc64nvme", CrcAlgorithm::Crc64Nvme, 8),
    ("x-goog-hash", CrcAlgorithm::Crc32Iscsi, 4),
];

/// Whether one of the checksums is not that of the whole object. `header` gives all values of a header.
pub(super) fn contradicts<'a, V>(object: &[u8], header: impl Fn(&'static str) -> V) -> bool
where
    V: Iterator<Item = &'a str>,
{
    HEADERS.iter().any(|&(name, algorithm, length)| {
        let told = header(name).flat_map(|value| value.split(',')).filter_map(|value| match name {
            "x-goog-hash" => value.trim().strip_prefix("crc32c="),
            // A checksum of the checksums of parts is followed by their number.
            _ => Some(value.trim()).filter(|value| !value.contains('-')),
        });
        let told: Vec<&str> = told.collect();
        if told.is_empty() {
            return false;
        }
        let own = checksum(algorithm, object).to_be_bytes();
        let own = STANDARD.encode(&own[own.len() - length..]);
        told.iter().any(|told| *told != own)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_of_the_whole_object_is_compared() {
        let of = |name: &'static str, value: &'static str| {
            contradicts(b"123456789", |asked| (asked == name).then_some(value).into_iter())
        };
        for (name, right, wrong) in [
            ("x-amz-checksum-crc32c", "4waSgw==", "4waSgg=="),
            ("x-amz-checksum-crc32", "y/Q5Jg==", "y/Q5Jw=="),
            ("x-amz-checksum-crc64nvme", "rosUhgp5mIg=", "rosUhgp5mIk="),
            ("x-goog-hash", "md5=JfnnlDI7RTiF9RgfGNNN1w==,crc32c=4waSgw==", "crc32c=AAAAAA=="),
        ] {
            assert!(!of(name, right) && of(name, wrong), "{name}");
        }
        assert!(!of("x-amz-checksum-crc32c", "4waSgg==-2"), "a checksum of parts says nothing of the whole");
        assert!(!of("x-goog-hash", "md5=AAAA") && !of("content-md5", "AAAA"));
    }
}
