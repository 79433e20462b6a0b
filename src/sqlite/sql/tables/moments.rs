//! Arguments that are moments.

use crate::config::Target;
use crate::ltx::Txid;
use crate::sqlite::errors::SqlError;
use crate::sqlite::sql::argument::Argument;
use crate::time;

/// Parses the argument at a position: a TXID as an integer or 16 hexadecimal digits, or a time. Returns None for NULL.
pub fn target(arguments: &[Argument], at: usize) -> Result<Option<Target>, SqlError> {
    if let Some(Argument::Integer(number)) = arguments.get(at) {
        let txid = u64::try_from(*number).map_err(|_| format!("{number} is not a TXID"))?;
        return Ok(Some(Target::Txid(Txid(txid))));
    }
    let Some(text) = arguments.get(at).cloned().and_then(Argument::into_text) else { return Ok(None) };
    let text = text.to_string_lossy();
    if let Ok(txid) = text.parse() {
        return Ok(Some(Target::Txid(txid)));
    }
    Ok(Some(time::parse(&text)?.into()))
}
