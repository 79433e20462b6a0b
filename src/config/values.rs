//! The formats of values. An error is the remedy: the form in which the value must be written.

use super::Compaction;
use std::time::Duration;

/// Parses a switch.
pub(crate) fn boolean(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "on" | "yes" => Ok(true),
        "0" | "false" | "off" | "no" => Ok(false),
        _ => Err("write on or off"),
    }
}

/// Parses the value of `compaction`.
pub(super) fn compaction(text: &str) -> Result<Compaction, &'static str> {
    match boolean(text) {
        Ok(true) => Ok(Compaction::On),
        Ok(false) => Ok(Compaction::Off),
        Err(_) => {
            positive_duration(text).map(Compaction::Every).map_err(|_| "write on, off, or an interval such as 30s")
        }
    }
}

/// Parses the value of `verify`.
pub(super) fn verification(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "full" => Ok(true),
        "off" => Ok(false),
        _ => Err("write full or off"),
    }
}

/// The longest duration, a hundred years: sums of several of them are still times.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Parses a duration in the format of Go: numbers with units, such as `1s`, `500ms` or `1h30m`. Only `0` may be without a unit.
pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    const FORMS: &str = "write a duration with its unit, such as 500ms, 1s or 2m";
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() {
        return Err(FORMS);
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
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| FORMS)?;
    if duration <= LONGEST { Ok(duration) } else { Err("write a duration of at most 876000h") }
}

/// Parses a [`duration`] that must not be 0.
pub(super) fn positive_duration(text: &str) -> Result<Duration, &'static str> {
    match duration(text)? {
        Duration::ZERO => Err("write a duration greater than 0, such as 1s"),
        positive => Ok(positive),
    }
}

/// Parses a size in bytes, or with a unit: `65536`, `64KB`, `64MiB`, `1G`. Units are powers of 1024, with and without the `i`.
pub(super) fn bytes(text: &str) -> Result<u64, &'static str> {
    const FORMS: &str = "write a size such as 67108864, 64MB or 1GiB";
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

    #[test]
    fn durations_and_sizes_are_parsed_in_all_their_forms() {
        let ms = |text| duration(text).map(|duration| duration.as_millis());
        assert_eq!(ms("1h30m"), Ok(5_400_000));
        assert_eq!(ms("1.5s"), Ok(1_500));
        assert_eq!(ms("0"), Ok(0));
        assert_eq!(ms("876000h"), Ok(3_153_600_000_000));
        for bad in ["", "s", "1", "-1s", "1x", "1e400s", "1..2s", "876001h", "50000000000000h"] {
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
