//! Parsing of replica URLs and of endpoints.

use percent_encoding::percent_decode_str;
use url::{Url, form_urlencoded};

/// Splits a URL into its scheme, in lower case, and the text after the colon. Returns None if there is no scheme.
///
/// A single letter is not a scheme but a drive, as in `C:\replica`.
pub(super) fn scheme(url: &str) -> Option<(String, &str)> {
    let (scheme, rest) = url.split_once(':')?;
    let valid = scheme.len() >= 2
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    valid.then(|| (scheme.to_ascii_lowercase(), rest))
}

/// The parts of a URL whose host is a bucket or a server.
pub(super) struct UrlParts<'a> {
    /// The text before the `@`, still encoded.
    user_info: Option<&'a str>,
    /// Host and port, as written.
    pub host: &'a str,
    /// The path, decoded and cleaned, without a slash at either end.
    pub path: String,
    /// The pairs of the query, decoded. Pairs without a value are left out, as Litestream does.
    pub query: Vec<(String, String)>,
}

/// The user and the password in a URL, decoded.
#[derive(PartialEq, Eq)]
pub(super) struct UserInfo {
    /// None if it is empty.
    pub user: Option<String>,
    /// None if it is empty or there is no colon.
    pub password: Option<String>,
}

impl<'a> UrlParts<'a> {
    /// Parses the part of a URL after the colon of the scheme. Returns None if it does not begin with `//`.
    pub fn of(rest: &'a str) -> Option<UrlParts<'a>> {
        let rest = rest.strip_prefix("//")?;
        let (rest, _fragment) = cut(rest, '#');
        let (rest, query) = cut(rest, '?');
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user_info, host) = match authority.rsplit_once('@') {
            Some((user_info, host)) => (Some(user_info), host),
            None => (None, authority),
        };
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned();
        Some(UrlParts {
            user_info,
            host,
            path: clean(&percent_decode_str(path).decode_utf8_lossy()),
            query: pairs.filter(|(_, value)| !value.is_empty()).collect(),
        })
    }

    /// Returns the user and the password before the host, or None if there is no `@`.
    ///
    /// Fails if either is not UTF-8 once it is decoded, and if the user contains a colon: it could not be told from the
    /// colon before a password.
    pub fn user_info(&self) -> Result<Option<UserInfo>, String> {
        let Some(text) = self.user_info else { return Ok(None) };
        let decode = |text: &str| match percent_decode_str(text).decode_utf8() {
            Ok(decoded) => Ok(Some(decoded.into_owned()).filter(|decoded| !decoded.is_empty())),
            Err(_) => Err("the user or password in the URL is not UTF-8 after percent-decoding".to_owned()),
        };
        let (user, password) = cut(text, ':');
        let info = UserInfo { user: decode(user)?, password: decode(password.unwrap_or_default())? };
        match info.user.as_deref().is_some_and(|user| user.contains(':')) {
            true => {
                Err("the user in the URL contains an encoded colon; write user:password with a plain colon".to_owned())
            }
            false => Ok(Some(info)),
        }
    }
}

/// Formats a value for an error text: a blank and the value in quotes. Returns an empty string if the value is not a plain
/// word or host, because it may contain a secret.
pub(super) fn quoted(value: &str) -> String {
    const LONGEST: usize = 40;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".:/-_".contains(c);
    match value.len() <= LONGEST && value.chars().all(is_plain) {
        true => format!(" '{value}'"),
        false => String::new(),
    }
}

/// Returns whether a text has only characters of a host or of a list of hosts. URL parsers accept more characters, and disagree
/// about where such a host ends.
pub(super) fn is_host(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || ".-_:[],%~".contains(c))
}

/// Splits a text at the first `at`. The second part is None if there is no `at`.
pub(super) fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// Removes empty segments, `.`, `..`, and the slashes at both ends of a path.
pub(super) fn clean(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    segments.join("/")
}

/// Completes an endpoint with a scheme if it has none: `http` for local hosts, `https` for all others.
pub(super) fn endpoint(text: &str) -> Result<String, String> {
    let text = text.trim().trim_end_matches('/');
    let (is_complete, host) = match scheme(text) {
        Some((scheme, rest)) if scheme == "http" || scheme == "https" => (true, rest.trim_start_matches('/')),
        _ => (false, text),
    };
    if text.contains('@') {
        return Err("the endpoint contains credentials; set them in the environment instead".to_owned());
    }
    let complete = match (is_complete, is_local(host)) {
        (true, _) => text.to_owned(),
        (false, true) => format!("http://{text}"),
        (false, false) => format!("https://{text}"),
    };
    match Url::parse(&complete) {
        Ok(parsed) if parsed.has_host() && parsed.query().is_none() && parsed.fragment().is_none() => Ok(complete),
        _ => Err(format!(
            "the endpoint{} is not the URL of a server; write for example http://localhost:9000",
            quoted(text)
        )),
    }
}

