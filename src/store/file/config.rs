//! The configuration of a directory, from a `file` URL.

use crate::store::url::{clean, cut};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::env;
use std::io;
use std::path::{Path, PathBuf};

/// The directories that a `file` URL may refer to, most likely first.
///
/// Litestream 0.5 uses the text of the URL as the path: it writes `file:///srv/a%20b` and `file:///srv/a b` to a directory called
/// `a%20b`, and `file://replica` to `/replica`. The user probably means `a b`, and `replica` in the current directory. The first of
/// these directories that exists is the replica.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::store) struct FileConfig {
    candidates: Vec<PathBuf>,
}

impl FileConfig {
    /// Parses the part of a URL after `file:`.
    pub fn parse(rest: &str) -> Result<FileConfig, String> {
        let (text, _query) = cut(rest, '?');
        let (absolute, text) = match text.strip_prefix("//") {
            Some(text) => (true, text),
            None => (text.starts_with('/'), text),
        };
        if text.is_empty() {
            return Err("the URL names no directory; write file:///srv/replica".to_owned());
        }
        let (path, fragment) = text.split_at(text.find('#').unwrap_or(text.len()));
        let as_litestream = format!("{}{fragment}", encode_as_go(path));
        let local = text.strip_prefix("localhost").filter(|text| text.starts_with('/')).unwrap_or(text);
        let as_meant = percent_decode_str(local).decode_utf8_lossy();
        let current = env::current_dir().map_err(|error| format!("there is no current directory: {error}"));
        let first = if absolute { rooted(&as_litestream) } else { relative_to(current.clone()?, &as_litestream) };
        let second = if local.starts_with('/') { rooted(&as_meant) } else { relative_to(current?, &as_meant) };
        let mut candidates = vec![first, second];
        candidates.dedup();
        Ok(FileConfig { candidates })
    }

    /// Returns the directories that the URL may refer to.
    pub fn candidates(&self) -> &[PathBuf] {
        &self.candidates
    }

    /// Returns the first of them that exists, or else the first. Asks the system.
    pub(super) fn directory(&self) -> &Path {
        let found = if self.candidates.len() > 1 { self.candidates.iter().find(|path| may_be(path)) } else { None };
        found.unwrap_or(&self.candidates[0])
    }
}

/// Whether a path is a directory, or could be one if the system returned no error.
fn may_be(path: &Path) -> bool {
    match path.metadata() {
        Ok(metadata) => metadata.is_dir(),
        Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    }
}

/// Returns a cleaned absolute path. On Windows, `/C:/replica` becomes `C:/replica`.
fn rooted(path: &str) -> PathBuf {
    let path = clean(path);
    let drive = path.as_bytes().get(1) == Some(&b':') && path.starts_with(|c: char| c.is_ascii_alphabetic());
    if cfg!(windows) && drive { PathBuf::from(path) } else { PathBuf::from(format!("/{path}")) }
}

/// Returns a cleaned path, resolved relative to `directory`. It may be outside of it.
fn relative_to(mut directory: PathBuf, path: &str) -> PathBuf {
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(directory.pop()),
            segment => directory.push(segment),
        }
    }
    directory
}

/// Encodes the path of a URL as Go's `net/url` does: unchanged if it is validly encoded, otherwise decoded and encoded again.
fn encode_as_go(path: &str) -> String {
    const KEPT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    const KEPT_IN_PATHS: AsciiSet = KEPT.remove(b'$').remove(b'&').remove(b'+').remove(b',').remove(b'/');
    const ENCODED: AsciiSet = KEPT_IN_PATHS.remove(b':').remove(b';').remove(b'=').remove(b'@');
    if path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@!'()*[]%".contains(&b)) {
        return path.to_owned();
    }
    utf8_percent_encode(&percent_decode_str(path).decode_utf8_lossy(), &ENCODED).to_string()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_the_path_of_litestream_and_the_decoded_path() {
        let current = env::current_dir().expect("a directory");
        let here = |path: &str| current.join(path).to_str().expect("text").to_owned();
        let relative = here("relative/dir");
        let opaque = here("replica");
        let beside = current.parent().expect("a parent").join("replica").to_str().expect("text").to_owned();
        let cases: [(&str, &[&str]); 12] = [
            ("///srv/replica", &["/srv/replica"]),
            ("///srv//x/../replica/?a=b", &["/srv/replica"]),
            ("/srv/replica", &["/srv/replica"]),
            ("///srv/a%20b", &["/srv/a%20b", "/srv/a b"]),
            ("///srv/a b", &["/srv/a%20b", "/srv/a b"]),
            ("///srv/a+b@1,(x)", &["/srv/a+b@1,(x)"]),
            ("///srv/a#b", &["/srv/a#b"]),
            ("//relative/dir", &["/relative/dir", &relative]),
            ("//localhost/srv/a", &["/localhost/srv/a", "/srv/a"]),
            ("replica", &[&opaque]),
            ("./x/../replica", &[&opaque]),
            ("../replica", &[&beside]),
        ];
        for (rest, paths) in cases {
            let config = FileConfig::parse(rest).expect(rest);
            let candidates: Vec<_> = config.candidates.iter().map(|path| path.to_str().expect("text")).collect();
            assert_eq!(candidates, paths, "{rest}");
        }
    }
}
