//! The structure of the source: which module may import which, where unsafe code is allowed, and that each type has a
//! name of its own. ARCHITECTURE.md gives the reasons.

mod lexer;
mod source;

use lexer::{matching_brace, without_comments_and_strings, words};
use source::{Crate, is_within, source_files};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each top-level module, and the other top-level modules that it may import.
const LAYERS: &[(&str, &[&str])] = &[
    ("ltx", &[]),
    ("store", &["lock", "ltx", "pread", "process", "progress", "random"]),
    // Modules that several layers share. Errors mention files and stores; the configuration, times and transactions.
    ("lock", &[]),
    ("last_error", &["lock", "process"]),
    ("log", &["pread", "runtime", "store"]),
    ("pread", &[]),
    ("scratch", &["pread", "process"]),
    ("process", &["lock"]),
    ("progress", &[]),
    ("random", &[]),
    ("runtime", &["error", "lock", "process", "progress"]),
    ("error", &["ltx", "store"]),
    ("time", &["error"]),
    ("config", &["error", "ltx", "time"]),
    (
        "replica",
        &[
            "config",
            "error",
            "last_error",
            "lock",
            "ltx",
            "pread",
            "process",
            "progress",
            "random",
            "runtime",
            "scratch",
            "store",
            "time",
        ],
    ),
    ("uri", &[]),
    (
        "sqlite",
        &[
            "config",
            "error",
            "last_error",
            "lock",
            "log",
            "ltx",
            "pread",
            "replica",
            "runtime",
            "scratch",
            "store",
            "time",
        ],
    ),
];

/// The module whose unsafe code calls SQLite.
const UNSAFE_ALLOWED: &str = "sqlite";

/// The folders of `src/replica` from low to high. Each may import those before it.
const FOLDERS: &[&str] = &[
    "folder",
    "cache",
    "dbformat",
    "files",
    "view",
    "fetch",
    "prefetch",
    "follow",
    "pages",
    "schema",
    "time_travel",
    "diff",
    "hydration",
    "write",
    FACADE,
    "session",
];
/// The module `replica` itself. It composes all folders and re-exports their types, so it may import every folder.
const FACADE: &str = "mod.rs";
/// Not part of the library: it may import every folder.
const BENCHMARKS: &str = "bench";

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Returns the violations of the rules in a source file of a top-level module.
fn violations(module: &str, source: &str) -> Vec<String> {
    let (_, allowed) =
        LAYERS.iter().find(|(name, _)| *name == module).unwrap_or_else(|| panic!("no rule for {module}"));
    let code = without_comments_and_strings(source);
    let mut found = Vec::new();
    for used in top_level_modules_named_in(&code) {
        if used != module && !allowed.contains(&used.as_str()) {
            found.push(format!("{module} imports {used}"));
        }
    }
    if module != UNSAFE_ALLOWED && words(&code).any(|word| word == "unsafe") {
        found.push(format!("{module} has unsafe code"));
    }
    found
}

/// Returns the modules in `crate::name`, in `crate::{a, b::c}`, and in `super::…::layer`, which leaves a layer through its
/// root.
fn top_level_modules_named_in(code: &str) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = code[at + "crate::".len()..].trim_start();
        match rest.strip_prefix('{') {
            Some(group) => {
                let parts = source::parts(&group[..matching_brace(group)]);
                modules.extend(parts.iter().filter_map(|part| words(part).next().map(str::to_owned)));
            }
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

/// Returns the imports between the folders of `src/replica` that are against their order.
fn upward_imports(source: &Crate) -> BTreeSet<(String, String)> {
    let folder_of = |module: &str| -> Option<String> {
        let rest = module.strip_prefix("replica")?;
        Some(words(rest).next().unwrap_or(FACADE).to_owned())
    };
    let mut found = BTreeSet::new();
    for module in source.paths() {
        let Some(folder) = folder_of(module).filter(|folder| ![FACADE, BENCHMARKS].contains(&folder.as_str())) else {
            continue;
        };
        let height = |folder: &str| {
            FOLDERS.iter().position(|known| *known == folder).unwrap_or_else(|| panic!("no rule for {folder}"))
        };
        for imported in source.imports(module).iter().filter_map(|module| folder_of(module)) {
            if imported == BENCHMARKS || height(&imported) > height(&folder) {
                found.insert((folder.clone(), imported));
            }
        }
    }
    found
}

/// Returns the pairs of modules that import each other. A module and one inside it may do so.
fn circles(source: &Crate) -> Vec<String> {
    let imports: BTreeMap<&str, BTreeSet<String>> = source.paths().map(|path| (path, source.imports(path))).collect();
    let mut found = Vec::new();
    for (one, imported) in &imports {
        for other in imported.range((*one).to_owned()..) {
            let returns = imports.get(other.as_str()).is_some_and(|back| back.contains(*one));
            if returns && !is_within(one, other) && !is_within(other, one) {
                found.push(format!("{one} and {other}"));
            }
        }
    }
    found
}

/// Returns the names of the types that code defines at module level, without associated types and those inside functions.
fn types_defined_in(code: &str) -> BTreeSet<String> {
    let mut defined = BTreeSet::new();
    // The open brackets at a position, with whether each is that of a module.
    let mut open: Vec<bool> = Vec::new();
    let mut item: Vec<&str> = Vec::new();
    let mut start = 0;
    for (at, c) in code.char_indices() {
        if c.is_alphanumeric() || c == '_' {
            continue;
        }
        if start < at {
            item.push(&code[start..at]);
            if let [.., kind, name] = item[..]
                && ["struct", "enum", "trait", "type", "union"].contains(&kind)
                && open.iter().all(|is_module| *is_module)
            {
                defined.insert(name.to_owned());
            }
        }
        start = at + c.len_utf8();
        match c {
            '{' | '(' | '[' => open.push(c == '{' && matches!(item[..], [.., "mod", _])),
            '}' | ')' | ']' => drop(open.pop()),
            _ => {}
        }
        if "{};".contains(c) {
            item.clear();
        }
    }
    defined
}

/// Returns the names of types that several files define, with the files.
fn shared_names<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let mut files_of: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (file, source) in files {
        for name in types_defined_in(&without_comments_and_strings(source)) {
            files_of.entry(name).or_default().push(file);
        }
    }
    files_of.retain(|_, files| files.len() > 1);
    files_of.iter().map(|(name, files)| format!("{name}: {}", files.join(", "))).collect()
}

