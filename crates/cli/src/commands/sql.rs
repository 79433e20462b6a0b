//! `sql`: runs statements and prints their rows.

use crate::args::Sql;
use crate::failure::Failure;
use crate::interrupt::{self, Interruptible};
use crate::output::Output;
use crate::replica;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::{Batch, Connection};
use std::io::{self, Read};

pub fn run(args: &Sql) -> Result<(), Failure> {
    let sql = match args.sql.as_deref() {
        Some(sql) if sql != "-" => sql.to_owned(),
        _ => read_stdin()?,
    };
    let connection = replica::open_at(&args.replica, &args.moment)?;
    run_all(&connection, &sql, &mut Output::new(args.printed.format))
}

fn read_stdin() -> Result<String, Failure> {
    let mut sql = String::new();
    let read = io::stdin().read_to_string(&mut sql);
    read.map_err(|error| Failure::Reason(format!("cannot read SQL from stdin: {error}")))?;
    Ok(sql)
}

/// Runs statements up to the first that fails.
pub fn run_all(connection: &Connection, sql: &str, output: &mut Output) -> Result<(), Failure> {
    if sql.contains('\0') {
        return Err(Failure::Reason("the SQL contains a NUL character, at which SQLite would stop".to_owned()));
    }
    let _interruptible = Interruptible::new(connection);
    let mut statements = Batch::new(connection, sql);
    while let Some(mut statement) = statements.next()? {
        interrupt::check()?;
        output.print(&mut statement, ())?;
    }
    Ok(())
}
