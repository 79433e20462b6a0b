//! The settings of a connection: URI parameters override environment variables, which override the defaults.

mod setting;
mod values;

use crate::error::{Error, ErrorKind};
use crate::ltx::Txid;
use crate::time::{self, Moment};
use setting::Setting;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
pub(crate) use values::boolean;
use values::{bytes, compaction, duration, positive_duration, verification};

/// The state of the database that a connection reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Target {
    /// The newest state, following the primary.
    Latest,
    /// The state that is the newest now, without following the primary.
    Now,
    /// The state after this transaction.
    Txid(Txid),
    /// The state at this time, in milliseconds since 1970.
    Time(i64),
}

impl From<Moment> for Target {
    fn from(moment: Moment) -> Target {
        match moment {
            Moment::Latest => Target::Latest,
            Moment::Now => Target::Now,
            Moment::At(ms) => Target::Time(ms),
        }
    }
}

/// Whether the files of a replica that the process writes are compacted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Compaction {
    /// At the intervals of Litestream.
    On,
    /// Never.
    Off,
    /// Into level 1 at this interval, into levels 2 and 3 at intervals that are 10 and 120 times as long, as Litestream's are.
    Every(Duration),
}

/// The names of all settings, which are those of their URI parameters.
pub const SETTINGS: [&str; 23] = [
    "replica_url",
    "poll_interval",
    "cache_size",
    "disk_cache_size",
    "cache_dir",
    "time",
    "txid",
    "time_travel",
    "attach",
    "max_staleness",
    "open_timeout",
    "read_timeout",
    "verify",
    "write_enabled",
    "write_takeover",
    "sync_interval",
    "buffer_path",
    "compaction",
    "l0_retention",
    "snapshot_interval",
    "snapshot_retention",
    "hydration_enabled",
    "hydration_path",
];

/// The settings of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// URL of the replica, as the user wrote it.
    pub replica_url: String,
    /// Time between two polls of the replica.
    pub poll_interval: Duration,
    /// Maximum size of the page cache in memory, in bytes.
    pub cache_size: u64,
    /// Maximum size in bytes of `cache_dir`, or of the temporary file for pages that do not fit into memory; 0 for neither.
    pub disk_cache_size: u64,
    /// The directory in which pages are kept for other processes; None to keep them in a temporary file.
    pub cache_dir: Option<PathBuf>,
    /// Whether the whole newest state is fetched into `cache_dir`.
    pub hydrates: bool,
    /// The state to read.
    pub target: Target,
    /// Whether SQL may move the connection to another state.
    pub time_travel: bool,
    /// Whether SQL may attach replicas to a connection whose main database is this one.
    pub attach: bool,
    /// Maximum age of the last successful poll when a read transaction starts.
    pub max_staleness: Option<Duration>,
    /// Maximum time for opening, including the wait for a first backup. With 0, opening does not wait for a backup.
    pub open_timeout: Duration,
    /// How long a read or an SQL function waits while nothing arrives from the store; None for no limit besides the timeouts of
    /// its requests.
    pub read_timeout: Option<Duration>,
    /// Whether every file is read completely and verified before its first page is used.
    pub verify: bool,
    /// Whether the connection may write to the replica.
    pub writes: bool,
    /// Whether it may write after a transaction of Litestream.
    pub write_takeover: bool,
    /// How long after its commit a transaction may be only in the journal; 0 to commit to the store.
    pub sync_interval: Duration,
    /// The directory of the journals; None if there are none.
    pub buffer_path: Option<PathBuf>,
    /// Whether the files of a replica that the process writes are compacted.
    pub compaction: Compaction,
    /// How long files of level 0 are kept after they were compacted; None for the default.
    pub l0_retention: Option<Duration>,
    /// The time between two snapshots; None for the default.
    pub snapshot_interval: Option<Duration>,
    /// How long past states are kept; None for the default.
    pub snapshot_retention: Option<Duration>,
}

