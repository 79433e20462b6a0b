//! Random tables, with the parts of a definition that matter to how rows are stored.

use super::random::Random;
use super::random_column::{COLLATIONS, RandomColumn, quoted};

/// A table. Names are as the schema has them, without quotes.
pub struct RandomTable {
    pub name: String,
    pub columns: Vec<RandomColumn>,
    /// The columns of the primary key, with their collating sequences, if the table is WITHOUT ROWID.
    pub key: Option<Vec<(usize, &'static str)>>,
    pub is_strict: bool,
    /// The statements that create the table and its unique indexes.
    pub sql: Vec<String>,
    /// Whether columns were added, renamed or dropped since.
    pub is_altered: bool,
}

const TABLE_NAMES: [&str; 10] =
    ["plain", "odd table", "it's", "tablé_表", "q\"t", "select", "a;b", "UPPER", "x.y", "percent%s"];
const COLUMN_NAMES: [&str; 20] = [
    "a",
    "b",
    "c1",
    "Name",
    "odd name",
    "it's",
    "a;b",
    "ünï",
    "日本",
    "select",
    "q\"q",
    "x-y",
    "1st",
    "%d",
    "new\nline",
    "key",
    "rowid",
    "oid",
    "[x]",
    "'",
];
impl RandomTable {
    /// Returns a table of its own name for each of the first numbers.
    pub fn new(random: &mut Random, number: usize) -> RandomTable {
        let name = TABLE_NAMES[number % TABLE_NAMES.len()].to_owned();
        let (is_strict, most) = (random.once_in(4), if random.once_in(8) { 20 } else { 7 });
        let count = 1 + random.index(most);
        let names = random.some(count, COLUMN_NAMES.len());
        let columns = names.iter().map(|name| RandomColumn::new(random, COLUMN_NAMES[*name], is_strict)).collect();
        let mut table = RandomTable { name, columns, key: None, is_strict, sql: Vec::new(), is_altered: false };
        let mut parts: Vec<String> = (0..count).map(|at| table.columns[at].definition(random)).collect();
        let key = table.primary_key(random, &mut parts);
        table.add_generated(random, &mut parts);
        parts.extend(key);
        if random.once_in(3) {
            let unique = table.list(random, 3);
            parts.push(format!("UNIQUE ({unique})"));
        }
        if random.once_in(4) {
            let column = table.use_column(random);
            parts.push(format!("CHECK (length(quote({column})) < 300000)"));
        }
        let options: Vec<&str> = [(is_strict, "STRICT"), (table.key.is_some(), "WITHOUT ROWID")]
            .into_iter()
            .filter_map(|(is_set, option)| is_set.then_some(option))
            .collect();
        table.sql.push(format!("CREATE TABLE {} ({}) {}", quoted(&table.name), parts.join(", "), options.join(", ")));
        table.add_unique_index(random);
        table
    }

