//! The URL schemes and the features that support them.

/// A URL scheme.
pub(super) struct Scheme {
    name: &'static str,
    /// A URL with this scheme.
    pub example: &'static str,
    /// The feature that this scheme needs; empty if none.
    pub feature: &'static str,
    is_built: bool,
}

const SCHEMES: [Scheme; 11] = [
    always("file", "file:///srv/replica"),
    always("s3", "s3://bucket/path"),
    with_feature("gs", "gs://bucket/path", "gcs", cfg!(feature = "gcs")),
    with_feature("abs", "abs://account@container/path", "azure", cfg!(feature = "azure")),
    always("oss", "oss://bucket/path"),
    with_feature("nats", "nats://host/bucket", "nats", cfg!(feature = "nats")),
    with_feature("sftp", "sftp://user@host/path", "sftp", cfg!(feature = "sftp")),
    with_feature("webdav", "webdav://user@host/path", "webdav", cfg!(feature = "webdav")),
    with_feature("webdavs", "webdavs://user@host/path", "webdav", cfg!(feature = "webdav")),
    with_feature("http", "http://host/path", "http", cfg!(feature = "http")),
    with_feature("https", "https://host/path", "http", cfg!(feature = "http")),
];

const fn always(name: &'static str, example: &'static str) -> Scheme {
    with_feature(name, example, "", true)
}

const fn with_feature(name: &'static str, example: &'static str, feature: &'static str, is_built: bool) -> Scheme {
    Scheme { name, example, feature, is_built }
}

/// Returns the scheme of that name, whether or not this build supports it.
pub(super) fn find(name: &str) -> Option<&'static Scheme> {
    SCHEMES.iter().find(|scheme| scheme.name == name)
}

/// Lists the supported schemes with examples, for error texts.
pub(super) fn supported() -> String {
    let built = SCHEMES.iter().filter(|scheme| scheme.is_built);
    let shown: Vec<String> = built.map(|scheme| format!("{} ({})", scheme.name, scheme.example)).collect();
    shown.join(", ")
}
