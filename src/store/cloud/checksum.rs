//! The checksums that services send with whole objects.
//!
//! They cover the stored object, so they are compared only if the response contains the whole object. An object that was corrupted in
//! transit is then fetched again. Corruption at rest is detected by the checksums inside the file.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, checksum};

/// The headers with a checksum in Base64, its algorithm and its length in bytes.
const HEADERS: [(&str, CrcAlgorithm, usize); 4] = [
    ("x-amz-checksum-crc32c", CrcAlgorithm::Crc32Iscsi, 4),
    ("x-amz-checksum-crc32", CrcAlgorithm::Crc32IsoHdlc, 4),
    ("x-amz-checksum-crc64nvme", CrcAlgorithm::Crc64Nvme, 8),
    ("x-goog-hash", CrcAlgorithm::Crc32Iscsi, 4),
];

/// Returns whether one of the checksums differs from that of the object. `header` returns all values of a header.
pub(super) fn contradicts<'a, V>(object: &[u8], header: impl Fn(&'static str) -> V) -> bool
where
    V: Iterator<Item = &'a str>,
{
    HEADERS.iter().any(|&(name, algorithm, length)| {
        let sent = header(name).flat_map(|value| value.split(',')).filter_map(|value| match name {
            "x-goog-hash" => value.trim().strip_prefix("crc32c="),
            // A checksum over the checksums of parts ends with a hyphen and their number.
            _ => Some(value.trim()).filter(|value| !value.contains('-')),
        });
        let sent: Vec<&str> = sent.collect();
        if sent.is_empty() {
            return false;
        }
        let computed = checksum(algorithm, object).to_be_bytes();
        let computed = STANDARD.encode(&computed[computed.len() - length..]);
        sent.iter().any(|sent| *sent != computed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_of_the_whole_object_is_compared() {
        let of = |name: &'static str, value: &'static str| {
            contradicts(b"123456789", |header| (header == name).then_some(value).into_iter())
        };
        for (name, right, wrong) in [
            ("x-amz-checksum-crc32c", "4waSgw==", "4waSgg=="),
            ("x-amz-checksum-crc32", "y/Q5Jg==", "y/Q5Jw=="),
            ("x-amz-checksum-crc64nvme", "rosUhgp5mIg=", "rosUhgp5mIk="),
            ("x-goog-hash", "md5=JfnnlDI7RTiF9RgfGNNN1w==,crc32c=4waSgw==", "crc32c=AAAAAA=="),
        ] {
            assert!(!of(name, right) && of(name, wrong), "{name}");
        }
        assert!(!of("x-amz-checksum-crc32c", "4waSgg==-2"), "a checksum of parts is not compared");
        assert!(!of("x-goog-hash", "md5=AAAA") && !of("content-md5", "AAAA"));
    }
}
