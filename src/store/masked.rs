//! The masked form of a URL, for errors, logs and the status.
//!
//! It shows the scheme, user, host and path, and the values of parameters that are known to be harmless. Everything else is
//! replaced by `***`. It accepts any text, because an error may be about a text that is not a URL.

use super::parameters::{is_name, plain};
use super::url::cut;
use percent_encoding::percent_decode_str;

const MASK: &str = "***";

/// Parameters whose values are not secret, in the form that [`plain`] returns.
const HARMLESS: [&str; 20] = [
    "anonymous",
    "clientcert",
    "concurrency",
    "concurrentwrites",
    "creds",
    "endpoint",
    "forcepathstyle",
    "insecurehostkey",
    "maxreconnects",
    "partsize",
    "reconnectwait",
    "region",
    "requirecontentmd5",
    "rootcas",
    "signpayload",
    "skipverify",
    "ssecustomeralgorithm",
    "storageclass",
    "timeout",
    "tls",
];

/// Masks the whole URL.
pub fn masked(url: &str) -> String {
    let (rest, fragment) = cut(url, '#');
    let (base, query) = cut(rest, '?');
    let mut shown = mask_user_info(base, url[base.len()..].contains('@'));
    for (number, pair) in query.iter().flat_map(|query| query.split('&')).enumerate() {
        shown.push(if number == 0 { '?' } else { '&' });
        shown.push_str(&masked_pair(pair));
    }
    if fragment.is_some_and(|fragment| !fragment.is_empty()) {
        shown.extend(["#", MASK]);
    }
    one_line(&shown)
}

/// Masks a URL and removes its query and fragment, so that the name of a file can be appended.
pub(super) fn masked_base(url: &str) -> String {
    let base = &url[..url.find(['?', '#']).unwrap_or(url.len())];
    one_line(mask_user_info(base, url[base.len()..].contains('@')).trim_end_matches('/'))
}

/// Replaces every control character and line break, so that names and responses from outside cannot begin a new line in a log.
pub fn one_line(text: &str) -> String {
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    text.replace(breaks, "\u{fffd}")
}

fn masked_pair(pair: &str) -> String {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    match pair.split_once('=') {
        None if pair.is_empty() => String::new(),
        Some((name, value)) if HARMLESS.contains(&plain(&decode(name)).as_str()) && !decode(value).contains('@') => {
            format!("{name}={value}")
        }
        Some((name, _)) if is_name(&decode(name)) => format!("{name}={MASK}"),
        _ => MASK.to_owned(),
    }
}

/// Masks the password in a URL without its query. `at_follows` is whether the query or the fragment contains an `@`: a password
/// that contains an unencoded `?` or `#` extends up to it.
fn mask_user_info(base: &str, at_follows: bool) -> String {
    let start = base.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = base.split_at(start);
    let end = rest.find('/').unwrap_or(rest.len());
    // If a password contains a slash that is not encoded, it ends at the last `@`.
    let at = rest[..end].rfind('@').or_else(|| rest[..end].contains(':').then(|| rest.rfind('@')).flatten());
    match at {
        Some(at) => format!("{scheme}{}{}", masked_user(scheme, &rest[..at]), &rest[at..]),
        None if at_follows && rest[..end].contains(':') => format!("{scheme}{}:{MASK}", cut(rest, ':').0),
        None => base.to_owned(),
    }
}

