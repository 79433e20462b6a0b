//! Versions from HTTP headers: the ETag, or the size and time if there is no ETag.

use super::Version;
use std::fmt::Display;

/// The beginning of a version without an ETag. No ETag begins with it.
const WITHOUT_TAG: &str = "size ";

/// Removes the quotes and the weak marker of an ETag: some servers quote it in one response and not in another, and some proxies
/// mark it as weak.
fn bare(tag: &str) -> &str {
    tag.trim_start_matches("W/").trim_matches('"')
}

/// Returns the version of a file: its ETag, or its size and time of modification if it has none.
pub(super) fn version(tag: Option<&str>, size: u64, modified: impl Display) -> Version {
    match tag {
        Some(tag) => Version(bare(tag).into()),
        None => Version(format!("{WITHOUT_TAG}{size}, modified {modified}").into()),
    }
}

/// Returns the value for an `If-Match` header, or None if the version has no ETag.
pub(super) fn if_match(version: &Version) -> Option<String> {
    (!version.0.starts_with(WITHOUT_TAG)).then(|| quoted(&version.0))
}

/// Returns an ETag in quotes, as `If-Match` requires it.
pub(super) fn quoted(tag: &str) -> String {
    format!("\"{}\"", bare(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_weakness_of_a_tag_do_not_matter() {
        for tag in ["5e-1f", "\"5e-1f\"", "W/\"5e-1f\""] {
            let version = version(Some(tag), 7, "today");
            assert_eq!((&*version.0, if_match(&version).as_deref()), ("5e-1f", Some("\"5e-1f\"")));
        }
    }

    #[test]
    fn without_a_tag_the_version_is_size_and_time() {
        let before = version(None, 7, "today");
        assert_eq!(if_match(&before), None);
        assert_eq!(version(None, 7, "today"), before);
        assert!(version(None, 8, "today") != before && version(None, 7, "yesterday") != before);
    }
}
