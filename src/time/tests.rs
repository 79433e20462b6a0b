use super::parse::parse_at;
use super::*;
use proptest::prelude::*;

/// A Saturday.
const NOW: &str = "2026-01-31T12:34:56.789Z";

fn now() -> DateTime<Utc> {
    NOW.parse().expect("a time")
}

#[test]
fn every_form_is_parsed() {
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
        // November has 30 days.
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
fn anything_else_is_an_error_that_lists_the_forms() {
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
        for form in ["2026-01-31T12:00:00Z", "2026-01-31 (UTC)", "1 hour ago", "yesterday", "last monday", "LATEST"] {
            assert!(error.contains(form), "{error}");
        }
    }
    let long = parse_at(&"x".repeat(1 << 20), now()).expect_err("not a time").to_string();
    assert!(long.len() < 500, "the text in an error is shortened");
    assert_eq!(format(i64::MIN), "1970-01-01T00:00:00.000Z");
    assert!(format(i64::MAX).starts_with('+'));
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_rejected(text in r"\PC*|[0-9tz:. +-]{0,40}|[0-9]{0,25} ?[a-z]{0,8} ago|last [a-z]{0,10}") {
        let now = now();
        for now in [now, DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            if let Ok(Moment::At(ms)) = parse_at(&text, now) {
                format(ms);
            }
        }
    }

    #[test]
    fn formatted_times_are_parsed_again(ms in -62_167_219_200_000i64..253_402_300_800_000) {
        let text = DateTime::from_timestamp_millis(ms).expect("a time of the calendar").to_rfc3339_opts(SecondsFormat::Millis, true);
        prop_assert_eq!(parse_at(&text, now()).expect("a formatted time"), Moment::At(ms));
        prop_assert_eq!(parse_at(&text.replace('T', " ").replace('Z', "+00:00"), now()).expect("another form"), Moment::At(ms));
    }
}
