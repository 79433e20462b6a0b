//! One module for each command.

pub mod changes;
pub mod completions;
pub mod diff;
pub mod export;
pub mod history;
pub mod hydrate;
pub mod man;
pub mod shell;
pub mod sql;
pub mod status;
pub mod undo;
pub mod verify;

/// Returns the names of tables, each once. SQL does not distinguish their case.
fn distinct(names: &[String]) -> Vec<String> {
    let mut distinct: Vec<String> = Vec::new();
    for name in names {
        if !distinct.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            distinct.push(name.clone());
        }
    }
    distinct
}
