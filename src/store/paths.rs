//! Where the files of a replica lie below its path. All key layout there is, is here.

use crate::ltx::{FileName, Level, Txid};

/// How a backend names levels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Layout {
    /// `0009/`: S3.
    Hexadecimal,
    /// `ltx/9/`: every other backend.
    Decimal,
}

impl Layout {
    /// The directory of a level, relative to the replica's path, without a slash at the end.
    pub fn level(self, level: Level) -> String {
        match self {
            Layout::Hexadecimal => format!("{:04x}", level.number()),
            Layout::Decimal => format!("ltx/{level}"),
        }
    }

    /// A file, relative to the replica's path.
    pub fn file(self, level: Level, name: FileName) -> String {
        format!("{}/{name}", self.level(level))
    }
}

/// A name that sorts behind those of all files whose min TXID is below `from`, and before all others.
/// None where there are none below.
pub(super) fn start(from: Txid) -> Option<String> {
    (from > Txid(1)).then(|| from.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_lie_where_litestream_writes_them() {
        let name = FileName { min: Txid(1), max: Txid(255) };
        let of = |layout: Layout| layout.file(Level::SNAPSHOT, name);
        assert_eq!(of(Layout::Hexadecimal), "0009/0000000000000001-00000000000000ff.ltx");
        assert_eq!(of(Layout::Decimal), "ltx/9/0000000000000001-00000000000000ff.ltx");
    }

    #[test]
    fn a_start_separates_what_lies_below_it() {
        let start = start(Txid(16)).expect("a start");
        assert!(start < FileName { min: Txid(16), max: Txid(16) }.to_string());
        assert!(start > FileName { min: Txid(15), max: Txid(u64::MAX) }.to_string());
        assert_eq!(super::start(Txid(1)), None);
    }
}
