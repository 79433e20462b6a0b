//! Names that contain what a URI contains, for hosts that open names only.
//!
//! | name | means |
//! |---|---|
//! | `litestream:s3://bucket/app?time=…` | the replica at this URL. Settings are taken from the query; the other parameters stay in the URL. |
//! | `litestream:s3%3A%2F%2Fbucket%2Fapp` | the same. The URL is encoded for hosts that take a slash for the end of a directory. |
//! | `litestream:` | the replica of `LITESTREAM_REPLICA_URL` |
//! | `file:app.db?vfs=litestream&…` | what SQLite opens by this URI if the host enables URIs |

use super::meaning::{SQLITE_PARAMETERS, selects_replica};
use crate::config::SETTINGS;
use crate::store::masked;
use percent_encoding::percent_decode_str;
use std::ffi::{CStr, CString};

/// A name that contains what a URI contains.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct TextName {
    /// The path that SQLite would get from the URI.
    pub(super) path: CString,
    /// The name as messages show it, with secrets masked.
    pub(super) shown: String,
    /// The parameters that SQLite would get from the URI.
    pub(super) parameters: Vec<(String, String)>,
}

const SCHEME: &str = "litestream:";
/// The name of a database whose URL has no path.
const UNNAMED: &str = "replica.db";

impl TextName {
    /// Parses a name. Returns None if it is an ordinary name.
    pub(super) fn parse(name: &CStr) -> Option<TextName> {
        let name = name.to_str().ok()?;
        match (own_scheme(name), name.strip_prefix("file:")) {
            (Some(rest), _) => TextName::of_url(rest),
            (None, Some(rest)) => TextName::of_uri(rest),
            (None, None) => None,
        }
    }

    /// Returns the value of a parameter.
    pub(super) fn parameter(&self, key: &str) -> Option<String> {
        find(&self.parameters, key)
    }

    /// Parses the text after `litestream:`.
    fn of_url(text: &str) -> Option<TextName> {
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let base = if base.contains("://") { base.to_owned() } else { decoded(base) };
        // An encoded URL may contain a part of the query, or all of it.
        let (base, encoded_query) = base.split_once('?').unwrap_or((&base, ""));
        let (mut url, mut parameters) = (base.to_owned(), Vec::new());
        for pair in encoded_query.split('&').chain(query.split('&')).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = decoded(key);
            if SETTINGS.contains(&key.as_str()) || SQLITE_PARAMETERS.contains(&key.as_str()) {
                parameters.push((key, decoded(value)));
            } else {
                url.push(if url.contains('?') { '&' } else { '?' });
                url.push_str(pair);
            }
        }
        let shown = format!("{SCHEME}{}", masked(&url));
        let path = CString::new(database_name(&url)).ok()?;
        if !url.is_empty() {
            parameters.insert(0, ("replica_url".to_owned(), url));
        }
        parameters.push(("vfs".to_owned(), "litestream".to_owned()));
        Some(TextName { path, shown, parameters })
    }

    /// Parses the text after `file:`, as SQLite parses a URI.
    fn of_uri(text: &str) -> Option<TextName> {
        let (path, query) = text.split('#').next()?.split_once('?')?;
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let pairs = pairs.map(|(key, value)| (decoded(key), decoded(value)));
        let parameters: Vec<(String, String)> = pairs.filter(|(key, _)| !key.is_empty()).collect();
        if !selects_replica(&|key| find(&parameters, key)) {
            return None;
        }
        let path = match path.strip_prefix("//") {
            Some(rest) => &rest[rest.find('/').unwrap_or(rest.len())..],
            None => path,
        };
        let path = Some(decoded(path)).filter(|path| !path.is_empty()).unwrap_or_else(|| UNNAMED.to_owned());
        Some(TextName { shown: path.clone(), path: CString::new(path).ok()?, parameters })
    }
}

/// Returns the value of the first parameter with this key.
pub(super) fn find(parameters: &[(String, String)], key: &str) -> Option<String> {
    parameters.iter().find(|(k, _)| k == key).map(|(_, value)| value.clone())
}

/// Returns the text after `litestream:`. A host may have put a directory before a name without slashes.
fn own_scheme(name: &str) -> Option<&str> {
    let is_separator = |c| c == '/' || (cfg!(windows) && c == '\\');
    let last = &name[name.rfind(is_separator).map_or(0, |at| at + 1)..];
    name.strip_prefix(SCHEME).or_else(|| last.strip_prefix(SCHEME))
}