const POLL_INTERVAL: Duration = Duration::from_secs(1);
const CACHE_SIZE: u64 = 64 << 20;
const DISK_CACHE_SIZE: u64 = 1 << 30;
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_secs(30);

static WRITING_IS_FORBIDDEN: AtomicBool = AtomicBool::new(false);

/// Makes all replicas read-only that this process opens from now on, also by `ATTACH`, whatever the environment says. Opening one with the
/// parameter `write_enabled` fails.
///
/// For programs that run the SQL of others, or that promise to change nothing.
pub fn forbid_writing() {
    WRITING_IS_FORBIDDEN.store(true, Ordering::Relaxed);
}

impl Settings {
    /// Reads the settings for one open. `parameter` returns the value of a URI parameter. The environment is read now.
    /// An empty value counts as missing.
    pub fn read(parameter: impl Fn(&str) -> Option<String>) -> Result<Settings, Error> {
        let mut settings = Settings::resolve(&parameter, &in_environment)?;
        if settings.writes && WRITING_IS_FORBIDDEN.load(Ordering::Relaxed) {
            if parameter("write_enabled").is_some_and(|value| !value.is_empty()) {
                let error = Error::new(ErrorKind::Config, "this program does not write to replicas");
                return Err(error.remedy("remove write_enabled"));
            }
            settings.writes = false;
        }
        Ok(settings)
    }

    /// Returns the directory that keeps what was fetched. None if there is none, or no room in it.
    pub fn cache_directory(&self) -> Option<&Path> {
        self.cache_dir.as_deref().filter(|_| self.disk_cache_size > 0)
    }

    fn resolve(
        parameter: &dyn Fn(&str) -> Option<String>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Settings, Error> {
        let setting = |name: &'static str| {
            debug_assert!(SETTINGS.contains(&name), "{name} is not in SETTINGS");
            Setting::find(name, parameter, environment)
        };
        let hydrates = setting("hydration_enabled").parse(boolean)?.unwrap_or(false);
        let cache_dir = setting("cache_dir").value.or_else(|| setting("hydration_path").value.filter(|_| hydrates));
        if hydrates && cache_dir.is_none() {
            tracing::warn!(
                "hydration_enabled is ignored: it needs cache_dir or hydration_path, which name a directory"
            );
        }
        let writes = setting("write_enabled").parse(boolean)?.unwrap_or(false);
        let sync_interval = setting("sync_interval").parse(duration)?.unwrap_or_default();
        let buffer_path = setting("buffer_path").value.map(PathBuf::from);
        if writes && !sync_interval.is_zero() && buffer_path.is_none() {
            let error = Error::new(ErrorKind::Config, "sync_interval is set without buffer_path");
            return Err(error.remedy("name a directory on a durable disk in buffer_path, or remove sync_interval"));
        }
        Ok(Settings {
            replica_url: replica_url(setting("replica_url"))?,
            poll_interval: setting("poll_interval").parse(positive_duration)?.unwrap_or(POLL_INTERVAL),
            cache_size: setting("cache_size").parse(bytes)?.unwrap_or(CACHE_SIZE),
            disk_cache_size: setting("disk_cache_size").parse(bytes)?.unwrap_or(DISK_CACHE_SIZE),
            hydrates: hydrates && cache_dir.is_some(),
            cache_dir: cache_dir.map(PathBuf::from),
            target: target(setting("time"), setting("txid"))?,
            time_travel: setting("time_travel").parse(boolean)?.unwrap_or(true),
            attach: setting("attach").parse(boolean)?.unwrap_or(true),
            max_staleness: setting("max_staleness").parse(duration)?,
            open_timeout: setting("open_timeout").parse(duration)?.unwrap_or(OPEN_TIMEOUT),
            read_timeout: Some(setting("read_timeout").parse(duration)?.unwrap_or(READ_TIMEOUT))
                .filter(|timeout| !timeout.is_zero()),
            verify: setting("verify").parse(verification)?.unwrap_or(false),
            writes,
            sync_interval,
            buffer_path,
            write_takeover: setting("write_takeover").parse(boolean)?.unwrap_or(false),
            compaction: setting("compaction").parse(compaction)?.unwrap_or(Compaction::On),
            l0_retention: setting("l0_retention").parse(duration)?,
            snapshot_interval: setting("snapshot_interval").parse(positive_duration)?,
            snapshot_retention: setting("snapshot_retention").parse(positive_duration)?,
        })
    }
}

