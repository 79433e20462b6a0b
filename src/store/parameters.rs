//! The parameters of a URL, independent of their spelling.

/// The parameters of a query. `partSize`, `part-size` and `partsize` are the same name.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub fn of(query: &[(String, String)]) -> Parameters {
        Parameters(query.iter().map(|(name, value)| (plain(name), value.clone())).collect())
    }

    /// Removes a parameter and returns its first value.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let value = self.0.iter().find(|(other, _)| *other == plain(name)).map(|(_, value)| value.clone());
        self.0.retain(|(other, _)| *other != plain(name));
        value
    }

    /// Removes a parameter and returns its first value as a boolean. Fails if the value is not a boolean.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, String> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.to_ascii_lowercase().as_str() {
            "true" | "1" | "t" | "yes" => Ok(Some(true)),
            "false" | "0" | "f" | "no" => Ok(Some(false)),
            word if is_name(word) => Err(format!("the parameter {name} is '{value}'; write true or false")),
            _ => Err(format!("the parameter {name} is neither true nor false")),
        }
    }

    /// Logs the parameters that were not taken. An unknown parameter may be a typing error, but is not refused.
    ///
    /// `write_only` are the names, in lower case, of parameters that Litestream uses when it writes. They are accepted so that the
    /// same URL can be used for writing and reading.
    pub fn warn_of_the_rest(self, write_only: &[&str], shown: &str) {
        for (name, _) in self.0 {
            match write_only.contains(&name.as_str()) {
                true => tracing::debug!("{shown}: the parameter '{name}' applies only to writing and is ignored"),
                false if is_name(&name) => tracing::warn!("{shown}: the parameter '{name}' is unknown and is ignored"),
                // A text that is not a name may be a secret.
                false => tracing::warn!("{shown}: a parameter is unknown and is ignored"),
            }
        }
    }
}

/// Returns the normal form of a parameter's name: lower case, without hyphens.
pub(super) fn plain(name: &str) -> String {
    name.replace('-', "").to_ascii_lowercase()
}

/// Returns whether a text looks like the name of a parameter, and not like a secret.
pub(super) fn is_name(text: &str) -> bool {
    const LONGEST: usize = 24;
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_alphabetic() || c == b'-' || c == b'_')
}
