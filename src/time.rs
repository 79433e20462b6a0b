//! Moments as people write them, and as we write them back.

use crate::error::{Error, Kind};
use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};

/// Reads a moment, in milliseconds since 1970; None for `LATEST` in any case.
///
/// A time without an offset is UTC. Accepted: RFC 3339; `YYYY-MM-DD HH:MM[:SS[.f]]`, with a space or a `T`;
/// `YYYY-MM-DD`.
pub fn parse(text: &str) -> Result<Option<i64>, Error> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("latest") {
        return Ok(None);
    }
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Ok(Some(moment.timestamp_millis()));
    }
    for form in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"] {
        if let Ok(moment) = NaiveDateTime::parse_from_str(text, form) {
            return Ok(Some(moment.and_utc().timestamp_millis()));
        }
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|day| day.and_hms_opt(0, 0, 0));
    match day {
        Some(midnight) => Ok(Some(midnight.and_utc().timestamp_millis())),
        None => Err(Error::new(Kind::Config, format!("cannot read the time '{text}'"))
            .remedy("write it as 2026-01-31T12:00:00Z, 2026-01-31 12:00:00 or 2026-01-31 (UTC), or LATEST")),
    }
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

    #[test]
    fn every_form_of_one_moment_reads_the_same() {
        let noon = 1_769_860_800_000;
        for text in [
            "2026-01-31T12:00:00Z",
            "2026-01-31T12:00:00.000Z",
            "2026-01-31t14:00:00+02:00",
            "2026-01-31 12:00:00",
            "2026-01-31T12:00:00",
            "2026-01-31 12:00",
            " 2026-01-31T12:00 ",
        ] {
            assert_eq!(parse(text).expect(text), Some(noon), "{text:?}");
        }
        assert_eq!(parse("2026-01-31").expect("a day"), Some(noon - 12 * 3_600_000));
        assert_eq!(parse("2026-01-31T12:00:00.123Z").expect("a fraction"), Some(noon + 123));
        assert_eq!(parse("Latest").expect("the word"), None);
        assert_eq!(format(noon + 5), "2026-01-31T12:00:00.005Z");
    }

    #[test]
    fn what_is_no_moment_is_an_error_that_shows_the_forms() {
        for text in ["", "soon", "2026-02-31", "2026-01-31T12:00:00Z and more", "99999999999999999999", "12:00"] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains("2026-01-31T12:00:00Z"), "{error}");
        }
        assert_eq!(format(i64::MIN), "1970-01-01T00:00:00.000Z");
        assert!(format(i64::MAX).starts_with('+'));
    }
}
