//! What a connection asks for: URI parameters, then the environment, then defaults.

use crate::error::{Error, ErrorKind};
use crate::ltx::Txid;
use crate::time::{self, Moment};
use std::time::Duration;

/// The moment whose state a connection reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// The newest state, following the primary.
    Latest,
    /// The state that is the newest when it is asked for, without going on from there.
    Now,
    /// The state after exactly this transaction.
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

/// Everything a connection can set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Where the replica lies, as the user wrote it.
    pub replica_url: String,
    /// Time between two looks at the primary.
    pub poll_interval: Duration,
    /// Bound of the page cache in memory, in bytes.
    pub cache_size: u64,
    /// Bound of the temporary file for pages that the cache has no room for, in bytes; 0 for none.
    pub disk_cache_size: u64,
    /// The moment to read.
    pub target: Target,
    /// Whether SQL may move the connection to another moment.
    pub time_travel: bool,
    /// Whether SQL may attach replicas to a connection of which this is the main database.
    pub attach: bool,
    /// How long ago a poll may have confirmed the head when a read transaction starts.
    pub max_staleness: Option<Duration>,
    /// How long opening takes at most, waiting for the store and for a first backup. With 0 it does not wait for a backup.
    pub open_timeout: Duration,
    /// How long a read or a question waits while no answer of the store arrives; None for as long as its requests take.
    pub read_timeout: Option<Duration>,
    /// Whether every file is read whole and verified before its first page is served.
    pub verify: bool,
}

const POLL_INTERVAL: Duration = Duration::from_secs(1);
const CACHE_SIZE: u64 = 64 << 20;
const DISK_CACHE_SIZE: u64 = 1 << 30;
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_secs(30);

impl Settings {
    /// Reads the settings of one open: `parameter` answers URI parameters, the environment is the process's as it
    /// is now. An empty value counts as not given.
    pub fn read(parameter: impl Fn(&str) -> Option<String>) -> Result<Settings, Error> {
        Settings::resolve(&parameter, &in_environment)
    }

    fn resolve(
        parameter: &dyn Fn(&str) -> Option<String>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Settings, Error> {
        let setting = |name: &'static str| Setting::find(name, parameter, environment);
        setting("write_enabled").refuse_writing()?;
        setting("hydration_enabled").warn_of_hydration()?;
        Ok(Settings {
            replica_url: setting("replica_url").value.ok_or_else(no_url)?,
            poll_interval: setting("poll_interval").read(positive_duration)?.unwrap_or(POLL_INTERVAL),
            cache_size: setting("cache_size").read(bytes)?.unwrap_or(CACHE_SIZE),
            disk_cache_size: setting("disk_cache_size").read(bytes)?.unwrap_or(DISK_CACHE_SIZE),
            target: target(setting("time"), setting("txid"))?,
            time_travel: setting("time_travel").read(boolean)?.unwrap_or(true),
            attach: setting("attach").read(boolean)?.unwrap_or(true),
            max_staleness: setting("max_staleness").read(duration)?,
            open_timeout: setting("open_timeout").read(duration)?.unwrap_or(OPEN_TIMEOUT),
            read_timeout: Some(setting("read_timeout").read(duration)?.unwrap_or(READ_TIMEOUT))
                .filter(|timeout| !timeout.is_zero()),
            verify: setting("verify").read(verification)?.unwrap_or(false),
        })
    }
}

/// What a variable of the process's environment holds now; None if it is unset or empty.
pub fn in_environment(name: &str) -> Option<String> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(|value| value.to_string_lossy().into_owned())
}

/// Whether the environment allows SQL to attach replicas. It counts where the main database is no replica.
pub fn attach_in_environment() -> Result<bool, Error> {
    Ok(Setting::find("attach", &|_| None, &in_environment).read(boolean)?.unwrap_or(true))
}

fn no_url() -> Error {
    Error::new(ErrorKind::Config, "no replica is named")
        .remedy("add replica_url=s3://bucket/path to the URI, or set LITESTREAM_REPLICA_URL")
}

/// A setting, where it was found, and what was written there.
struct Setting {
    origin: String,
    value: Option<String>,
}

/// Settings that belong to one connection and so have no environment variable.
const URI_ONLY: [&str; 2] = ["time", "txid"];