    /// Chooses the primary key. Returns it if it is not part of the definition of a column.
    fn primary_key(&mut self, random: &mut Random, parts: &mut [String]) -> Option<String> {
        let at = random.index(self.columns.len());
        match random.below(6) {
            0 => None,
            // The column is the rowid, except with DESC in the definition of the column.
            kind @ 1..3 => {
                let column = &mut self.columns[at];
                (column.kind, column.collation, column.is_used) = ("INTEGER", "", true);
                let name = quoted(&column.name);
                if kind == 1 {
                    let more = random.of(&["", " AUTOINCREMENT", " DESC", " ASC"]);
                    parts[at] = format!("{name} INTEGER PRIMARY KEY{more}");
                    return None;
                }
                parts[at] = format!("{name} INTEGER");
                Some(format!("PRIMARY KEY ({name} {})", random.of(&["", "DESC"])))
            }
            kind => {
                let count = 1 + random.index(3);
                let mut key: Vec<(usize, &'static str)> = Vec::new();
                for at in random.some(count, self.columns.len()) {
                    self.columns[at].is_used = true;
                    self.columns[at].is_not_null |= kind > 3;
                    let own = if random.once_in(3) { random.of(&COLLATIONS[3..]) } else { "" };
                    key.push((at, own));
                }
                // A column can occur twice, if its collating sequences differ.
                if random.once_in(6) {
                    key = vec![(key[0].0, "NOCASE"), (key[0].0, "RTRIM")];
                }
                let term = |(at, own): &(usize, &str), order: &str| {
                    let collate = if own.is_empty() { String::new() } else { format!(" COLLATE {own}") };
                    format!("{}{collate} {order}", quoted(&self.columns[*at].name))
                };
                let terms: Vec<String> = key.iter().map(|part| term(part, random.of(&["", "DESC", "ASC"]))).collect();
                let collation = |(at, own): (usize, &'static str)| {
                    (at, if own.is_empty() { self.columns[at].collation } else { own })
                };
                let key: Vec<_> = key.into_iter().map(collation).collect();
                self.key = (kind > 3).then_some(key);
                Some(format!("PRIMARY KEY ({})", terms.join(", ")))
            }
        }
    }

    /// Adds generated columns at random positions.
    fn add_generated(&mut self, random: &mut Random, parts: &mut Vec<String>) {
        while random.once_in(3) && self.columns.len() < 30 {
            let base = self.use_column(random);
            let name = format!("gen {}", self.columns.len());
            let (kind, expression) = match random.below(2) {
                0 => ("INTEGER", format!("length(quote({base})) + 1")),
                _ => ("TEXT", format!("'<' || substr(quote({base}), 1, 20) || '>'")),
            };
            let stored = random.of(&["STORED", "VIRTUAL"]);
            let column =
                RandomColumn { name, kind, collation: "", is_not_null: false, is_used: true, is_generated: true };
            let at = random.index(self.columns.len() + 1);
            parts.insert(at, format!("{} {kind} GENERATED ALWAYS AS ({expression}) {stored}", quoted(&column.name)));
            self.columns.insert(at, column);
            self.key.iter_mut().flatten().filter(|(column, _)| *column >= at).for_each(|(column, _)| *column += 1);
        }
    }

    /// Adds a unique index that a constraint cannot be: of a part of the rows, or of an expression.
    fn add_unique_index(&mut self, random: &mut Random) {
        let (name, table) = (quoted(&format!("unique of {}", self.name)), quoted(&self.name));
        let start = format!("CREATE UNIQUE INDEX {name} ON {table}");
        let sql = match random.below(6) {
            0 => format!("{start} ({}) WHERE {} IS NOT NULL", self.list(random, 2), self.use_column(random)),
            1 => format!("{start} ({}) WHERE length({}) % 2", self.list(random, 2), self.use_column(random)),
            2 => format!("{start} (lower({}), {})", self.use_column(random), self.use_column(random)),
            _ => return,
        };
        self.sql.push(sql);
    }

    /// Returns the names of up to `most` columns that are not generated.
    fn list(&mut self, random: &mut Random, most: usize) -> String {
        let assigned = self.assigned();
        let count = 1 + random.index(most);
        let chosen = random.some(count, assigned.len());
        chosen.iter().for_each(|at| self.columns[assigned[*at]].is_used = true);
        chosen.iter().map(|at| quoted(&self.columns[assigned[*at]].name)).collect::<Vec<_>>().join(", ")
    }

    fn use_column(&mut self, random: &mut Random) -> String {
        self.list(random, 1)
    }

    /// Returns the columns that statements set.
    pub fn assigned(&self) -> Vec<usize> {
        (0..self.columns.len()).filter(|at| !self.columns[*at].is_generated).collect()
    }

    /// Returns a name of the rowid, or the first column of the key.
    pub fn handle(&self) -> String {
        match &self.key {
            Some(key) => quoted(&self.columns[key[0].0].name),
            None => self.rowid().to_owned(),
        }
    }

    /// Returns a name of the rowid that no column has.
    pub fn rowid(&self) -> &'static str {
        let is_free = |name: &&str| self.columns.iter().all(|column| column.name != **name);
        ["rowid", "_rowid_", "oid"].into_iter().find(is_free).expect("no column is named _rowid_")
    }
}