/// Returns the value of an environment variable; None if it is unset or empty.
pub fn in_environment(name: &str) -> Option<String> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(|value| value.to_string_lossy().into_owned())
}

/// Returns whether the environment allows SQL to attach replicas. Applies if the main database is not a replica.
pub fn attach_in_environment() -> Result<bool, Error> {
    Ok(Setting::find("attach", &|_| None, &in_environment).parse(boolean)?.unwrap_or(true))
}

/// Returns whether the environment wants the default VFS to open the names of replicas.
pub fn default_vfs_in_environment() -> Result<bool, Error> {
    Ok(Setting::find("default_vfs", &|_| None, &in_environment).parse(boolean)?.unwrap_or(false))
}

/// Returns the URL of the replica. Fails if it contains a setting, which would have no effect there.
fn replica_url(setting: Setting) -> Result<String, Error> {
    let url = setting.value.ok_or_else(|| {
        Error::new(ErrorKind::Config, "no replica is named")
            .remedy("add replica_url=s3://bucket/path to the URI, or set LITESTREAM_REPLICA_URL")
    })?;
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let mut names = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
    match names.find(|name| SETTINGS.contains(name)) {
        None => Ok(url),
        Some(name) => Err(Error::new(
            ErrorKind::Config,
            format!("the replica URL has the parameter {name}, which is a setting of the connection"),
        )
        .remedy(format!("write it as a parameter of its own: replica_url=…&{name}=…"))),
    }
}

