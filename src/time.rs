//! Moments as people write them, and as we write them back.
//!
//! | form | |
//! |---|---|
//! | `2026-01-31T12:00:00.123Z`, `2026-01-31 14:00:00+02:00` | seconds, their fraction and the offset can be left out |
//! | `2026-01-31` | its first moment |
//! | `30s ago`, `5 mins ago`, `2 hours ago`, `1 month ago` | seconds, minutes, hours, days, weeks, months |
//! | `yesterday` | a day ago |
//! | `last monday` | the first moment of the last Monday before today |
//! | `now` | the newest state, without going on from there |
//! | `LATEST` | whatever is the newest |
//!
//! In any case of letters. What has no offset is UTC, and so are days. What is relative counts from the host's clock: that is the one that
//! whoever writes `5 minutes ago` looks at, and a primary that has been idle for a day is no reason to count from yesterday.

use crate::error::{Error, ErrorKind};
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc, Weekday};

/// A moment, as a person writes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// `LATEST`: whatever is the newest.
    Latest,
    /// `now`: what is the newest when it is asked for.
    Now,
    /// A time, in milliseconds since 1970.
    At(i64),
}

/// Reads a moment. See the [module](self) for the forms.
pub fn parse(text: &str) -> Result<Moment, Error> {
    parse_at(text, Utc::now())
}

/// As [`parse`], at this time.
fn parse_at(text: &str, now: DateTime<Utc>) -> Result<Moment, Error> {
    let wanted = text.trim().to_ascii_lowercase();
    match wanted.as_str() {
        "latest" => return Ok(Moment::Latest),
        "now" => return Ok(Moment::Now),
        _ => {}
    }
    match calendar(&wanted).or_else(|| relative(&wanted, now)) {
        Some(moment) => Ok(Moment::At(moment.timestamp_millis())),
        None => Err(Error::new(ErrorKind::Config, format!("cannot read the time '{}'", beginning(text))).remedy(FORMS)),
    }
}

const FORMS: &str = "write it as 2026-01-31T12:00:00Z, 2026-01-31 12:00:00 or 2026-01-31 (UTC), as '1 hour ago', \
                     'yesterday', 'last monday' or 'now', or LATEST";

/// What an error shows of a text.
fn beginning(text: &str) -> String {
    const MOST: usize = 100;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// A date, with or without a time of day, which is with or without an offset.
fn calendar(text: &str) -> Option<DateTime<Utc>> {
    let mut rest = TimeParser(text);
    let (year, month, day) = (rest.number(4)?, rest.behind("-")?.number(2)?, rest.behind("-")?.number(2)?);
    let date = NaiveDate::from_ymd_opt(year as i32, month, day)?;
    if rest.0.is_empty() {
        return Some(date.and_time(NaiveTime::MIN).and_utc());
    }
    let (hour, minute) = (rest.behind("t ")?.number(2)?, rest.behind(":")?.number(2)?);
    let time = NaiveTime::from_hms_opt(hour, minute, 0)?;
    let seconds = rest.seconds()?;
    let offset = rest.offset()?;
    let moment = date.and_time(time).and_utc().checked_add_signed(seconds)?.checked_sub_signed(offset)?;
    rest.0.is_empty().then_some(moment)
}

/// What is still to be read.
struct TimeParser<'a>(&'a str);

impl TimeParser<'_> {
    /// So many digits.
    fn number(&mut self, digits: usize) -> Option<u32> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())?
    }

    /// Goes past one of these characters. None if another is there.
    fn behind(&mut self, characters: &str) -> Option<&mut Self> {
        self.0 = self.0.strip_prefix(|c| characters.contains(c))?;
        Some(self)
    }

    /// `:SS` or `:SS.f`, if that is there. A leap second is the first of the next minute.
    fn seconds(&mut self) -> Option<TimeDelta> {
        if self.behind(":").is_none() {
            return Some(TimeDelta::zero());
        }
        let seconds = TimeDelta::seconds(self.number(2).filter(|seconds| *seconds <= 60)?.into());
        if self.behind(".").is_none() {
            return Some(seconds);
        }
        let digits = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
        let (fraction, rest) = self.0.split_at(digits);
        self.0 = rest;
        // Times in a replica are whole milliseconds: what comes after makes no difference.
        let milliseconds = format!("{:0<3.3}", fraction).parse().ok().filter(|_| digits > 0)?;
        Some(seconds + TimeDelta::milliseconds(milliseconds))
    }

    /// `z`, `+HH:MM` or `-HH:MM`, if that is there.
    fn offset(&mut self) -> Option<TimeDelta> {
        if self.0.is_empty() || self.behind("z").is_some() {
            return Some(TimeDelta::zero());
        }
        let east = self.0.starts_with('+');
        let (hours, minutes) = (self.behind("+-")?.number(2)?, self.behind(":")?.number(2)?);
        let offset = TimeDelta::minutes((hours * 60 + minutes).into());
        (hours < 24 && minutes < 60).then_some(if east { offset } else { -offset })
    }
}

