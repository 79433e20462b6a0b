//! The paths of the files of a replica, relative to its root.

use crate::ltx::{FileName, Level, Txid};

/// The layout of the directories of levels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Layout {
    /// `0009/`, for S3.
    Hexadecimal,
    /// `ltx/9/`, for all other backends.
    Decimal,
}

impl Layout {
    /// Returns the directory of a level, relative to the replica's path, without a slash at the end.
    pub fn level(self, level: Level) -> String {
        match self {
            Layout::Hexadecimal => format!("{:04x}", level.number()),
            Layout::Decimal => format!("ltx/{level}"),
        }
    }

    /// Returns the path of a file, relative to the replica's path.
    pub fn file(self, level: Level, name: FileName) -> String {
        format!("{}/{name}", self.level(level))
    }
}

/// Returns a name that sorts after the names of all files whose min TXID is below `from`, and before all others.
/// Returns None if there can be no such files.
pub(super) fn start(from: Txid) -> Option<String> {
    (from > Txid(1)).then(|| from.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_that_litestream_writes() {
        let name = FileName { min: Txid(1), max: Txid(255) };
        let of = |layout: Layout| layout.file(Level::SNAPSHOT, name);
        assert_eq!(of(Layout::Hexadecimal), "0009/0000000000000001-00000000000000ff.ltx");
        assert_eq!(of(Layout::Decimal), "ltx/9/0000000000000001-00000000000000ff.ltx");
    }

    #[test]
    fn the_start_sorts_between_lower_and_higher_txids() {
        let start = start(Txid(16)).expect("a start");
        assert!(start < FileName::of(Txid(16)).to_string());
        assert!(start > FileName { min: Txid(15), max: Txid(u64::MAX) }.to_string());
        assert_eq!(super::start(Txid(1)), None);
    }
}