#[test]
fn layers_import_only_lower_layers() {
    let src = src();
    let mut found = Vec::new();
    let mut modules = BTreeSet::new();
    for (path, source) in source_files(&src) {
        let below = Path::new(&path).strip_prefix(&src).expect("the file is below src");
        let first = below.components().next().expect("a file has a name").as_os_str().to_str().expect("text");
        let module = first.strip_suffix(".rs").unwrap_or(first);
        if module != "lib" {
            modules.insert(module.to_owned());
            found.extend(violations(module, &source).into_iter().map(|violation| format!("{path}: {violation}")));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    let with_rules = LAYERS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(modules, with_rules, "each module has a rule, and each rule a module");
}

#[test]
fn folders_of_the_replica_import_only_lower_folders() {
    let found = upward_imports(&Crate::read(&src()));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn no_two_modules_import_each_other() {
    let found = circles(&Crate::read(&src()));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_two_types_have_the_same_name() {
    let files = source_files(&src());
    let found = shared_names(files.iter().map(|(path, source)| (path.as_str(), source.as_str())));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn forbidden_imports_between_layers_are_found() {
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

#[test]
fn forbidden_imports_between_folders_are_found() {
    let replica = |view: &str| {
        let files = [
            ("replica", "mod files; mod follow; mod view; pub use follow::Follower; pub struct Replica;"),
            ("replica::files", "pub struct Plan;"),
            ("replica::follow", "mod poll; use super::view::View; pub struct Follower;"),
            ("replica::follow::poll", "use crate::replica::{files::Plan, view};"),
            ("replica::view", view),
            ("replica::bench", "use super::follow;"),
        ];
        let found = upward_imports(&Crate::new(files)).into_iter();
        found.map(|(from, to)| format!("{from} imports {to}")).collect::<Vec<_>>()
    };
    assert_eq!(replica("use crate::replica::files::{self, Plan}; pub struct View;"), [""; 0]);
    assert_eq!(replica("#[cfg(test)] mod tests { use crate::replica::follow::poll; }"), [""; 0]);
    assert_eq!(replica("fn f() { super::follow::poll::g() }"), ["view imports follow"]);
    assert_eq!(replica("use super::{files::Plan, follow::{poll, x}};"), ["view imports follow"]);
    // The module that defines a name counts, not the one that re-exports it.
    assert_eq!(replica("use crate::replica::Follower;"), ["view imports follow"]);
    assert_eq!(replica("use super::Replica as Facade;"), ["view imports mod.rs"]);
    assert_eq!(replica("use super::bench;"), ["view imports bench"]);
}

#[test]
fn modules_that_import_each_other_are_found() {
    let circles_with = |files: &[(&str, &str)]| circles(&Crate::new(files.iter().copied()));
    let root = ("", "mod a; mod b;");
    assert_eq!(circles_with(&[root, ("a", "use crate::b::B;"), ("b", "use crate::c;")]), [""; 0]);
    assert_eq!(circles_with(&[root, ("a", "use crate::b::B;"), ("b", "fn f() { super::a::g() }")]), ["a and b"]);
    let within = [root, ("a", "mod c; use c::C;"), ("a::c", "use super::A;")];
    assert_eq!(circles_with(&within), [""; 0], "a module and one inside it");
    let through_parent =
        [("a", "mod b; mod c; pub use b::B;"), ("a::b", "use super::c; pub struct B;"), ("a::c", "use super::B;")];
    assert_eq!(circles_with(&through_parent), ["a::b and a::c"]);
    let in_tests = [("a", "#[cfg(test)] mod t; mod b;"), ("a::t", "use super::b;"), ("a::b", "use super::t;")];
    assert_eq!(circles_with(&in_tests), [""; 0], "modules for tests only do not count");
}

#[test]
fn types_with_the_same_name_are_found() {
    let shared = |one: &str, other: &str| shared_names([("one", one), ("other", other)]);
    assert_eq!(shared("struct A; // struct B", "enum B<T> { C(T) } fn f() { struct A; }"), [""; 0]);
    assert_eq!(shared("pub struct A(u8);", "pub(crate) type A = u8;"), ["A: one, other"]);
    assert_eq!(shared("trait A: Send {}", "mod inner { use x::{y}; union A { x: u8 } }"), ["A: one, other"]);
    assert_eq!(shared("trait T { type A; } impl T for X { type A = u8; }", "struct A<'a> { a: &'a u8 }"), [""; 0]);
    assert_eq!(shared("#[cfg(unix)] type A = u8; #[cfg(windows)] type A = u16;", ""), [""; 0]);
}
