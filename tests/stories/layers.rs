//! Each layer imports only from those below it, and only the topmost holds unsafe code. ARCHITECTURE.md tells why.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A top-level module, and the others of the crate that it may name.
const RULES: &[(&str, &[&str])] = &[
    ("ltx", &[]),
    ("store", &["lock", "ltx", "pread", "process", "progress"]),
    // Leaves that several layers share. Errors tell of files and stores; settings of moments and transactions.
    ("lock", &[]),
    ("log", &["pread", "runtime", "store"]),
    ("pread", &[]),
    ("process", &[]),
    ("progress", &[]),
    ("runtime", &["error", "lock", "process", "progress"]),
    ("error", &["ltx", "store"]),
    ("time", &["error"]),
    ("config", &["error", "ltx", "time"]),
    ("replica", &["config", "error", "lock", "ltx", "pread", "process", "progress", "runtime", "store", "time"]),
    ("sqlite", &["config", "error", "lock", "log", "ltx", "pread", "replica", "runtime", "store", "time"]),
];

/// The module whose unsafe code talks to SQLite.
const UNSAFE_ALLOWED: &str = "sqlite";

/// What a source file of a module does that it may not.
fn violations(module: &str, source: &str) -> Vec<String> {
    let (_, allowed) = RULES.iter().find(|(name, _)| *name == module).unwrap_or_else(|| panic!("no rule for {module}"));
    let code = without_comments_and_strings(source);
    let mut found = Vec::new();
    for used in crate_modules_named_in(&code) {
        if used != module && !allowed.contains(&used.as_str()) {
            found.push(format!("{module} imports {used}"));
        }
    }
    if module != UNSAFE_ALLOWED && words(&code).any(|word| word == "unsafe") {
        found.push(format!("{module} has unsafe code"));
    }
    found
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The modules behind `crate::name`, `crate::{a, b::c}`, and `super::…::layer`, which leaves a layer by its root.
fn crate_modules_named_in(code: &str) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = code[at + "crate::".len()..].trim_start();
        match rest.strip_prefix('{') {
            Some(group) => modules.extend(heads_of_group(group)),
            None => modules.extend(words(rest).next().map(str::to_owned)),
        }
    }
    for (at, _) in code.match_indices("super::") {
        let name = words(&code[at + "super::".len()..]).next().unwrap_or("");
        if ["ltx", "store", "replica", "sqlite"].contains(&name) {
            modules.insert(name.to_owned());
        }
    }
    modules
}

/// The first name of each path in what follows the brace of `crate::{`.
fn heads_of_group(group: &str) -> Vec<String> {
    let (mut depth, mut heads, mut start) = (1, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            heads.extend(words(&group[start..at]).next().map(str::to_owned));
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    heads
}

/// The code alone: comments, strings and characters leave a blank.
fn without_comments_and_strings(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let skipped = literal_or_comment(rest);
        if skipped > 0 {
            code.push(' ');
            rest = &rest[skipped..];
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    code
}

/// The length of the comment or literal that begins here; 0 if none does.
fn literal_or_comment(rest: &str) -> usize {
    let to_end_of = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return to_end_of("\n", 0) - 1;
    }
    if rest.starts_with("/*") {
        return to_end_of("*/", 2);
    }
    if let Some(raw) = rest.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            return to_end_of(&format!("\"{}", "#".repeat(hashes)), hashes + 2);
        }
    }
    let quoted = |quote: char| {
        let mut escaped = false;
        for (at, c) in rest.char_indices().skip(1) {
            if c == quote && !escaped {
                return at + 1;
            }
            escaped = c == '\\' && !escaped;
        }
        rest.len()
    };
    match rest.chars().next() {
        Some('"') => quoted('"'),
        // A lifetime is no character: 'a is followed by no quote.
        Some('\'') if rest.starts_with("'\\") || rest.chars().nth(2) == Some('\'') => quoted('\''),
        _ => 0,
    }
}

/// Every source file below `dir`, as (path, content).
fn sources(dir: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.expect("a directory entry").path()) {
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            found.push((path.display().to_string(), source));
        }
    }
    found
}

#[test]
fn layers_import_only_from_those_below() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut modules = BTreeSet::new();
    for (path, source) in sources(&src) {
        let below = Path::new(&path).strip_prefix(&src).expect("it lies there");
        let first = below.components().next().expect("a file has a name").as_os_str().to_str().expect("text");
        let module = first.strip_suffix(".rs").unwrap_or(first);
        if module != "lib" {
            modules.insert(module.to_owned());
            found.extend(violations(module, &source).into_iter().map(|violation| format!("{path}: {violation}")));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    let ruled = RULES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(modules, ruled, "each module has a rule, and each rule a module");
}

#[test]
fn the_check_finds_what_it_is_for() {
    let clean =
        "use super::Txid; // crate::replica\nlet s = \"crate::sqlite unsafe\"; let c = '\"'; use crate::ltx::{a, b};";
    assert_eq!(violations("ltx", clean), [""; 0]);
    assert_eq!(violations("ltx", "/* unsafe */ r#\"crate::store \"# fn f<'a>(x: &'a str) {}"), [""; 0]);
    assert_eq!(violations("ltx", "use crate::store::Store;"), ["ltx imports store"]);
    assert_eq!(
        violations("store", "use crate::{ltx::{self, x}, replica::View, error};"),
        ["store imports error", "store imports replica"]
    );
    assert_eq!(violations("store", "fn f(v: &crate::replica::View) {}"), ["store imports replica"]);
    assert_eq!(violations("replica", "let x = super::super::sqlite::y;"), ["replica imports sqlite"]);
    assert_eq!(violations("replica", "let q = '\\''; unsafe { f() }"), ["replica has unsafe code"]);
    assert_eq!(violations("sqlite", "unsafe { crate::replica::f() }"), [""; 0]);
}