/// Splits a host into its name and its port. A colon inside the brackets of an IPv6 address does not separate a port.
pub(super) fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    }
}

/// Returns whether a host is this machine or belongs to a private network. The host may be followed by a port and a path.
pub(super) fn is_local(host: &str) -> bool {
    let host = host.split('/').next().unwrap_or_default();
    let (name, _) = split_port(host);
    let is_private = match name.trim_matches(['[', ']']).parse() {
        Ok(std::net::IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private(),
        Ok(std::net::IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local(),
        Err(_) => false,
    };
    is_private || name == "localhost" || name.ends_with(".localhost") || name.ends_with(".local")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_parsed_as_litestream_parses_it() {
        let (name, rest) =
            scheme("S3://user:pw@bucket/a%20b//./c/../d/?region=&endpoint=http%3A%2F%2Fx#f").expect("a URL");
        let parts = UrlParts::of(rest).expect("parts");
        assert_eq!((name.as_str(), parts.host, parts.path.as_str()), ("s3", "bucket", "a b/d"));
        let info = parts.user_info().expect("UTF-8").expect("a user");
        assert_eq!((info.user.as_deref(), info.password.as_deref()), (Some("user"), Some("pw")));
        assert_eq!(parts.query, [("endpoint".to_owned(), "http://x".to_owned())]);
        assert!(scheme(r"C:\replica").is_none());
        assert!(scheme("/srv/replica").is_none());
        assert!(UrlParts::of("bucket/path").is_none());
    }

    #[test]
    fn user_and_password_are_decoded_or_refused() {
        let info = |rest: &str| UrlParts::of(rest).expect("parts").user_info();
        let expect = |user: &str, password: &str| {
            let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            Some(UserInfo { user: text(user), password: text(password) })
        };
        for (rest, expected) in [
            ("//host/p", None),
            ("//me@host/p", expect("me", "")),
            ("//me:@host/p", expect("me", "")),
            ("//:pw@host/p", expect("", "pw")),
            ("//m%65:p%40:s@host/p", expect("me", "p@:s")),
            ("//me:p@ss@host/p", expect("me", "p@ss")),
        ] {
            assert!(info(rest) == Ok(expected), "{rest}");
        }
        for (rest, part) in [("//m%ff@host", "not UTF-8"), ("//me:%ff@host", "not UTF-8"), ("//me%3Apw@host", "colon")]
        {
            assert!(info(rest).err().is_some_and(|error| error.contains(part)), "{rest}");
        }
    }

    #[test]
    fn an_endpoint_without_a_scheme_gets_one_by_its_host() {
        for (text, complete) in [
            ("localhost:9000", "http://localhost:9000"),
            ("127.0.0.1:9000/", "http://127.0.0.1:9000"),
            ("192.168.7.1", "http://192.168.7.1"),
            ("minio.local:9000", "http://minio.local:9000"),
            ("[::1]:9000", "http://[::1]:9000"),
            ("[::1]", "http://[::1]"),
            ("s3.example.com", "https://s3.example.com"),
            ("10.example.com", "https://10.example.com"),
            ("127.0.0.1.example.com", "https://127.0.0.1.example.com"),
            ("localhost.example.com:9000", "https://localhost.example.com:9000"),
            ("192.168.1.2.s3.amazonaws.com", "https://192.168.1.2.s3.amazonaws.com"),
            ("my-localhost", "https://my-localhost"),
            ("172.16.0.9:9000", "http://172.16.0.9:9000"),
            ("172.32.0.9", "https://172.32.0.9"),
            ("8.8.8.8", "https://8.8.8.8"),
            ("https://localhost:9000", "https://localhost:9000"),
            ("http://s3.example.com/base/", "http://s3.example.com/base"),
        ] {
            assert_eq!(endpoint(text).as_deref(), Ok(complete));
        }
        for text in ["http://", "a b", "host:port", "http://host/?x", "http://me:hush@host"] {
            let error = endpoint(text).expect_err(text);
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