impl Setting {
    fn find(
        name: &'static str,
        parameter: &dyn Fn(&str) -> Option<String>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Setting {
        let given = |value: &String| !value.is_empty();
        if let Some(value) = parameter(name).filter(given) {
            return Setting { origin: format!("the URI parameter {name}"), value: Some(value) };
        }
        let variable = format!("LITESTREAM_{}", name.to_ascii_uppercase());
        let value = if URI_ONLY.contains(&name) { None } else { environment(&variable).filter(given) };
        Setting { origin: variable, value }
    }

    fn read<T>(self, parse: fn(&str) -> Result<T, &'static str>) -> Result<Option<T>, Error> {
        let Some(value) = self.value else { return Ok(None) };
        match parse(value.trim()) {
            Ok(read) => Ok(Some(read)),
            Err(remedy) => {
                Err(Error::new(ErrorKind::Config, format!("{} has the value '{value}'", self.origin)).remedy(remedy))
            }
        }
    }

    fn refuse_writing(self) -> Result<(), Error> {
        let origin = self.origin.clone();
        match self.read(boolean)? {
            Some(true) => {
                Err(Error::new(ErrorKind::Config, format!("{origin} asks for writing, and this extension reads only"))
                    .remedy("remove it, and write to the primary"))
            }
            _ => Ok(()),
        }
    }

    fn warn_of_hydration(self) -> Result<(), Error> {
        if self.read(boolean)? == Some(true) {
            tracing::warn!("hydration is not available and the setting is ignored: pages are read on demand");
        }
        Ok(())
    }
}

fn target(at_time: Setting, at_txid: Setting) -> Result<Target, Error> {
    if at_time.value.is_some() && at_txid.value.is_some() {
        return Err(Error::new(ErrorKind::Config, "time and txid are both given").remedy("give one of them"));
    }
    if let Some(txid) = at_txid.read(|text| text.parse().map_err(|_| "a TXID has 16 hexadecimal digits"))? {
        return Ok(Target::Txid(txid));
    }
    match at_time.value {
        Some(text) => Ok(time::parse(&text).map_err(|error| error.context(at_time.origin))?.into()),
        None => Ok(Target::Latest),
    }
}

fn boolean(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "on" | "yes" => Ok(true),
        "0" | "false" | "off" | "no" => Ok(false),
        _ => Err("write on or off"),
    }
}

fn verification(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "full" => Ok(true),
        "off" => Ok(false),
        _ => Err("write full or off"),
    }
}

/// A duration in Go's form: numbers with units, as `1s`, `500ms` or `1h30m`; `0` alone is none.
fn duration(text: &str) -> Result<Duration, &'static str> {
    const FORMS: &str = "write a duration with its unit, as 500ms, 1s or 2m";
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(FORMS)?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(FORMS),
        };
        seconds += number.parse::<f64>().map_err(|_| FORMS)? * scale;
        rest = tail;
    }
    if text.is_empty() {
        return Err(FORMS);
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| FORMS)
}

fn positive_duration(text: &str) -> Result<Duration, &'static str> {
    match duration(text)? {
        Duration::ZERO => Err("write a duration above 0, as 1s"),
        positive => Ok(positive),
    }
}

/// A size in bytes, or with a unit of which each is 1024 times the last: `65536`, `64KB`, `64MiB`, `1G`.
fn bytes(text: &str) -> Result<u64, &'static str> {
    const FORMS: &str = "write a size as 67108864, 64MB or 1GiB";
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(FORMS),
    };
    let number: u64 = number.parse().map_err(|_| FORMS)?;
    number.checked_mul(1 << shift).ok_or(FORMS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(uri: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<Settings, Error> {
        let look = |pairs: &[(&str, &str)], name: &str| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string())
        };
        Settings::resolve(&|name| look(uri, name), &|name| look(environment, name))
    }

    #[test]
    fn the_uri_wins_over_the_environment_and_that_over_the_defaults() {
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
    fn an_unreadable_value_is_an_error_that_names_the_setting_the_value_and_the_form() {
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
        assert!(resolve(&[], &[]).expect_err("no URL").to_string().contains("LITESTREAM_REPLICA_URL"));
        assert!(resolve(&[url, ("time", "2026-01-31"), ("txid", "0000000000000001")], &[]).is_err());
        assert!(resolve(&[url, ("write_enabled", "true")], &[]).is_err());
        assert!(resolve(&[url], &[("LITESTREAM_HYDRATION_ENABLED", "true")]).is_ok());
        assert!(resolve(&[url], &[("LITESTREAM_VERIFY", "full")]).expect("a word").verify);
        assert!(!resolve(&[url, ("verify", "off")], &[("LITESTREAM_VERIFY", "full")]).expect("a word").verify);
        assert!(!resolve(&[url], &[("LITESTREAM_TIME_TRAVEL", "off")]).expect("a word").time_travel);
        assert!(!resolve(&[url, ("time_travel", "0")], &[]).expect("a number").time_travel);
        assert!(!resolve(&[url], &[("LITESTREAM_ATTACH", "off")]).expect("a word").attach);
        assert!(resolve(&[url, ("attach", "on")], &[("LITESTREAM_ATTACH", "off")]).expect("a word").attach);
        let timeout = |value| resolve(&[url], &[("LITESTREAM_READ_TIMEOUT", value)]).expect(value).read_timeout;
        assert_eq!((timeout("0"), timeout("2s")), (None, Some(Duration::from_secs(2))));
    }

    #[test]
    fn durations_and_sizes_read_in_all_their_forms() {
        let ms = |text| duration(text).map(|read| read.as_millis());
        assert_eq!(ms("1h30m"), Ok(5_400_000));
        assert_eq!(ms("1.5s"), Ok(1_500));
        assert_eq!(ms("0"), Ok(0));
        for bad in ["", "s", "1", "-1s", "1x", "1e400s", "1..2s"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
        assert_eq!(bytes("64MB"), Ok(64 << 20));
        assert_eq!(bytes("1 GiB"), Ok(1 << 30));
        assert_eq!(bytes("123"), Ok(123));
        for bad in ["", "MB", "1TB!", "99999999999999999999", "99999999999G"] {
            assert!(bytes(bad).is_err(), "{bad:?}");
        }
    }
}