/// Masks the text before the `@`. Without a colon it is a user, but for NATS a token, and often a token for web servers.
fn masked_user(scheme: &str, user_info: &str) -> String {
    let is_plain = |user: &str| user.len() <= 64 && user.chars().all(|c| c.is_alphanumeric() || "._+-".contains(c));
    let is_token = ["nats://", "http://", "https://"].iter().any(|token| scheme.eq_ignore_ascii_case(token));
    match cut(user_info, ':') {
        (user, Some(_)) if is_plain(user) => format!("{user}:{MASK}"),
        (user, None) if is_plain(user) && !is_token => user.to_owned(),
        _ => MASK.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Location;
    use proptest::prelude::*;

    #[test]
    fn only_secrets_are_masked() {
        for (url, shown) in [
            ("s3://bucket/app?region=eu-west-1", "s3://bucket/app?region=eu-west-1"),
            ("s3://bucket/app?sseCustomerKey=hush&region=x", "s3://bucket/app?sseCustomerKey=***&region=x"),
            ("s3://bucket/app?sse%2Dcustomer%2Dkey=hush", "s3://bucket/app?sse%2Dcustomer%2Dkey=***"),
            ("s3://bucket/app?endpoint=http%3A%2F%2Fme%3Ahush%40host", "s3://bucket/app?endpoint=***"),
            ("s3://bucket/app?endpoint=http://host:9000", "s3://bucket/app?endpoint=http://host:9000"),
            ("abs://me@box/app?sas=sv%3D1%26sig%3Dhush", "abs://me@box/app?sas=***"),
            ("https://host/app?pwd=hush&h4sh=1&hush&#hush", "https://host/app?pwd=***&***&***&#***"),
            ("sftp://me:hush@host:22/app", "sftp://me:***@host:22/app"),
            ("sftp://me:hu/sh@host:22/app", "sftp://me:***@host:22/app"),
            ("sftp://me:hu?sh@host:22/app", "sftp://me:***?***"),
            ("sftp://me:hu#sh@host:22/app", "sftp://me:***#***"),
            ("sftp://me%3Ahush@host/app", "sftp://***@host/app"),
            ("sftp://me@host:22/app@1", "sftp://me@host:22/app@1"),
            ("https://hush@host/app", "https://***@host/app"),
            ("webdav://me@host/app", "webdav://me@host/app"),
            ("nats://me:hush@a,b/app", "nats://me:***@a,b/app"),
            ("NATS://hush@host:4222/app", "NATS://***@host:4222/app"),
            ("nats://host/app?seed=hush&jwt=hush&creds=/c", "nats://host/app?seed=***&jwt=***&creds=/c"),
            ("me:hush@host", "me:***@host"),
            ("file:///srv/a@b:c", "file:///srv/a@b:c"),
            (
                "s3://bucket/a\nb\r\u{2028}?region=\u{1b}[1m",
                "s3://bucket/a\u{fffd}b\u{fffd}\u{fffd}?region=\u{fffd}[1m",
            ),
        ] {
            assert_eq!(masked(url), shown);
        }
        assert_eq!(masked_base("sftp://me:hush@host/app/?key=hush"), "sftp://me:***@host/app");
        assert_eq!(masked_base("sftp://me:hush@host/app#a\nb"), "sftp://me:***@host/app");
    }

    const SECRET: &str = "h7u3s9h";

    /// The secret between arbitrary other characters.
    fn secret() -> impl Strategy<Value = String> {
        let around = "[a-zA-Z0-9!$*+,;~ %/?#&=:\n\"'\\\\-]{0,5}";
        (around, around).prop_map(|(before, behind)| format!("{before}{SECRET}{behind}"))
    }

    /// URLs of every scheme with a secret in one of the parts that may contain one.
    fn urls() -> impl Strategy<Value = String> {
        let schemes = ["s3", "gs", "abs", "oss", "nats", "sftp", "webdav", "webdavs", "http", "https", "S3", "ftp"];
        let scheme = prop::sample::select(schemes.to_vec());
        let harmless = prop::sample::select(vec!["", "region=x", "skipVerify=perhaps", "endpoint=%", "tls=1", "a=b"]);
        let name = prop::sample::select(vec![
            "pwd",
            "password",
            "token",
            "sas",
            "seed",
            "jwt",
            "sseCustomerKey",
            "x",
            "host-key",
        ]);
        let host =
            prop::sample::select(vec!["host", "host:99", "", "a,b", "b.host:9000", "[::1]:1", "ho st", "host:port"]);
        let path = prop::sample::select(vec!["", "/", "/app", "/a b/c%20d", "/../x"]);
        (scheme, host, path, harmless, name, secret(), 0..6u8).prop_map(
            |(scheme, host, path, harmless, name, secret, position)| match position {
                0 => format!("{scheme}://me:{secret}@{host}{path}?{harmless}"),
                1 => format!("{scheme}://{host}{path}?{harmless}&{name}={}", secret.replace('&', "")),
                2 => format!("{scheme}://{host}{path}?{name}={}&{harmless}", secret.replace('&', "")),
                3 => format!("{scheme}://{host}{path}?{harmless}#{secret}"),
                4 => format!("{scheme}://{host}{path}?{harmless}&{}", secret.replace(['&', '='], "")),
                _ => format!("{scheme}://me%3A{SECRET}@{host}{path}?{harmless}"),
            },
        )
    }

    proptest! {
        #[test]
        fn no_url_shows_its_secret(url in urls()) {
            let mut shown = vec![masked(&url), masked_base(&url)];
            match Location::parse_with(&url, |_| None) {
                Err(error) => shown.push(format!("{error} {error:?}")),
                Ok(location) => {
                    shown.push(format!("{location} {location:?} {location:#?} {:?}", location.recipient()));
                    match location.connect() {
                        Ok(store) => shown.push(format!("{store} {store:?} {store:#?}").replace('\n', " ")),
                        Err(error) => shown.push(format!("{error} {error:?}")),
                    }
                }
            }
            for text in shown {
                prop_assert!(!text.contains(SECRET), "{url:?} is shown as {text}");
            }
            prop_assert!(!masked(&url).contains(char::is_control));
        }

        #[test]
        fn any_text_can_be_masked(text in any::<String>()) {
            prop_assert!(!masked(&text).contains('\n') && !masked_base(&text).contains('\n'));
        }
    }
}
