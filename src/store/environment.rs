//! Environment variables, and secrets.

use std::ffi::OsString;
use std::fmt;

/// The environment variables for parsing a URL. The function returns the value of a variable.
pub(super) struct Environment<'a>(pub &'a dyn Fn(&str) -> Option<OsString>);

impl Environment<'_> {
    /// An environment without variables.
    #[cfg(any(feature = "azure", feature = "nats", feature = "http", feature = "webdav"))]
    pub const EMPTY: Environment<'static> = Environment(&|_| None);

    /// Returns the value of a variable, or None if it is unset or empty.
    pub fn raw(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// Returns [`Environment::raw`] as text. Fails if it is not UTF-8.
    pub fn text(&self, name: &str) -> Result<Option<String>, String> {
        let text = self.raw(name).map(OsString::into_string).transpose();
        text.map_err(|_| format!("the environment variable {name} is not UTF-8"))
    }

    /// Returns the value of the first of these variables that is set.
    pub fn first(&self, names: &[&str]) -> Result<Option<String>, String> {
        for name in names {
            if let Some(value) = self.text(name)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

/// A text that is compared but never displayed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
