//! The lookup of one setting.

use crate::error::{Error, ErrorKind};

/// The value of a setting and its origin.
pub(super) struct Setting {
    /// The URI parameter or environment variable, as shown in errors.
    pub(super) origin: String,
    /// The value as written. None if the setting is missing or empty.
    pub(super) value: Option<String>,
}

/// Settings of a single connection, which have no environment variable.
const URI_ONLY: [&str; 2] = ["time", "txid"];

impl Setting {
    /// Looks up a setting: the URI parameter first, then the environment variable.
    pub(super) fn find(
        name: &'static str,
        parameter: &dyn Fn(&str) -> Option<String>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Setting {
        let is_set = |value: &String| !value.is_empty();
        if let Some(value) = parameter(name).filter(is_set) {
            return Setting { origin: format!("the URI parameter {name}"), value: Some(value) };
        }
        let variable = format!("LITESTREAM_{}", name.to_ascii_uppercase());
        let value = if URI_ONLY.contains(&name) { None } else { environment(&variable).filter(is_set) };
        Setting { origin: variable, value }
    }

    /// Parses the value. Returns None if the setting is missing.
    pub(super) fn parse<T>(self, parse: fn(&str) -> Result<T, &'static str>) -> Result<Option<T>, Error> {
        let Some(value) = self.value else { return Ok(None) };
        match parse(value.trim()) {
            Ok(parsed) => Ok(Some(parsed)),
            Err(remedy) => {
                Err(Error::new(ErrorKind::Config, format!("{} has the value '{value}'", self.origin)).remedy(remedy))
            }
        }
    }
}
