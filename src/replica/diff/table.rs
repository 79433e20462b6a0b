//! A table in two states.

use crate::error::{Error, ErrorKind};
use crate::ltx::Txid;
use crate::replica::dbformat::page_set::PageSet;
use crate::replica::dbformat::record::SchemaRow;
use crate::replica::diff::Diff;
use crate::replica::diff::trees::TreeReader;
use crate::replica::view::View;
use std::sync::Arc;

/// The name of the table with the schema, and its definition.
const SCHEMA: [&str; 2] = ["sqlite_schema", "sqlite_master"];
const SCHEMA_SQL: &str = "CREATE TABLE sqlite_schema (type TEXT, name TEXT, tbl_name TEXT, rootpage INT, sql TEXT)";

/// A table as it is in one state.
#[derive(Clone, Debug)]
pub struct TableState {
    pub view: Arc<View>,
    /// The name as the schema has it.
    pub name: String,
    /// The CREATE TABLE statement.
    pub sql: String,
    /// The CREATE UNIQUE INDEX statements of the table. The indexes of constraints have none.
    pub unique_indexes: Vec<String>,
    pub(in crate::replica) root: u32,
}

/// A table in two states, the older one first.
#[derive(Clone, Debug)]
pub struct TablePair {
    /// The name as the newer state has it.
    pub name: String,
    pub states: [TableState; 2],
}

impl Diff {
    /// Finds a table in two states.
    pub(in crate::replica) async fn table(
        &self,
        name: &str,
        older: Arc<View>,
        newer: Arc<View>,
    ) -> Result<TablePair, Error> {
        let before = self.table_state(name, older).await?;
        let after = self.table_state(name, newer).await?;
        Ok(TablePair { name: after.name.clone(), states: [before, after] })
    }

    async fn table_state(&self, name: &str, view: Arc<View>) -> Result<TableState, Error> {
        let txid = view.txid();
        let (table, _) = self.find_table(name, view).await?;
        table.ok_or_else(|| {
            Error::new(ErrorKind::Config, format!("there is no table '{name}' in the state of TXID {txid}"))
                .remedy("see litestream_diff('sqlite_schema', …) for tables that were created, renamed or dropped")
        })
    }

    /// Finds a table in a state. Also returns a transaction since which the schema has been the same.
    pub(super) async fn find_table(&self, name: &str, view: Arc<View>) -> Result<(Option<TableState>, Txid), Error> {
        if SCHEMA.iter().any(|schema| schema.eq_ignore_ascii_case(name)) {
            let (name, sql) = (SCHEMA[0].to_owned(), SCHEMA_SQL.to_owned());
            return Ok((Some(TableState { view, name, sql, unique_indexes: Vec::new(), root: 1 }), Txid(0)));
        }
        let (schema, since) = {
            let trees = TreeReader::new(&self.pages, &view).await?;
            let tree = trees.walk(1, &mut PageSet::default()).await?;
            let files = tree.inner.iter().chain(&tree.leaves).filter_map(|pgno| view.file_of(*pgno));
            let since = files.map(|file| file.name.max).max().unwrap_or_default();
            (trees.schema_rows(&tree).await?, since)
        };
        let is_named = |row: &&SchemaRow| row.name.eq_ignore_ascii_case(name) && row.kind != "trigger";
        match schema.iter().find(is_named) {
            None => Ok((None, since)),
            Some(SchemaRow { kind, name, root: Some(root), sql: Some(sql), .. }) if kind == "table" => {
                let (name, sql, root) = (name.clone(), sql.clone(), *root);
                let unique_indexes = unique_indexes(&name, &schema);
                Ok((Some(TableState { view, name, sql, unique_indexes, root }), since))
            }
            Some(row) => Err(no_rows(row, &schema)),
        }
    }
}

/// Returns the statements that create the unique indexes of a table. SQLite normalises their first words.
fn unique_indexes(table: &str, schema: &[SchemaRow]) -> Vec<String> {
    let of_table = schema.iter().filter(|row| row.kind == "index" && row.table.eq_ignore_ascii_case(table));
    let statements = of_table.filter_map(|row| row.sql.clone());
    statements.filter(|sql| sql.starts_with("CREATE UNIQUE INDEX ")).collect()
}

/// The error for an entry of the schema that has no rows of its own.
fn no_rows(row: &SchemaRow, schema: &[SchemaRow]) -> Error {
    let SchemaRow { kind, name, .. } = row;
    if kind != "table" {
        return Error::new(ErrorKind::Config, format!("'{name}' is not a table: it is of type {kind}"))
            .remedy("name a table");
    }
    let start = format!("{}_", name.to_lowercase());
    let is_shadow =
        |row: &&SchemaRow| row.root.is_some() && row.kind == "table" && row.name.to_lowercase().starts_with(&start);
    let shadows: Vec<&str> = schema.iter().filter(is_shadow).map(|row| row.name.as_str()).collect();
    let text = format!("'{name}' is a virtual table, whose content is in other tables");
    Error::new(ErrorKind::Config, text).remedy(match shadows.is_empty() {
        true => "this database has none with its name".to_owned(),
        false => format!("name one of {}", shadows.join(", ")),
    })
}
