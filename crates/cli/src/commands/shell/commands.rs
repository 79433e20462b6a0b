//! The commands of the shell besides SQL. They have the names of the program's commands where there is one.

use crate::commands::status;
use crate::failure::Failure;
use crate::interrupt::Interruptible;
use crate::output::{self, Output, printable};
use clap::ValueEnum;
use rusqlite::Connection;
use std::io::Write;
use std::ops::ControlFlow;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShellCommand {
    At,
    Changes,
    Format,
    Help,
    History,
    Quit,
    Schema,
    Status,
    Tables,
    Txid,
}

use ShellCommand::*;

/// Each command: its name, its argument, and what it does.
const COMMANDS: [(&str, ShellCommand, &str, &str); 11] = [
    ("at", At, "WHEN", "move to the state at this time; LATEST returns to the newest state"),
    ("changes", Changes, "WHEN", "list the tables and indexes that differ from the state at this time"),
    ("exit", Quit, "", "end the shell"),
    ("format", Format, "FORMAT", "print rows as table, csv, json or jsonl"),
    ("help", Help, "", "list the commands"),
    ("history", History, "[COUNT]", "list the newest states; 20 without COUNT"),
    ("quit", Quit, "", "end the shell"),
    ("schema", Schema, "[TABLE]", "print the CREATE statements"),
    ("status", Status, "", "print the state of the replica and of this connection"),
    ("tables", Tables, "", "list the tables and views"),
    ("txid", Txid, "TXID", "move to the state after this transaction"),
];

/// Returns the names of the commands.
pub fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|(name, ..)| *name)
}

impl ShellCommand {
    /// Parses a line: a command and its argument. Returns None if it is SQL. A dot before the name is allowed, as in the sqlite3 shell.
    pub fn parse(line: &str) -> Option<(ShellCommand, &str)> {
        let line = line.trim().trim_end_matches(';').trim_end();
        let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let name = name.strip_prefix('.').unwrap_or(name);
        let (_, command, ..) = COMMANDS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name))?;
        Some((*command, argument.trim()))
    }

    /// Runs the command. Breaks if the shell is to end.
    pub fn run(self, argument: &str, connection: &Connection, output: &mut Output) -> Result<ControlFlow<()>, Failure> {
        let _interruptible = Interruptible::new(connection);
        let mut print = |sql: &str, parameters: &[&str]| print(connection, output, sql, parameters);
        match self {
            Quit => return Ok(ControlFlow::Break(())),
            At => print("SELECT litestream_set_time(?) AS time", &[needed(argument, "a time")?])?,
            Txid => connection.pragma_update(None, "litestream_txid", needed(argument, "a TXID")?)?,
            Changes => print("SELECT * FROM litestream_changes(?)", &[needed(argument, "a time")?])?,
            History => {
                let count = if argument.is_empty() { "20" } else { argument };
                print("SELECT * FROM litestream_history LIMIT ?", &[count])?;
            }
            Tables => print(TABLES, &[])?,
            Status => status::print(connection, output)?,
            Schema => schema(argument, connection, output)?,
            Format => output.format = parse_format(argument)?,
            Help => help(output)?,
        }
        Ok(ControlFlow::Continue(()))
    }
}

const TABLES: &str = r"SELECT name, type FROM sqlite_schema
    WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name";

fn print(connection: &Connection, output: &mut Output, sql: &str, parameters: &[&str]) -> Result<(), Failure> {
    output.print(&mut connection.prepare(sql)?, rusqlite::params_from_iter(parameters))
}

fn needed<'a>(argument: &'a str, what: &str) -> Result<&'a str, Failure> {
    if argument.is_empty() { Err(Failure::Reason(format!("the command needs {what}"))) } else { Ok(argument) }
}

fn parse_format(argument: &str) -> Result<output::Format, Failure> {
    output::Format::from_str(argument, true)
        .map_err(|_| Failure::Reason("the formats are table, csv, json and jsonl".to_owned()))
}

fn schema(table: &str, connection: &Connection, output: &mut Output) -> Result<(), Failure> {
    let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND (?1 = '' OR tbl_name = ?1 COLLATE NOCASE)";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([table])?;
    while let Some(row) = rows.next()? {
        let sql: String = row.get(0)?;
        let lines: Vec<String> = sql.lines().map(printable).collect();
        writeln!(output.text(), "{};", lines.join("\n"))?;
    }
    Ok(output.finish()?)
}

fn help(output: &mut Output) -> Result<(), Failure> {
    for (name, _, argument, effect) in COMMANDS {
        writeln!(output.text(), "{:<16} {effect}", format!("{name} {argument}"))?;
    }
    Ok(output.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_the_first_word_of_a_line_with_or_without_a_dot() {
        assert_eq!(ShellCommand::parse("at 1 hour ago"), Some((At, "1 hour ago")));
        assert_eq!(ShellCommand::parse(" .Schema  orders ;"), Some((Schema, "orders")));
        assert_eq!(ShellCommand::parse("quit"), Some((Quit, "")));
        for sql in ["SELECT 1;", "tables_of_mine", "", "-- help"] {
            assert_eq!(ShellCommand::parse(sql), None, "{sql}");
        }
    }
}
