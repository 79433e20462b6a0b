//! The arguments of the command line.

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::path::PathBuf;

use crate::output::Format;

/// Queries a SQLite database in its Litestream replica
///
/// Nothing is restored: pages are fetched on demand. The newest state is read, or any past state that the replica still holds.
#[derive(Parser)]
#[command(version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    success, also if the reader of the output closed it
  1    failure; the reason is on stderr
  2    wrong arguments
  3    `verify` found a damaged file
  130  interrupted";

#[derive(Subcommand)]
pub enum Command {
    /// Run SQL and print its rows
    Sql(Sql),
    /// List the available states, newest first
    History(History),
    /// Print the state of the replica and of the connection to it
    Status(Status),
    /// List the tables and indexes that differ between two states
    Changes(Changes),
    /// Print the rows that differ between two states
    Diff(Diff),
    /// Print SQL that puts the rows of tables back as they were
    Undo(Undo),
    /// Read every file of a state completely, and check it
    Verify(Verify),
    /// Write a state to a database file
    Export(Export),
    /// Fetch the newest state into a cache directory, so that programs can read it from there
    Hydrate(Hydrate),
    /// Run SQL interactively
    Shell(ShellArgs),
    /// Print the manual page, or write the pages of all commands to a directory
    Man(Man),
    /// Print the completions for a shell
    Completions(Completions),
}

/// The replica and the settings of the connection.
#[derive(Args)]
pub struct Replica {
    /// URL of the replica, such as s3://bucket/path or file:///path
    pub url: String,
    /// A setting of docs/configuration.md, such as cache_size=256MB; can be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_setting)]
    pub settings: Vec<(String, String)>,
}

/// The state to read.
#[derive(Args)]
pub struct Moment {
    /// Read the state at this time, such as 2026-01-31T12:00:00Z or '1 hour ago'
    #[arg(long, value_name = "WHEN", conflicts_with = "txid")]
    pub at: Option<String>,
    /// Read the state after this transaction
    #[arg(long)]
    pub txid: Option<String>,
}

#[derive(Args)]
pub struct Printed {
    /// How rows are printed
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Args)]
pub struct Sql {
    #[command(flatten)]
    pub replica: Replica,
    /// One or more statements; without it, or with -, they are read from stdin
    pub sql: Option<String>,
    #[command(flatten)]
    pub moment: Moment,
    #[command(flatten)]
    pub printed: Printed,
}

#[derive(Args)]
pub struct History {
    #[command(flatten)]
    pub replica: Replica,
    /// Print at most this many states
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<u32>,
    #[command(flatten)]
    pub printed: Printed,
}

#[derive(Args)]
pub struct Status {
    #[command(flatten)]
    pub replica: Replica,
    /// Continue until interrupted: refresh the terminal every second, or print a line for each change
    #[arg(long)]
    pub watch: bool,
    #[command(flatten)]
    pub printed: Printed,
}

#[derive(Args)]
pub struct Changes {
    #[command(flatten)]
    pub replica: Replica,
    /// The earlier state: a time or a TXID
    #[arg(long, value_name = "WHEN")]
    pub since: String,
    /// The later state: a time or a TXID [default: the newest state]
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
    #[command(flatten)]
    pub printed: Printed,
}

#[derive(Args)]
pub struct Diff {
    #[command(flatten)]
    pub replica: Replica,
    /// The earlier state: a time or a TXID
    #[arg(long, value_name = "WHEN")]
    pub since: String,
    /// The later state: a time or a TXID [default: the newest state]
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
    /// Compare this table only; can be repeated
    #[arg(long = "table", value_name = "TABLE")]
    pub tables: Vec<String>,
    /// Print an array with an object for each value
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print a line of comma-separated values for each value
    #[arg(long)]
    pub csv: bool,
}

#[derive(Args)]
pub struct Undo {
    #[command(flatten)]
    pub replica: Replica,
    /// The table whose rows are put back; can be repeated
    #[arg(long = "table", value_name = "TABLE", required = true)]
    pub tables: Vec<String>,
    /// Put the rows back as they were in this state: a time or a TXID
    #[arg(long, value_name = "WHEN")]
    pub since: String,
    /// Undo only what changed until this state: a time or a TXID [default: the newest state]
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
}

#[derive(Args)]
pub struct Verify {
    #[command(flatten)]
    pub replica: Replica,
    #[command(flatten)]
    pub moment: Moment,
    /// Print every file, not only those that are damaged or missing
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub printed: Printed,
}

#[derive(Args)]
pub struct Export {
    #[command(flatten)]
    pub replica: Replica,
    /// The database file to write
    pub file: PathBuf,
    #[command(flatten)]
    pub moment: Moment,
    /// Replace FILE if it exists
    #[arg(long)]
    pub force: bool,
}

#[derive(Args)]
pub struct Hydrate {
    #[command(flatten)]
    pub replica: Replica,
    /// The cache directory [default: the setting cache_dir or LITESTREAM_CACHE_DIR]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
}

#[derive(Args)]
pub struct ShellArgs {
    #[command(flatten)]
    pub replica: Replica,
    #[command(flatten)]
    pub moment: Moment,
    #[command(flatten)]
    pub printed: Printed,
}

#[derive(Args)]
pub struct Man {
    /// Where to write the pages
    pub directory: Option<PathBuf>,
}

#[derive(Args)]
pub struct Completions {
    #[arg(value_enum)]
    pub shell: Shell,
}

/// The settings of docs/configuration.md that are URI parameters, without those that have an argument of their own.
const SETTINGS: [&str; 12] = [
    "attach",
    "cache_dir",
    "cache_size",
    "disk_cache_size",
    "hydration_enabled",
    "hydration_path",
    "max_staleness",
    "open_timeout",
    "poll_interval",
    "read_timeout",
    "time_travel",
    "verify",
];

/// Parses the value of `--set`. SQLite would ignore a parameter with a wrong name.
fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    if !SETTINGS.contains(&name) {
        return Err(format!("there is no setting '{name}'; the settings are {}", SETTINGS.join(", ")));
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
