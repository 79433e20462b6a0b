//! Versions of files that HTTP tells apart: by ETags, and by length and time where a server gives none.

use super::Version;
use std::fmt::Display;

/// What stands for an ETag where there is none: no ETag begins with it.
const WITHOUT_TAG: &str = "size ";

/// The ETag without quotes and weakness: some servers quote it in one place and not in another, and some proxies call it weak.
fn bare(tag: &str) -> &str {
    tag.trim_start_matches("W/").trim_matches('"')
}

/// Which bytes a file has, by its ETag or what stands for it.
pub(super) fn version(tag: Option<&str>, size: u64, modified: impl Display) -> Version {
    match tag {
        Some(tag) => Version(bare(tag).into()),
        None => Version(format!("{WITHOUT_TAG}{size}, modified {modified}").into()),
    }
}

/// The ETag as If-Match wants it; None if there is none.
pub(super) fn if_match(version: &Version) -> Option<String> {
    (!version.0.starts_with(WITHOUT_TAG)).then(|| quoted(&version.0))
}

/// An ETag as If-Match wants it, however it came.
pub(super) fn quoted(tag: &str) -> String {
    format!("\"{}\"", bare(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_the_same_quoted_or_not_and_weak_or_not() {
        for tag in ["5e-1f", "\"5e-1f\"", "W/\"5e-1f\""] {
            let version = version(Some(tag), 7, "today");
            assert_eq!((&*version.0, if_match(&version).as_deref()), ("5e-1f", Some("\"5e-1f\"")));
        }
    }

    #[test]
    fn without_a_tag_length_and_time_tell_and_cannot_be_asked_for() {
        let before = version(None, 7, "today");
        assert_eq!(if_match(&before), None);
        assert_eq!(version(None, 7, "today"), before);
        assert!(version(None, 8, "today") != before && version(None, 7, "yesterday") != before);
    }
}
