//! Pragmas: `PRAGMA [schema.]litestream_…`.

use super::control::ControlOp;
use crate::ltx::Txid;

/// A pragma of ours, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pragma {
    /// Needs the file: `PRAGMA litestream_txid`, `PRAGMA litestream_lag`, `PRAGMA litestream_status`, `PRAGMA litestream_time`,
    /// `PRAGMA litestream_time = '2024-05-01T12:00:00Z'`, `PRAGMA litestream_txid = '000000000000002a'`.
    Ask(ControlOp),
    /// Always the same, since there is neither hydration nor writing: `PRAGMA litestream_hydration_progress`,
    /// `PRAGMA litestream_hydration_file`, `PRAGMA litestream_write_enabled`, `PRAGMA litestream_write_enabled = 0`.
    Fixed(&'static str),
}

impl Pragma {
    /// Reads a pragma; None if it is not one of ours, otherwise the text of what is wrong with it.
    pub fn parse(name: &str, value: Option<&str>) -> Option<Result<Pragma, String>> {
        let name = name.to_ascii_lowercase();
        let pragma = match (name.as_str(), value) {
            ("litestream_time", Some(moment)) => Ok(Pragma::Ask(ControlOp::MoveTo(moment.to_owned()))),
            ("litestream_txid", Some(txid)) => txid_of(txid).map(|txid| Pragma::Ask(ControlOp::MoveToTxid(txid))),
            ("litestream_write_enabled", Some(value)) => write_enabled(value),
            _ => match (read(&name)?, value) {
                (pragma, None) => Ok(pragma),
                (_, Some(_)) => Err(format!("{name} is read-only")),
            },
        };
        Some(pragma)
    }
}

fn read(name: &str) -> Option<Pragma> {
    Some(match name {
        "litestream_txid" => Pragma::Ask(ControlOp::Txid),
        "litestream_lag" => Pragma::Ask(ControlOp::Lag),
        "litestream_time" => Pragma::Ask(ControlOp::Time),
        "litestream_status" => Pragma::Ask(ControlOp::Status),
        "litestream_hydration_progress" | "litestream_write_enabled" => Pragma::Fixed("0"),
        "litestream_hydration_file" => Pragma::Fixed(""),
        _ => return None,
    })
}

fn txid_of(value: &str) -> Result<Txid, String> {
    value.trim().parse().map_err(|cause| {
        format!("litestream_txid cannot be '{value}': {cause}; PRAGMA litestream_time = 'LATEST' returns to the newest state")
    })
}

fn write_enabled(value: &str) -> Result<Pragma, String> {
    match value.to_ascii_lowercase().as_str() {
        "0" | "false" | "off" => Ok(Pragma::Fixed("0")),
        "1" | "true" | "on" => {
            Err("this extension reads replicas and does not write them; write to the primary database".to_owned())
        }
        _ => Err(format!("litestream_write_enabled is 0 or 1, not '{value}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, value: Option<&str>) -> Result<Pragma, String> {
        Pragma::parse(name, value).expect("one of ours")
    }

    #[test]
    fn every_pragma_is_known_in_any_case() {
        for (name, pragma) in [
            ("litestream_txid", Pragma::Ask(ControlOp::Txid)),
            ("LiteStream_Lag", Pragma::Ask(ControlOp::Lag)),
            ("LITESTREAM_TIME", Pragma::Ask(ControlOp::Time)),
            ("litestream_hydration_progress", Pragma::Fixed("0")),
            ("litestream_hydration_file", Pragma::Fixed("")),
            ("litestream_write_enabled", Pragma::Fixed("0")),
        ] {
            assert_eq!(parse(name, None), Ok(pragma));
        }
        for other in ["journal_mode", "litestream", "litestream_txids", ""] {
            assert_eq!(Pragma::parse(other, None), None);
            assert_eq!(Pragma::parse(other, Some("1")), None);
        }
    }

    #[test]
    fn only_the_moment_can_be_set() {
        assert_eq!(parse("litestream_time", Some("LATEST")), Ok(Pragma::Ask(ControlOp::MoveTo("LATEST".into()))));
        let txid = parse("Litestream_TXID", Some("000000000000002A"));
        assert_eq!(txid, Ok(Pragma::Ask(ControlOp::MoveToTxid(Txid(42)))));
        for bad in ["", "42", "LATEST", "000000000000002g"] {
            let error = parse("litestream_txid", Some(bad)).expect_err(bad);
            assert!(error.contains("16 hexadecimal digits") && error.contains("'LATEST'"), "{error}");
        }
        for name in ["lag", "status", "hydration_progress", "hydration_file"].map(|end| format!("litestream_{end}")) {
            assert_eq!(parse(&name.to_uppercase(), Some("")), Err(format!("{name} is read-only")));
        }
    }

    #[test]
    fn writing_can_only_be_switched_off() {
        for off in ["0", "false", "OFF"] {
            assert_eq!(parse("litestream_write_enabled", Some(off)), Ok(Pragma::Fixed("0")));
        }
        for on in ["1", "True", "on", "2", ""] {
            assert!(parse("litestream_write_enabled", Some(on)).is_err(), "{on}");
        }
    }
}