/// Returns the last part of a URL's path, as the name of its database. Never a part of the URL that can contain a secret.
fn database_name(url: &str) -> String {
    let base = &url[..url.find(['?', '#']).unwrap_or(url.len())];
    let path = match base.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => base.split_once(':').map_or("", |(_, path)| path),
    };
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let is_usable = !name.is_empty() && name.chars().all(is_plain) && !name.starts_with('.');
    if is_usable { name.to_owned() } else { UNNAMED.to_owned() }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str) -> Option<(String, Vec<(String, String)>)> {
        let parsed = TextName::parse(&CString::new(name).expect("no NUL"))?;
        let parameters = parsed.parameters.into_iter().filter(|(key, _)| key != "vfs").collect();
        Some((parsed.path.into_string().expect("UTF-8"), parameters))
    }

    fn named(path: &str, parameters: &[(&str, &str)]) -> Option<(String, Vec<(String, String)>)> {
        let owned = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
        Some((path.to_owned(), parameters.iter().map(owned).collect()))
    }

    #[test]
    fn a_url_is_divided_into_settings_and_the_url_of_the_replica() {
        let url = ("replica_url", "s3://bucket/app");
        assert_eq!(parse("litestream:s3://bucket/app"), named("app", &[url]));
        assert_eq!(parse("litestream:s3%3A%2F%2Fbucket%2Fapp"), named("app", &[url]));
        assert_eq!(parse("/home/me/litestream:s3%3A%2F%2Fbucket%2Fapp"), named("app", &[url]));
        let past = named("app", &[url, ("time", "1 hour ago"), ("cache_size", "1MB")]);
        assert_eq!(parse("litestream:s3://bucket/app?time=1%20hour%20ago&cache_size=1MB"), past);
        let endpoint = ("replica_url", "s3://bucket/a?endpoint=http://host:9000&region=x%20y");
        let with_both = "litestream:s3://bucket/a?endpoint=http://host:9000&txid=000000000000002a&region=x%20y";
        assert_eq!(parse(with_both), named("a", &[endpoint, ("txid", "000000000000002a")]));
        assert_eq!(
            parse("litestream:s3%3A%2F%2Fb%2Fa%3Fendpoint%3Dhost?verify=full&region=x"),
            named("a", &[("replica_url", "s3://b/a?endpoint=host&region=x"), ("verify", "full")])
        );
        assert_eq!(parse("litestream:s3%3A%2F%2Fbucket%2Fapp%3Ftime%3D1%20hour%20ago%26cache_size%3D1MB"), past);
        assert_eq!(parse("litestream:file:///srv/app.db/"), named("app.db", &[("replica_url", "file:///srv/app.db/")]));
        assert_eq!(parse("litestream:"), named("replica.db", &[]));
        assert_eq!(parse("litestream:?time=now"), named("replica.db", &[("time", "now")]));
    }

    #[test]
    fn no_secret_is_in_the_path_or_shown() {
        for url in ["sftp://me:hush@host", "nats://hush@host", "webdav://me:hush@host/", "s3://me:hush@b/a?token=hush"]
        {
            let name = CString::new(format!("{SCHEME}{url}")).expect("no NUL");
            let parsed = TextName::parse(&name).expect(url);
            assert!(!format!("{:?} {}", parsed.path, parsed.shown).contains("hush"), "{parsed:?}");
        }
    }

    #[test]
    fn a_uri_as_text_has_the_path_and_parameters_that_sqlite_reads() {
        let url = ("replica_url", "s3://b/p?x=1");
        let parameters = [("vfs", "litestream"), url, ("mode", "ro")];
        let parsed = parse("file:my%20app.db?vfs=litestream&replica_url=s3%3A%2F%2Fb%2Fp%3Fx%3D1&mode=ro#x");
        assert_eq!(parsed, named("my app.db", &parameters[1..]));
        assert_eq!(
            parse("file:///srv/app.db?replica_url=s3://b/p"),
            named("/srv/app.db", &[("replica_url", "s3://b/p")])
        );
        assert_eq!(parse("file:?vfs=litestream"), named("replica.db", &[]));
        for local in
            ["file:app.db", "file:app.db?mode=ro", "file:a?vfs=unix", "app.db", "/d/app.db", "a?vfs=litestream"]
        {
            assert_eq!(parse(local), None, "{local}");
        }
    }

    #[test]
    fn a_name_that_is_not_utf_8_is_an_ordinary_name() {
        assert_eq!(TextName::parse(c"litestream:\xff"), None);
    }
}
