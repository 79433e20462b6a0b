//! A replica URL taken apart, and the form of it that may be shown.

use percent_encoding::percent_decode_str;
use url::{Url, form_urlencoded};

/// What stands before the colon, in lower case, and what follows it.
///
/// One letter is no scheme but a drive, as in `C:\replica`.
pub(super) fn scheme(url: &str) -> Option<(String, &str)> {
    let (scheme, rest) = url.split_once(':')?;
    let valid = scheme.len() >= 2
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    valid.then(|| (scheme.to_ascii_lowercase(), rest))
}

/// The parts of a URL whose host is a bucket or a server.
pub(super) struct UrlParts<'a> {
    /// What stands before an `@`.
    pub userinfo: Option<&'a str>,
    /// Host and port, as written.
    pub host: &'a str,
    /// The path, decoded and cleaned, without a slash at either end.
    pub path: String,
    /// The query's pairs, decoded. Pairs without a value are left out, as Litestream does.
    pub query: Vec<(String, String)>,
}

impl<'a> UrlParts<'a> {
    /// Takes apart what follows the colon of the scheme. None without `//`.
    pub fn of(rest: &'a str) -> Option<UrlParts<'a>> {
        let rest = rest.strip_prefix("//")?;
        let (rest, _fragment) = cut(rest, '#');
        let (rest, query) = cut(rest, '?');
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo), host),
            None => (None, authority),
        };
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned();
        Some(UrlParts {
            userinfo,
            host,
            path: clean(&percent_decode_str(path).decode_utf8_lossy()),
            query: pairs.filter(|(_, value)| !value.is_empty()).collect(),
        })
    }
}

/// A value for a complaint, in quotes behind a blank; nothing of it if it looks like more than a word or a host.
pub(super) fn quoted(value: &str) -> String {
    const LONGEST: usize = 40;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".:/-_".contains(c);
    match value.len() <= LONGEST && value.chars().all(is_plain) {
        true => format!(" '{value}'"),
        false => String::new(),
    }
}

/// Whether a text may be the host of a URL, or several. Parsers of URLs take more, and do not agree where such a host ends.
pub(super) fn is_host(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || ".-_:[],%~".contains(c))
}

/// The user or the password that the part before a host spells.
#[cfg(any(feature = "nats", feature = "sftp"))]
pub(super) fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| "its user or password is not text in UTF-8".to_owned())
}

/// The text before the first `at`, and that after it.
pub(super) fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// The same path without empty segments, `.` and `..`, and without a slash at either end.
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

/// An endpoint as a person writes it, with a scheme: `http` for names that only mean something locally.
pub(super) fn endpoint(text: &str) -> Result<String, String> {
    let text = text.trim().trim_end_matches('/');
    let (is_complete, host) = match scheme(text) {
        Some((scheme, rest)) if scheme == "http" || scheme == "https" => (true, rest.trim_start_matches('/')),
        _ => (false, text),
    };
    if text.contains('@') {
        return Err("the endpoint holds credentials; set them in the environment".to_owned());
    }
    let complete = match (is_complete, is_local(host)) {
        (true, _) => text.to_owned(),
        (false, true) => format!("http://{text}"),
        (false, false) => format!("https://{text}"),
    };
    match Url::parse(&complete) {
        Ok(parsed) if parsed.has_host() && parsed.query().is_none() && parsed.fragment().is_none() => Ok(complete),
        _ => Err(format!("the endpoint{} is no URL of a server, as in http://localhost:9000", quoted(text))),
    }
}

/// Whether a host, with or without a port and a path, is this machine or one of a private network.
pub(super) fn is_local(host: &str) -> bool {
    let host = host.split('/').next().unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
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
    fn a_url_is_taken_apart_as_litestream_does() {
        let (name, rest) =
            scheme("S3://user:pw@bucket/a%20b//./c/../d/?region=&endpoint=http%3A%2F%2Fx#f").expect("a URL");
        let parts = UrlParts::of(rest).expect("parts");
        assert_eq!((name.as_str(), parts.host, parts.path.as_str()), ("s3", "bucket", "a b/d"));
        assert_eq!(parts.userinfo, Some("user:pw"));
        assert_eq!(parts.query, [("endpoint".to_owned(), "http://x".to_owned())]);
        assert!(scheme(r"C:\replica").is_none());
        assert!(scheme("/srv/replica").is_none());
        assert!(UrlParts::of("bucket/path").is_none());
    }

    #[test]
    fn an_endpoint_gets_the_scheme_that_its_host_suggests() {
        for (text, complete) in [
            ("localhost:9000", "http://localhost:9000"),
            ("127.0.0.1:9000/", "http://127.0.0.1:9000"),
            ("192.168.7.1", "http://192.168.7.1"),
            ("minio.local:9000", "http://minio.local:9000"),
            ("[::1]:9000", "http://[::1]:9000"),
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
            let complaint = endpoint(text).expect_err(text);
            assert!(!complaint.contains("hush"), "{complaint}");
        }
    }
}
