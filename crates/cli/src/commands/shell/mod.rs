//! `shell`: runs SQL interactively.

mod commands;
mod helper;

use crate::args::ShellArgs;
use crate::commands::sql;
use crate::failure::Failure;
use crate::output::Output;
use crate::replica;
use crate::stderr::say;
use crate::terminal;
use commands::ShellCommand;
use helper::SqlHelper;
use rusqlite::Connection;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::rc::Rc;

pub fn run(args: &ShellArgs) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        let reason = "the shell needs a terminal; `litestream-query sql URL` runs the SQL that it reads from stdin";
        return Err(Failure::Reason(reason.to_owned()));
    }
    let connection = Rc::new(replica::open_at(&args.replica, &args.moment)?);
    terminal::save();
    let mut editor = editor(SqlHelper::new(Rc::clone(&connection))).map_err(unreadable)?;
    let history = history_file();
    if let Some(path) = &history {
        // The file does not exist yet, or the shell works without it.
        let _ = editor.load_history(path);
    }
    let replica: String = connection.query_row("SELECT replica FROM litestream_status", [], |row| row.get(0))?;
    say(format_args!("{replica}\n`help` lists the commands of this shell; SQL ends with a semicolon."));
    let mut output = Output::new(args.printed.format);
    loop {
        let line = match editor.readline(&prompt(&connection)) {
            Ok(line) if line.trim().is_empty() => continue,
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(unreadable(error)),
        };
        let _ = editor.add_history_entry(line.as_str());
        if let Some(path) = &history {
            let _ = editor.append_history(path);
        }
        match execute(&line, &connection, &mut output) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return Ok(()),
            Err(closed @ Failure::OutputClosed) => return Err(closed),
            Err(failure) => failure.reason().iter().for_each(|reason| say(format_args!("error: {reason}"))),
        }
    }
}

fn editor(helper: SqlHelper) -> rustyline::Result<Editor<SqlHelper, FileHistory>> {
    let config = Config::builder().completion_type(CompletionType::List).history_ignore_space(true).build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(helper));
    Ok(editor)
}

fn unreadable(error: ReadlineError) -> Failure {
    Failure::Reason(format!("cannot read from the terminal: {error}"))
}

/// Returns the file that keeps the lines for later shells.
fn history_file() -> Option<PathBuf> {
    match std::env::var_os("LITESTREAM_QUERY_HISTORY") {
        Some(path) => Some(PathBuf::from(path)).filter(|path| !path.as_os_str().is_empty()),
        None => Some(std::env::home_dir()?.join(".litestream_query_history")),
    }
}

/// Returns the prompt. It has the time if the connection stays at a past state.
fn prompt(connection: &Connection) -> String {
    let past = "SELECT time FROM litestream_status('main') WHERE held_by = 'moment'";
    match connection.query_row(past, [], |row| row.get::<_, String>(0)) {
        Ok(time) => format!("{time}> "),
        Err(_) => "replica> ".to_owned(),
    }
}

/// Runs a command of the shell, or SQL. Breaks if the shell is to end.
fn execute(line: &str, connection: &Connection, output: &mut Output) -> Result<ControlFlow<()>, Failure> {
    match ShellCommand::parse(line) {
        Some((command, argument)) => command.run(argument, connection, output),
        None => sql::run_all(connection, line, output).map(ControlFlow::Continue),
    }
}
