//! Transaction IDs.

use std::fmt;
use std::str::FromStr;

/// A Litestream transaction ID: the number of a sync of the primary, starting at 1.
///
/// Its text form has 16 lower-case hexadecimal digits, as in file names and in `litestream restore -txid`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Txid(pub u64);

impl Txid {
    /// Returns the next ID, or this one if it is the highest.
    pub fn next(self) -> Txid {
        Txid(self.0.saturating_add(1))
    }
}

impl fmt::Display for Txid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Txid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The error for a text that is not 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a TXID has 16 hexadecimal digits, as in 000000000000002a")]
pub struct ParseTxidError;

impl FromStr for Txid {
    type Err = ParseTxidError;

    /// Parses exactly 16 hexadecimal digits of either case.
    fn from_str(text: &str) -> Result<Txid, ParseTxidError> {
        if text.len() != 16 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ParseTxidError);
        }
        u64::from_str_radix(text, 16).map(Txid).map_err(|_| ParseTxidError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_round_trips_and_other_texts_are_rejected() {
        assert_eq!("000000000000002a".parse(), Ok(Txid(42)));
        assert_eq!(Txid(42).to_string(), "000000000000002a");
        assert_eq!("ffffffffffffffff".parse(), Ok(Txid(u64::MAX)));
        for bad in ["", "2a", "+00000000000002a", "00000000000000002a", "000000000000002g"] {
            assert_eq!(bad.parse::<Txid>(), Err(ParseTxidError), "{bad:?}");
        }
    }
}
