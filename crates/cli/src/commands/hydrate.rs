//! `hydrate`: fetches the newest state into a cache directory, and ends when it is there completely.

use crate::args::Hydrate;
use crate::failure::{Failure, last_error};
use crate::interrupt::{self, Interruptible};
use crate::stderr::say;
use crate::{progress, replica};
use indicatif::ProgressBar;
use rusqlite::Connection;
use std::thread;
use std::time::{Duration, Instant};

/// The precision of `litestream_lag()`.
const MILLISECOND: Duration = Duration::from_millis(1);

/// Without a terminal, a line is printed each time when so many more tenths of a percent are there.
const LINE_EVERY: u64 = 100;

pub fn run(args: &Hydrate) -> Result<(), Failure> {
    let started = Instant::now();
    let cache = args
        .cache
        .as_deref()
        .map(|path| path.to_str().ok_or_else(|| Failure::Reason(format!("{} is not UTF-8", path.display()))));
    let connection = replica::open_and_hydrate(&args.replica, cache.transpose()?)?;
    let _interruptible = Interruptible::new(&connection);
    let directory = pragma(&connection, "litestream_hydration_file")?;
    if directory.is_empty() {
        let reason = "there is no cache directory; name one with --cache, and leave disk_cache_size above 0";
        return Err(Failure::Reason(reason.to_owned()));
    }
    let bar = progress::per_mille("hydrating");
    let hydrated = wait(&connection, &bar);
    bar.finish_and_clear();
    hydrated?;
    check_is_newest(&connection, started)?;
    let state = replica::state(&connection)?;
    say(format_args!("{directory}: complete, the state of {state}"));
    Ok(())
}

fn pragma(connection: &Connection, name: &str) -> Result<String, Failure> {
    Ok(connection.pragma_query_value(None, name, |row| row.get(0))?)
}

/// Waits until the newest state is complete, and shows the progress.
fn wait(connection: &Connection, bar: &ProgressBar) -> Result<(), Failure> {
    let mut line_at = 0;
    loop {
        interrupt::check()?;
        let percent = pragma(connection, "litestream_hydration_progress")?;
        let present = percent.parse::<f64>().map_or(0, |percent| (percent * 10.0).round() as u64);
        bar.set_position(present);
        if bar.is_hidden() && present >= line_at {
            say(format_args!("hydrating: {percent} %"));
            line_at = present / LINE_EVERY * LINE_EVERY + LINE_EVERY;
        }
        if present >= 1000 {
            return Ok(());
        }
        let reason = pragma(connection, "litestream_hydration_error")?;
        if !reason.is_empty() {
            return Err(Failure::Reason(format!(
                "{percent} % of the newest state are in the cache directory: {reason}"
            )));
        }
        thread::sleep(progress::REFRESH);
    }
}

/// Fails if the replica has not confirmed since `started` that the state is the newest: the store cannot be reached, and an earlier process had
/// left the state in the directory.
fn check_is_newest(connection: &Connection, started: Instant) -> Result<(), Failure> {
    let lag: f64 = connection.query_row("SELECT litestream_lag()", [], |row| row.get(0))?;
    if lag >= 0.0 && Duration::from_secs_f64(lag) <= started.elapsed() + MILLISECOND {
        return Ok(());
    }
    let cause = last_error().unwrap_or_else(|| "the replica cannot be reached".to_owned());
    Err(Failure::Reason(format!("the state in the cache directory is complete, but may not be the newest: {cause}")))
}
