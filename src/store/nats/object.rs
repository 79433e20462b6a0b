//! The metadata of an object.

use crate::ltx::{FileName, Level};
use crate::store::{Listed, Version};
use chrono::DateTime;
use serde_json::Value;

/// An object's metadata, which is the last message of the subject that its name determines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::store) struct NatsObject {
    pub name: String,
    /// Differs each time that the object is written.
    pub id: String,
    /// In bytes.
    pub size: u64,
    /// Number of messages that contain the object's bytes.
    pub pieces: u64,
    /// Whether this is the marker that Litestream leaves when it deletes an object.
    pub is_deleted: bool,
    /// When Litestream wrote the object, in milliseconds since 1970; 0 if unknown.
    pub modified_ms: i64,
}

impl NatsObject {
    /// Parses the JSON of a metadata message. Returns None if it is invalid.
    pub fn parse(json: &[u8]) -> Option<NatsObject> {
        let metadata: Value = serde_json::from_slice(json).ok()?;
        let number = |name: &str| metadata.get(name).map_or(Some(0), Value::as_u64);
        let modified = metadata.pointer("/headers/Litestream-Timestamp/0").and_then(Value::as_str);
        let modified = modified.and_then(|time| DateTime::parse_from_rfc3339(time).ok());
        Some(NatsObject {
            name: metadata.get("name")?.as_str()?.to_owned(),
            id: metadata.get("nuid").and_then(Value::as_str).unwrap_or_default().to_owned(),
            size: number("size")?,
            pieces: number("chunks")?,
            is_deleted: metadata.get("deleted").and_then(Value::as_bool).unwrap_or(false),
            modified_ms: modified.map_or(0, |time| time.timestamp_millis()),
        })
    }

    /// Returns the object as a file of the replica, or None if it is not a file of `level`.
    pub fn listed(&self, level: Level) -> Option<Listed> {
        let (directory, name) = self.name.strip_prefix("ltx/")?.split_once('/')?;
        let is_in_level = directory.parse() == Ok(level.number());
        let name = FileName::parse(name).filter(|_| is_in_level)?;
        Some(Listed { level, name, size: self.size, version: Some(self.version()), modified_ms: self.modified_ms })
    }

    pub fn version(&self) -> Version {
        Version(self.id.as_str().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_parsed() {
        let json = br#"{"name":"ltx/9/x.ltx","headers":{"Litestream-Timestamp":["2026-11-21T15:33:58.135Z"]},
            "options":{"max_chunk_size":131072},"bucket":"app","nuid":"yeB","size":13166,
            "mtime":"0001-01-01T00:00:00Z","chunks":37,"digest":"SHA-256=6Wv8"}"#;
        let object = NatsObject {
            name: "ltx/9/x.ltx".to_owned(),
            id: "yeB".to_owned(),
            size: 13166,
            pieces: 37,
            is_deleted: false,
            modified_ms: 1_795_275_238_135,
        };
        assert_eq!(NatsObject::parse(json), Some(object));
        let deleted =
            NatsObject::parse(br#"{"name":"x","bucket":"app","nuid":"yeB","deleted":true}"#).expect("an object");
        assert!(deleted.is_deleted && deleted.size == 0 && deleted.modified_ms == 0);
        assert_eq!(NatsObject::parse(b"{}"), None);
        assert_eq!(NatsObject::parse(br#"{"name":"x","size":-1}"#), None);
        assert_eq!(NatsObject::parse(b"<xml>"), None);
    }
}
