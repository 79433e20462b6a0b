//! The table `litestream_undo`: SQL that puts the rows of a table back as they were.
//!
//! The SQL is a transaction for the primary. Each statement changes a row only if it is as it was at the later moment.
//! Otherwise the row is noted in a temporary table, whose content the last statement shows. A violated constraint rolls
//! the transaction back. As every statement names the temporary table, which is then gone, none runs outside the
//! transaction.

use super::comparison::{ARGUMENTS, Comparison};
use super::definition::{Row, TableDef};
use super::undo_script::{BEGIN, END, END_OF_PARKING, PARKING, UndoScript};
use super::unique::UniqueValues;
use crate::replica::{RowChange, StoredValue, View};
use crate::sqlite::errors::SqlError;
use crate::time;
use std::cell::RefCell;
use std::rc::Rc;

/// The statements that undo the changes of a table between two moments. The first row begins the transaction, and the
/// last ends it.
pub static UNDO: TableDef = TableDef {
    name: c"litestream_undo",
    columns: &[("sql", "TEXT")],
    arguments: ARGUMENTS,
    is_innocuous: false,
    descending: None,
    rows: |caller, arguments, _| {
        let comparison = Comparison::new(caller, arguments, "litestream_undo", None)?;
        let [_, newer] = &comparison.pair.states;
        let undo = UndoPasses {
            script: UndoScript::new(&comparison.pair.name, &comparison.layout)?,
            unique: Rc::new(RefCell::new(UniqueValues::new(caller.api, newer, &comparison.layout)?)),
        };
        let is_parking = undo.unique.borrow().has_indexes();
        let passes: &[Pass] = match is_parking {
            true => &[UndoPasses::removed, UndoPasses::updated, UndoPasses::left, UndoPasses::inserted],
            false => &[UndoPasses::removed, UndoPasses::updated, UndoPasses::inserted],
        };
        let begin = [BEGIN.to_owned(), title(&comparison)].into_iter().chain(is_parking.then(|| PARKING.to_owned()));
        let end = is_parking.then(|| END_OF_PARKING.to_owned()).into_iter().chain([END.to_owned()]);
        let statements = passes.iter().flat_map(move |pass| {
            let undo = undo.clone();
            let changes = comparison.changes().enumerate();
            changes.filter_map(move |(number, change)| change.map(|change| pass(&undo, number, &change)).transpose())
        });
        let all = begin.map(Ok).chain(statements).chain(end.map(Ok));
        Ok(Box::new(all.map(|sql: Result<String, SqlError>| Ok(row(sql?)))))
    },
};

/// Returns the statements of a pass for a change, if there are any. The number of a change is the same in each pass.
type Pass = fn(&UndoPasses, usize, &RowChange) -> Option<String>;

/// The passes over the changes. Rows that take the place of others are removed first, and removed rows are inserted last.
/// An updated row whose unique values may be those of another row gets others first, and its own in the next pass.
#[derive(Clone)]
struct UndoPasses {
    script: UndoScript,
    /// Complete after the first pass.
    unique: Rc<RefCell<UniqueValues>>,
}

impl UndoPasses {
    fn removed(&self, _: usize, change: &RowChange) -> Option<String> {
        match (&change.old, &change.new) {
            (None, Some(new)) => Some(self.script.remove(change, new)),
            (Some(_), Some(new)) => {
                self.unique.borrow_mut().add(new);
                None
            }
            _ => None,
        }
    }

    fn updated(&self, number: usize, change: &RowChange) -> Option<String> {
        let (old, new) = (change.old.as_deref()?, change.new.as_deref()?);
        let changed = self.script.changed(old, new);
        let parked = self.unique.borrow().parked(change, &changed);
        match (changed.is_empty(), parked.is_empty()) {
            // Only generated columns differ.
            (true, _) => None,
            (false, true) => Some(self.script.update(change, &changed, old, new)),
            (false, false) => Some(self.script.park(change, number, &parked, &changed, [old, new])),
        }
    }

    fn left(&self, number: usize, change: &RowChange) -> Option<String> {
        let (old, new) = (change.old.as_deref()?, change.new.as_deref()?);
        let changed = self.script.changed(old, new);
        let parked = self.unique.borrow().parked(change, &changed);
        let is_parked = !changed.is_empty() && !parked.is_empty();
        is_parked.then(|| self.script.leave(change, number, &parked, &changed, old))
    }

    fn inserted(&self, _: usize, change: &RowChange) -> Option<String> {
        match (&change.old, &change.new) {
            (Some(old), None) => Some(self.script.insert(change, old)),
            _ => None,
        }
    }
}

fn row(sql: String) -> Row {
    vec![StoredValue::Text(sql.into_bytes())]
}

fn title(comparison: &Comparison) -> String {
    let [since, until] = &comparison.pair.states;
    let moment = |view: &View| format!("{} (TXID {})", time::format(view.time_ms()), view.txid());
    format!(
        "-- Puts the rows of {} back as they were at {}: undoes what changed until {}.",
        in_comment(&comparison.pair.name),
        moment(&since.view),
        moment(&until.view)
    )
}

/// Returns a text without line breaks, which would end a comment.
fn in_comment(text: &str) -> String {
    text.escape_debug().to_string()
}