/// Returns the state that the parameters `time` and `txid` select.
fn target(time: Setting, txid: Setting) -> Result<Target, Error> {
    if time.value.is_some() && txid.value.is_some() {
        return Err(Error::new(ErrorKind::Config, "time and txid are both set").remedy("set one of them"));
    }
    if let Some(txid) = txid.parse(|text| text.parse().map_err(|_| "a TXID has 16 hexadecimal digits"))? {
        return Ok(Target::Txid(txid));
    }
    match time.value {
        Some(text) => Ok(time::parse(&text).map_err(|error| error.context(time.origin))?.into()),
        None => Ok(Target::Latest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(uri: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<Settings, Error> {
        let find = |pairs: &[(&str, &str)], name: &str| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string())
        };
        Settings::resolve(&|name| find(uri, name), &|name| find(environment, name))
    }

    #[test]
    fn a_uri_parameter_overrides_the_environment_which_overrides_the_default() {
        let environment = [("LITESTREAM_REPLICA_URL", "file:///env"), ("LITESTREAM_POLL_INTERVAL", "2s")];
        let defaults = resolve(&[], &environment[..1]).expect("defaults");
        assert_eq!((defaults.poll_interval, defaults.cache_size), (Duration::from_secs(1), 64 << 20));
        assert_eq!((defaults.target, defaults.max_staleness, defaults.time_travel), (Target::Latest, None, true));
        assert_eq!(defaults.read_timeout, Some(Duration::from_secs(30)));
        let from_environment = resolve(&[], &environment).expect("environment");
        assert_eq!(from_environment.poll_interval, Duration::from_secs(2));
        let uri = [("replica_url", "file:///uri"), ("poll_interval", "250ms"), ("cache_size", "")];
        let both = resolve(&uri, &environment).expect("both");
        assert_eq!((both.replica_url.as_str(), both.poll_interval), ("file:///uri", Duration::from_millis(250)));
    }

    #[test]
    fn an_invalid_value_is_an_error_with_the_setting_the_value_and_the_form() {
        let url = ("replica_url", "file:///r");
        for (name, value) in [
            ("poll_interval", "fast"),
            ("poll_interval", "0s"),
            ("cache_size", "-1"),
            ("txid", "12"),
            ("open_timeout", "5"),
            ("read_timeout", "soon"),
            ("time", "some day"),
            ("time_travel", "sometimes"),
            ("verify", "some"),
        ] {
            let error = resolve(&[url, (name, value)], &[]).expect_err(name).to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
        let error = resolve(&[url], &[("LITESTREAM_CACHE_SIZE", "lots")]).expect_err("environment").to_string();
        assert!(error.contains("LITESTREAM_CACHE_SIZE") && error.contains("64MB"), "{error}");
        let error = resolve(&[("replica_url", "file:///r?x=1&time=now")], &[]).expect_err("a setting").to_string();
        assert!(
            error.contains("the parameter time, which is a setting") && error.contains("replica_url=…&time=…"),
            "{error}"
        );
        assert!(resolve(&[], &[]).expect_err("no URL").to_string().contains("LITESTREAM_REPLICA_URL"));
        assert!(resolve(&[url, ("time", "2026-01-31"), ("txid", "0000000000000001")], &[]).is_err());
        let writes =
            |uri: &[_]| resolve(&[&[url], uri].concat(), &[]).map(|found| (found.writes, found.write_takeover));
        assert_eq!(writes(&[]).expect("settings"), (false, false));
        assert_eq!(writes(&[("write_enabled", "true"), ("write_takeover", "1")]).expect("settings"), (true, true));
        assert!(writes(&[("write_enabled", "maybe")]).is_err());
        let compaction = |value| resolve(&[url, ("compaction", value)], &[]).map(|settings| settings.compaction);
        assert_eq!(compaction("").expect("the default"), Compaction::On);
        assert_eq!(compaction("off").expect("a word"), Compaction::Off);
        assert_eq!(compaction("10s").expect("a duration"), Compaction::Every(Duration::from_secs(10)));
        assert!(compaction("0s").is_err() && compaction("often").is_err());
        let hydration = [("LITESTREAM_HYDRATION_ENABLED", "true"), ("LITESTREAM_HYDRATION_PATH", "/var/cache/app")];
        let directory = |uri: &[_], environment: &[_]| {
            let settings = resolve(&[&[url], uri].concat(), environment).expect("settings");
            (settings.hydrates, settings.cache_dir.map(|path| path.display().to_string()))
        };
        assert_eq!(directory(&[], &hydration), (true, Some("/var/cache/app".to_owned())));
        assert_eq!(directory(&[("cache_dir", "/srv")], &hydration), (true, Some("/srv".to_owned())));
        assert_eq!(directory(&[("hydration_enabled", "off")], &hydration), (false, None));
        assert_eq!(directory(&[], &hydration[..1]), (false, None));
        assert!(resolve(&[url], &[("LITESTREAM_VERIFY", "full")]).expect("a word").verify);
        assert!(!resolve(&[url, ("verify", "off")], &[("LITESTREAM_VERIFY", "full")]).expect("a word").verify);
        assert!(!resolve(&[url], &[("LITESTREAM_TIME_TRAVEL", "off")]).expect("a word").time_travel);
        assert!(!resolve(&[url, ("time_travel", "0")], &[]).expect("a number").time_travel);
        assert!(!resolve(&[url], &[("LITESTREAM_ATTACH", "off")]).expect("a word").attach);
        assert!(resolve(&[url, ("attach", "on")], &[("LITESTREAM_ATTACH", "off")]).expect("a word").attach);
        let read_timeout = |value| resolve(&[url], &[("LITESTREAM_READ_TIMEOUT", value)]).expect(value).read_timeout;
        assert_eq!((read_timeout("0"), read_timeout("2s")), (None, Some(Duration::from_secs(2))));
    }
}
