//! Levels and file names.

use super::Txid;
use std::fmt;

/// The level of a file: 0 for a sync of the primary, 1 to 8 for compactions, 9 for snapshots.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

impl Level {
    /// The level that has one file per sync of the primary.
    pub const ZERO: Level = Level(0);
    /// The level of the first compaction.
    pub const FIRST_COMPACTED: Level = Level(1);
    /// The level of files that contain the whole database. They start at TXID 1.
    pub const SNAPSHOT: Level = Level(9);

    /// Creates a level from its number. Returns None above 9.
    pub fn new(number: u8) -> Option<Level> {
        (number <= Level::SNAPSHOT.0).then_some(Level(number))
    }

    /// Returns all levels in ascending order.
    pub fn all() -> impl DoubleEndedIterator<Item = Level> {
        (0..=Level::SNAPSHOT.0).map(Level)
    }

    /// Returns its number, from 0 to 9.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L{}", self.0)
    }
}

/// The name of a file, which is its range of transactions: `<min>-<max>.ltx`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileName {
    /// First transaction in the file, at least 1.
    pub min: Txid,
    /// Last transaction in the file, at least `min` and less than 2⁶⁴ − 1, so that there is a next one.
    pub max: Txid,
}

impl FileName {
    /// The name of the file that contains one transaction.
    pub fn of(txid: Txid) -> FileName {
        FileName { min: txid, max: txid }
    }

    /// Parses a file name. Returns None for other files in the directory, such as temporary files.
    ///
    /// Litestream writes lower-case digits only. A name with upper-case digits is another object, so it is not accepted.
    pub fn parse(name: &str) -> Option<FileName> {
        let (min, max) = name.strip_suffix(".ltx")?.split_once('-')?;
        let file = FileName { min: min.parse().ok()?, max: max.parse().ok()? };
        let is_valid = file.min.0 >= 1 && file.min <= file.max && file.max < Txid(u64::MAX);
        (is_valid && file.to_string() == name).then_some(file)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}.ltx", self.min, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_other_names_are_none() {
        let name = "0000000000000001-00000000000000ff.ltx";
        let file = FileName::parse(name).expect("a valid name");
        assert_eq!(file, FileName { min: Txid(1), max: Txid(255) });
        assert_eq!(file.to_string(), name);
        for other in [
            "0000000000000001-00000000000000ff.ltx.tmp",
            "0000000000000001-00000000000000FF.ltx",
            "0000000000000000-0000000000000001.ltx",
            "0000000000000002-0000000000000001.ltx",
            "0000000000000001.ltx",
            "0000000000000001-ffffffffffffffff.ltx",
            "",
        ] {
            assert_eq!(FileName::parse(other), None, "{other:?}");
        }
    }
}
