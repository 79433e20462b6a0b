//! The parameters of a URL, whichever way they are spelled.

use super::masked::is_name;

/// What a query says. `partSize`, `part-size` and `partsize` are one name.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub fn of(query: &[(String, String)]) -> Parameters {
        Parameters(query.iter().map(|(name, value)| (plain(name), value.clone())).collect())
    }

    /// The first value of that name.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let value = self.0.iter().find(|(other, _)| *other == plain(name)).map(|(_, value)| value.clone());
        self.0.retain(|(other, _)| *other != plain(name));
        value
    }

    /// The first value of that name, as a yes or no.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, String> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.to_ascii_lowercase().as_str() {
            "true" | "1" | "t" | "yes" => Ok(Some(true)),
            "false" | "0" | "f" | "no" => Ok(Some(false)),
            word if is_name(word) => Err(format!("its parameter {name} is '{value}'; write true or false")),
            _ => Err(format!("its parameter {name} is neither true nor false")),
        }
    }

    /// What nobody reads may be a slip of the pen, but is no reason to refuse. `known` are the names that only writers
    /// read, in lower case: accepted, so that one URL serves both.
    pub fn warn_of_the_rest(self, known: &[&str], shown: &str) {
        for (name, _) in self.0 {
            match known.contains(&name.as_str()) {
                true => tracing::debug!("{shown}: the parameter '{name}' matters to writers alone, it is ignored"),
                false if is_name(&name) => {
                    tracing::warn!("{shown}: nothing is known of the parameter '{name}', it is ignored");
                }
                // What is no name may be a secret.
                false => tracing::warn!("{shown}: one of its parameters is not known, it is ignored"),
            }
        }
    }
}

/// The form of a name that all of its spellings have.
pub(super) fn plain(name: &str) -> String {
    name.replace('-', "").to_ascii_lowercase()
}
