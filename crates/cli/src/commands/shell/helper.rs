//! What the line editor knows about SQL: where a statement ends, and which names complete a word.

use super::commands::{self, ShellCommand};
use crate::sqlite;
use rusqlite::Connection;
use rustyline::Context;
use rustyline::Helper;
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use std::rc::Rc;

pub struct SqlHelper {
    connection: Rc<Connection>,
    keywords: Vec<String>,
}

/// How many words are offered at most. The editor cannot show more than 65,535.
const MOST: usize = 1000;

/// The first words of statements.
const STARTS: [&str; 23] = [
    "ALTER",
    "ANALYZE",
    "ATTACH",
    "BEGIN",
    "COMMIT",
    "CREATE",
    "DELETE",
    "DETACH",
    "DROP",
    "END",
    "EXPLAIN",
    "INSERT",
    "PRAGMA",
    "REINDEX",
    "RELEASE",
    "REPLACE",
    "ROLLBACK",
    "SAVEPOINT",
    "SELECT",
    "UPDATE",
    "VACUUM",
    "VALUES",
    "WITH",
];

/// The names of tables and views, of all schemas.
const TABLES: &str = r"SELECT name FROM pragma_table_list WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\'
    UNION SELECT name FROM pragma_module_list WHERE name LIKE 'litestream\_%' ESCAPE '\'";

/// The names of columns and functions.
const OTHERS: &str = "SELECT i.name FROM pragma_table_list AS t, pragma_table_info(t.name, t.schema) AS i
    UNION SELECT name FROM pragma_function_list WHERE name GLOB '[a-z]*'";

impl SqlHelper {
    pub fn new(connection: Rc<Connection>) -> SqlHelper {
        SqlHelper { connection, keywords: sqlite::keywords() }
    }

    /// Returns the names that a query finds; none if it fails.
    fn names(&self, sql: &str) -> Vec<String> {
        let query = |sql| -> rusqlite::Result<Vec<String>> {
            let mut statement = self.connection.prepare(sql)?;
            statement.query_map([], |row| row.get(0))?.collect()
        };
        query(sql).unwrap_or_default()
    }

    /// Returns the words that start with `word`.
    fn candidates(&self, word: &str, is_first: bool) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let mut keywords: Vec<String> = Vec::new();
        if is_first {
            found.extend(commands::names().map(str::to_owned));
            keywords.extend(STARTS.map(str::to_owned));
        } else {
            found.extend(self.names(TABLES).into_iter().map(quoted));
            // Without a letter, these would be too many.
            if !word.is_empty() {
                found.extend(self.names(OTHERS).into_iter().map(quoted));
                keywords.clone_from(&self.keywords);
            }
        }
        let is_lower = !word.contains(|c: char| c.is_ascii_uppercase());
        found.extend(keywords.into_iter().map(|name| if is_lower { name.to_ascii_lowercase() } else { name }));
        found.retain(|name| name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)));
        // The editor writes a name as it is, and whoever writes the replica chooses names.
        found.retain(|name| !name.contains(char::is_control));
        found.sort_unstable();
        found.dedup();
        found.truncate(MOST);
        found
    }
}

/// Returns a name as SQL needs it.
fn quoted(name: String) -> String {
    let is_plain = name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_numeric());
    if is_plain { name } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

impl Completer for SqlHelper {
    type Candidate = String;

    fn complete(&self, line: &str, end: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let before = &line[..end];
        let start = before.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_').len();
        Ok((start, self.candidates(&before[start..], before[..start].trim().is_empty())))
    }
}

impl Validator for SqlHelper {
    /// A command is one line. SQL continues until a statement is complete.
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let line = context.input();
        let is_complete = line.trim().is_empty() || ShellCommand::parse(line).is_some() || sqlite::is_complete(line);
        Ok(if is_complete { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Hinter for SqlHelper {
    type Hint = String;
}

impl Highlighter for SqlHelper {}

impl Helper for SqlHelper {}
