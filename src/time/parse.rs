//! Parsing times.

use super::Moment;
use crate::error::{Error, ErrorKind};
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeDelta, Utc, Weekday};

/// Parses a time in one of the forms of the [module](super).
pub fn parse(text: &str) -> Result<Moment, Error> {
    parse_at(text, Utc::now())
}

/// As [`parse`], with `now` as the time of the host's clock.
pub(super) fn parse_at(text: &str, now: DateTime<Utc>) -> Result<Moment, Error> {
    let lower = text.trim().to_ascii_lowercase();
    match lower.as_str() {
        "latest" => return Ok(Moment::Latest),
        "now" => return Ok(Moment::Now),
        _ => {}
    }
    match absolute(&lower).or_else(|| relative(&lower, now)) {
        Some(time) => Ok(Moment::At(time.timestamp_millis())),
        None => Err(Error::new(ErrorKind::Config, format!("cannot read the time '{}'", shortened(text))).remedy(FORMS)),
    }
}

const FORMS: &str = "write it as 2026-01-31T12:00:00Z, 2026-01-31 12:00:00 or 2026-01-31 (UTC), as '1 hour ago', \
                     'yesterday', 'last monday' or 'now', or LATEST";

/// Returns the text, or its start if it is too long for an error.
fn shortened(text: &str) -> String {
    const MAX_CHARS: usize = 100;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Parses a date, with an optional time of day and an optional offset.
fn absolute(text: &str) -> Option<DateTime<Utc>> {
    let mut rest = TimeParser(text);
    let (year, month, day) = (rest.number(4)?, rest.skip("-")?.number(2)?, rest.skip("-")?.number(2)?);
    let date = NaiveDate::from_ymd_opt(year as i32, month, day)?;
    if rest.0.is_empty() {
        return Some(date.and_time(NaiveTime::MIN).and_utc());
    }
    let (hour, minute) = (rest.skip("t ")?.number(2)?, rest.skip(":")?.number(2)?);
    let time = NaiveTime::from_hms_opt(hour, minute, 0)?;
    let seconds = rest.seconds()?;
    let offset = rest.offset()?;
    let result = date.and_time(time).and_utc().checked_add_signed(seconds)?.checked_sub_signed(offset)?;
    rest.0.is_empty().then_some(result)
}

/// The text that is not parsed yet.
struct TimeParser<'a>(&'a str);

impl TimeParser<'_> {
    /// Parses a number with exactly this many digits.
    fn number(&mut self, digits: usize) -> Option<u32> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())?
    }

    /// Skips one of these characters. Returns None if the text starts with another one.
    fn skip(&mut self, characters: &str) -> Option<&mut Self> {
        self.0 = self.0.strip_prefix(|c| characters.contains(c))?;
        Some(self)
    }

    /// Parses an optional `:SS` or `:SS.f`. A leap second becomes the first second of the next minute.
    fn seconds(&mut self) -> Option<TimeDelta> {
        if self.skip(":").is_none() {
            return Some(TimeDelta::zero());
        }
        let seconds = TimeDelta::seconds(self.number(2).filter(|seconds| *seconds <= 60)?.into());
        if self.skip(".").is_none() {
            return Some(seconds);
        }
        let digits = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
        let (fraction, rest) = self.0.split_at(digits);
        self.0 = rest;
        // The times in a replica are whole milliseconds, so further digits make no difference.
        let milliseconds = format!("{:0<3.3}", fraction).parse().ok().filter(|_| digits > 0)?;
        Some(seconds + TimeDelta::milliseconds(milliseconds))
    }

    /// Parses an optional `z`, `+HH:MM` or `-HH:MM`.
    fn offset(&mut self) -> Option<TimeDelta> {
        if self.0.is_empty() || self.skip("z").is_some() {
            return Some(TimeDelta::zero());
        }
        let east = self.0.starts_with('+');
        let (hours, minutes) = (self.skip("+-")?.number(2)?, self.skip(":")?.number(2)?);
        let offset = TimeDelta::minutes((hours * 60 + minutes).into());
        (hours < 24 && minutes < 60).then_some(if east { offset } else { -offset })
    }
}

/// Parses a time relative to now.
fn relative(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match text.split_ascii_whitespace().collect::<Vec<_>>()[..] {
        ["yesterday"] => now.checked_sub_days(Days::new(1)),
        ["last", day] => {
            let day: Weekday = day.parse().ok()?;
            let days = match now.weekday().days_since(day) {
                0 => 7,
                days => days,
            };
            Some(now.date_naive().checked_sub_days(Days::new(days.into()))?.and_time(NaiveTime::MIN).and_utc())
        }
        [amount, "ago"] => {
            let digits = amount.find(|c: char| !c.is_ascii_digit())?;
            before(now, &amount[..digits], &amount[digits..])
        }
        [number, unit, "ago"] => before(now, number, unit),
        _ => None,
    }
}

/// Returns the time `number` units before now.
fn before(now: DateTime<Utc>, number: &str, unit: &str) -> Option<DateTime<Utc>> {
    let number: u32 = number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())??;
    let seconds = match unit {
        "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600,
        "d" | "day" | "days" => 86_400,
        "w" | "week" | "weeks" => 7 * 86_400,
        "month" | "months" => return now.checked_sub_months(Months::new(number)),
        _ => return None,
    };
    now.checked_sub_signed(TimeDelta::try_seconds(i64::from(number) * seconds)?)
}
