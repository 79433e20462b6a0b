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

    /// Returns the words that start with `word`, which follows `before`.
    fn candidates(&self, before: &str, word: &str) -> Vec<String> {
        let starts = |name: &String| name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        let (is_first, is_quoted) = (before.trim().is_empty(), before.ends_with('"'));
        let mut found: Vec<String> = match is_first {
            true => commands::names().map(str::to_owned).filter(starts).collect(),
            // Without a letter, the others would be too many.
            false if word.is_empty() => self.names(TABLES),
            false => [self.names(TABLES), self.names(OTHERS)].concat().into_iter().filter(starts).collect(),
        };
        // The editor writes a name as it is, and whoever writes the replica chooses names.
        found.retain(|name| !name.contains(char::is_control));
        if !is_first && !is_quoted {
            found = found.into_iter().map(|name| self.quoted(name)).collect();
        }
        if !is_quoted {
            found.extend(self.keywords(is_first, word).filter(starts));
        }
        found.sort_unstable();
        found.dedup();
        found.truncate(MOST);
        found
    }

    /// Returns the keywords that can be meant, in the case of `word`.
    fn keywords(&self, is_first: bool, word: &str) -> impl Iterator<Item = String> {
        let is_lower = !word.contains(|c: char| c.is_ascii_uppercase());
        let keywords = match is_first {
            true => STARTS.map(str::to_owned).to_vec(),
            false if word.is_empty() => Vec::new(),
            false => self.keywords.clone(),
        };
        keywords.into_iter().map(move |name| if is_lower { name.to_ascii_lowercase() } else { name })
    }

    /// Returns a name as SQL needs it.
    fn quoted(&self, name: String) -> String {
        let is_word = name.chars().all(|c| c.is_alphanumeric() || c == '_');
        let is_keyword = self.keywords.iter().any(|keyword| keyword.eq_ignore_ascii_case(&name));
        let is_plain = is_word && !name.starts_with(|c: char| c.is_numeric()) && !is_keyword;
        if is_plain { name } else { format!("\"{}\"", name.replace('"', "\"\"")) }
    }
}

impl Completer for SqlHelper {
    type Candidate = String;

    fn complete(&self, line: &str, end: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let before = &line[..end];
        let start = before.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_').len();
        Ok((start, self.candidates(&before[..start], &before[start..])))
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