/// A moment as seen from now.
fn relative(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match text.split_ascii_whitespace().collect::<Vec<_>>()[..] {
        ["yesterday"] => now.checked_sub_days(Days::new(1)),
        ["last", day] => {
            let day: Weekday = day.parse().ok()?;
            let since = match now.weekday().days_since(day) {
                0 => 7,
                days => days,
            };
            Some(now.date_naive().checked_sub_days(Days::new(since.into()))?.and_time(NaiveTime::MIN).and_utc())
        }
        [amount, "ago"] => {
            let digits = amount.find(|c: char| !c.is_ascii_digit())?;
            before(now, &amount[..digits], &amount[digits..])
        }
        [number, unit, "ago"] => before(now, number, unit),
        _ => None,
    }
}

/// So many of a unit before now.
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

/// RFC 3339 in UTC with milliseconds. Moments beyond the calendar become its edge.
pub fn format(ms: i64) -> String {
    let edge = if ms < 0 { DateTime::UNIX_EPOCH } else { DateTime::<Utc>::MAX_UTC };
    DateTime::from_timestamp_millis(ms).unwrap_or(edge).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The host's clock, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    Utc::now().timestamp_millis()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A Saturday.
    const NOW: &str = "2026-01-31T12:34:56.789Z";

    fn now() -> DateTime<Utc> {
        NOW.parse().expect("a moment")
    }

    #[test]
    fn every_form_is_read() {
        for (text, expected) in [
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31t12:00:00z", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31T12:00:00.5Z", "2026-01-31T12:00:00.500Z"),
            ("2026-01-31T12:00:00.123456789Z", "2026-01-31T12:00:00.123Z"),
            ("2026-01-31T12:00:00.000999+00:00", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00.000Z"),
            ("2026-01-31T12:00:00.25-05:30", "2026-01-31T17:30:00.250Z"),
            ("2026-01-31 12:00:00", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31T12:00:00", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31 12:00:00.5", "2026-01-31T12:00:00.500Z"),
            ("2026-01-31 12:00:00.5+01:00", "2026-01-31T11:00:00.500Z"),
            ("2026-01-31 12:00", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31T12:00", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31T12:00Z", "2026-01-31T12:00:00.000Z"),
            ("  2026-01-31 12:00\n", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31", "2026-01-31T00:00:00.000Z"),
            ("2024-02-29", "2024-02-29T00:00:00.000Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
            ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
            ("1 second ago", "2026-01-31T12:34:55.789Z"),
            ("30s ago", "2026-01-31T12:34:26.789Z"),
            ("30 s ago", "2026-01-31T12:34:26.789Z"),
            ("2 secs ago", "2026-01-31T12:34:54.789Z"),
            ("90 seconds ago", "2026-01-31T12:33:26.789Z"),
            ("5 mins ago", "2026-01-31T12:29:56.789Z"),
            ("5m ago", "2026-01-31T12:29:56.789Z"),
            ("1 minute ago", "2026-01-31T12:33:56.789Z"),
            ("1 hour ago", "2026-01-31T11:34:56.789Z"),
            ("1 HOUR AGO", "2026-01-31T11:34:56.789Z"),
            ("  1   hour\tago ", "2026-01-31T11:34:56.789Z"),
            ("36h ago", "2026-01-30T00:34:56.789Z"),
            ("2hrs ago", "2026-01-31T10:34:56.789Z"),
            ("1 day ago", "2026-01-30T12:34:56.789Z"),
            ("3d ago", "2026-01-28T12:34:56.789Z"),
            ("2 weeks ago", "2026-01-17T12:34:56.789Z"),
            ("1w ago", "2026-01-24T12:34:56.789Z"),
            ("1 month ago", "2025-12-31T12:34:56.789Z"),
            // There is no 31 November.
            ("2 months ago", "2025-11-30T12:34:56.789Z"),
            ("0 days ago", NOW),
            ("yesterday", "2026-01-30T12:34:56.789Z"),
            ("Yesterday", "2026-01-30T12:34:56.789Z"),
            ("last monday", "2026-01-26T00:00:00.000Z"),
            ("last Fri", "2026-01-30T00:00:00.000Z"),
            ("last saturday", "2026-01-24T00:00:00.000Z"),
            ("last sunday", "2026-01-25T00:00:00.000Z"),
        ] {
            let expected = Moment::At(expected.parse::<DateTime<Utc>>().expect("a time").timestamp_millis());
            assert_eq!(parse_at(text, now()).expect(text), expected, "{text:?}");
        }
        for latest in ["LATEST", "latest", " Latest "] {
            assert_eq!(parse_at(latest, now()).expect(latest), Moment::Latest);
        }
        for text in ["now", "NOW", " Now\n"] {
            assert_eq!(parse_at(text, now()).expect(text), Moment::Now);
        }
    }

    #[test]
    fn what_is_no_moment_is_an_error_that_shows_the_forms() {
        for text in [
            "",
            " ",
            "soon",
            "12:00",
            "20260131",
            "2026-1-31",
            "2026-02-31",
            "2025-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-01-31T24:00:00Z",
            "2026-01-31T12:60:00Z",
            "2026-01-31T12:00:61Z",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00.5",
            "2026-01-31T12",
            "2026-01-31T",
            "2026-01-31Z",
            "2026-01-31  12:00",
            "2026-01-31T12:00:00+2",
            "2026-01-31T12:00:00+24:00",
            "2026-01-31T12:00:00+00:60",
            "2026-01-31T12:00:00Z and more",
            "2026-01-31T12:00:00ZZ",
            "-2026-01-31",
            "+02026-01-31",
            "２０２６-01-31",
            "99999999999999999999",
            "31 February",
            "yesterday and more",
            "last",
            "last month",
            "last moonday",
            "1 hour",
            "in 1 hour",
            "hour ago",
            "ago",
            "s ago",
            "-1 hours ago",
            "+1 hours ago",
            "1.5 hours ago",
            "1 fortnight ago",
            "1 hour ago ago",
            "4294967296 seconds ago",
            "99999999999999999999 seconds ago",
            "4294967295 weeks ago",
            "4294967295 months ago",
            "latest one",
            "now\0",
        ] {
            let error = parse_at(text, now()).expect_err(text).to_string();
            for form in ["2026-01-31T12:00:00Z", "2026-01-31 (UTC)", "1 hour ago", "yesterday", "last monday", "LATEST"]
            {
                assert!(error.contains(form), "{error}");
            }
        }
        let long = parse_at(&"x".repeat(1 << 20), now()).expect_err("no moment").to_string();
        assert!(long.len() < 500, "an error is no place for a megabyte");
        assert_eq!(format(i64::MIN), "1970-01-01T00:00:00.000Z");
        assert!(format(i64::MAX).starts_with('+'));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in r"\PC*|[0-9tz:. +-]{0,40}|[0-9]{0,25} ?[a-z]{0,8} ago|last [a-z]{0,10}") {
            let now = now();
            for now in [now, DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
                if let Ok(Moment::At(ms)) = parse_at(&text, now) {
                    format(ms);
                }
            }
        }

        #[test]
        fn what_is_written_reads_back(ms in -62_167_219_200_000i64..253_402_300_800_000) {
            let text = DateTime::from_timestamp_millis(ms).expect("in the calendar").to_rfc3339_opts(SecondsFormat::Millis, true);
            prop_assert_eq!(parse_at(&text, now()).expect("its own form"), Moment::At(ms));
            prop_assert_eq!(parse_at(&text.replace('T', " ").replace('Z', "+00:00"), now()).expect("another"), Moment::At(ms));
        }
    }
}
