//! Pragmas: `PRAGMA [schema.]litestream_…`, and `PRAGMA journal_mode = WAL`.

use crate::config;
use crate::ltx::Txid;
use crate::sqlite::control::ControlOp;

/// A pragma of this extension, or one that it answers.
#[derive(Debug)]
pub enum Pragma {
    /// Runs an operation on the file: `PRAGMA litestream_txid`, `PRAGMA litestream_lag`, `PRAGMA litestream_status`, `PRAGMA litestream_time`,
    /// `PRAGMA litestream_time = '2024-05-01T12:00:00Z'`, `PRAGMA litestream_txid = '000000000000002a'`,
    /// `PRAGMA litestream_write_enabled`, `PRAGMA litestream_write_enabled = 0`.
    Run(ControlOp),
    /// `PRAGMA journal_mode = WAL`.
    Wal,
}

impl Pragma {
    /// Parses a pragma. Returns None if SQLite runs it. Fails with an error text.
    pub fn parse(name: &str, value: Option<&str>) -> Option<Result<Pragma, String>> {
        let name = name.to_ascii_lowercase();
        let pragma = match (name.as_str(), value) {
            // SQLite compares as many characters as the value has.
            ("journal_mode", Some(mode)) => match !mode.is_empty() && "wal".starts_with(&mode.to_ascii_lowercase()) {
                true => Ok(Pragma::Wal),
                false => return None,
            },
            ("litestream_time", Some(moment)) => Ok(Pragma::Run(ControlOp::SetTime(moment.to_owned()))),
            ("litestream_txid", Some(txid)) => parse_txid(txid).map(|txid| Pragma::Run(ControlOp::SetTxid(txid))),
            ("litestream_write_enabled", Some(value)) => write_enabled(value),
            _ => match (parse_read(&name)?, value) {
                (pragma, None) => Ok(pragma),
                (_, Some(_)) => Err(format!("{name} is read-only")),
            },
        };
        Some(pragma)
    }
}

/// Parses a pragma without a value.
fn parse_read(name: &str) -> Option<Pragma> {
    Some(match name {
        "litestream_txid" => Pragma::Run(ControlOp::Txid),
        "litestream_lag" => Pragma::Run(ControlOp::Lag),
        "litestream_time" => Pragma::Run(ControlOp::Time),
        "litestream_status" => Pragma::Run(ControlOp::Status),
        "litestream_hydration_progress" => Pragma::Run(ControlOp::HydrationProgress),
        "litestream_hydration_file" => Pragma::Run(ControlOp::HydrationFile),
        "litestream_hydration_error" => Pragma::Run(ControlOp::HydrationError),
        "litestream_write_enabled" => Pragma::Run(ControlOp::WriteEnabled),
        _ => return None,
    })
}

fn parse_txid(value: &str) -> Result<Txid, String> {
    value.trim().parse().map_err(|cause| {
        format!("litestream_txid cannot be '{value}': {cause}; PRAGMA litestream_time = 'LATEST' returns to the newest state")
    })
}

fn write_enabled(value: &str) -> Result<Pragma, String> {
    match config::boolean(value) {
        Ok(enabled) => Ok(Pragma::Run(ControlOp::EnableWrites(enabled))),
        Err(_) => Err(format!("litestream_write_enabled is 0 or 1, not '{value}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, value: Option<&str>) -> Result<String, String> {
        Pragma::parse(name, value).expect("a pragma of this extension").map(|pragma| format!("{pragma:?}"))
    }

    fn run(op: ControlOp) -> Result<String, String> {
        Ok(format!("{:?}", Pragma::Run(op)))
    }

    #[test]
    fn names_are_case_insensitive() {
        for (name, op) in [
            ("litestream_txid", ControlOp::Txid),
            ("LiteStream_Lag", ControlOp::Lag),
            ("LITESTREAM_TIME", ControlOp::Time),
            ("litestream_hydration_progress", ControlOp::HydrationProgress),
            ("litestream_hydration_file", ControlOp::HydrationFile),
            ("litestream_hydration_error", ControlOp::HydrationError),
            ("litestream_write_enabled", ControlOp::WriteEnabled),
        ] {
            assert_eq!(parse(name, None), run(op));
        }
        for mode in ["WAL", "wal", "Wa"] {
            assert_eq!(parse("Journal_Mode", Some(mode)), Ok(format!("{:?}", Pragma::Wal)));
        }
        for mode in ["", "walk", "delete"] {
            assert!(Pragma::parse("journal_mode", Some(mode)).is_none(), "{mode}");
        }
        for other in ["journal_mode", "litestream", "litestream_txids", ""] {
            assert!(Pragma::parse(other, None).is_none(), "{other}");
            assert!(Pragma::parse(other, Some("1")).is_none(), "{other}");
        }
    }

    #[test]
    fn only_the_time_and_the_txid_can_be_set() {
        assert_eq!(parse("litestream_time", Some("LATEST")), run(ControlOp::SetTime("LATEST".into())));
        let txid = parse("Litestream_TXID", Some("000000000000002A"));
        assert_eq!(txid, run(ControlOp::SetTxid(Txid(42))));
        for bad in ["", "42", "LATEST", "000000000000002g"] {
            let error = parse("litestream_txid", Some(bad)).expect_err(bad);
            assert!(error.contains("16 hexadecimal digits") && error.contains("'LATEST'"), "{error}");
        }
        for name in ["lag", "status", "hydration_progress", "hydration_file", "hydration_error"]
            .map(|end| format!("litestream_{end}"))
        {
            assert_eq!(parse(&name.to_uppercase(), Some("")), Err(format!("{name} is read-only")));
        }
    }

    #[test]
    fn writing_can_be_enabled_and_disabled() {
        for (value, enabled) in
            [("0", false), ("false", false), ("OFF", false), ("1", true), ("True", true), ("on", true)]
        {
            assert_eq!(parse("litestream_write_enabled", Some(value)), run(ControlOp::EnableWrites(enabled)));
        }
        for bad in ["2", ""] {
            assert!(parse("litestream_write_enabled", Some(bad)).is_err(), "{bad}");
        }
    }
}
