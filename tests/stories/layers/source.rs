//! The modules of the crate, and the modules that each imports.

use super::lexer::{matching_brace, without_comments_and_strings, without_tests, words};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The modules of a crate by their paths, such as `replica::follow`. The root has the empty path. Modules that are
/// compiled for tests only are left out.
pub struct Crate {
    modules: BTreeMap<String, Module>,
}

struct Module {
    /// The names that `use` declarations define, with their paths.
    names: BTreeMap<String, Vec<String>>,
    /// Every path in `use` declarations, and those that begin with `crate`, `super` or `self`.
    paths: Vec<Vec<String>>,
}

impl Crate {
    /// Reads every source file below `src`.
    pub fn read(src: &Path) -> Crate {
        let files = source_files(src);
        let files =
            files.iter().map(|(path, source)| (Path::new(path).strip_prefix(src).expect("it is below"), source));
        Crate::new(files.map(|(path, source)| (module_path(path), source.as_str())))
    }

    pub fn new<P: Into<String>>(files: impl IntoIterator<Item = (P, impl AsRef<str>)>) -> Crate {
        let mut only_for_tests = BTreeSet::new();
        let mut modules = BTreeMap::new();
        for (path, source) in files {
            let path = path.into();
            let all = without_comments_and_strings(source.as_ref());
            let code = without_tests(&all);
            let kept = declared_modules(&code);
            only_for_tests.extend(declared_modules(&all).difference(&kept).map(|name| join(&path, name)));
            modules.insert(path, Module::new(&code));
        }
        modules.retain(|path, _| !only_for_tests.iter().any(|test| is_within(path, test)));
        Crate { modules }
    }

    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.modules.keys().map(String::as_str)
    }

    /// Returns the modules that a module imports. For a name that another module re-exports, this is the module that defines
    /// it.
    pub fn imports(&self, path: &str) -> BTreeSet<String> {
        let paths = self.modules[path].paths.iter();
        paths.filter_map(|used| self.resolve(path, used, 0)).filter(|found| found != path).collect()
    }

    /// Returns the module of a path in the module `from`, or None if it is outside the crate.
    fn resolve(&self, from: &str, path: &[String], depth: usize) -> Option<String> {
        let mut at = from.to_owned();
        for (index, name) in path.iter().enumerate() {
            match name.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => at = parent(&at)?.to_owned(),
                _ if self.modules.contains_key(&join(&at, name)) => at = join(&at, name),
                _ => {
                    let behind = self.modules.get(&at)?.names.get(name);
                    let own = || (index > 0).then(|| at.clone());
                    let Some(behind) = behind.filter(|behind| depth < 8 && (index > 0 || behind[..] != *path)) else {
                        return own();
                    };
                    let whole = [&behind[..], &path[index + 1..]].concat();
                    return self.resolve(&at, &whole, depth + 1).or_else(own);
                }
            }
        }
        Some(at)
    }
}

impl Module {
    fn new(code: &str) -> Module {
        let (mut names, mut paths) = (BTreeMap::new(), Vec::new());
        let mut rest = String::new();
        let mut from = 0;
        for (at, _) in code.match_indices("use ") {
            let is_word =
                code[..at].chars().next_back().is_none_or(|before| before.is_whitespace() || ";}{".contains(before));
            if !is_word || at < from {
                continue;
            }
            let end = at + code[at..].find(';').unwrap_or(code.len() - at);
            rest.push_str(&code[from..at]);
            for (path, name) in use_tree(&code[at + "use ".len()..end], &[]) {
                names.insert(name, path.clone());
                paths.push(path);
            }
            from = end;
        }
        rest.push_str(&code[from..]);
        paths.extend(paths_in(&rest));
        Module { names, paths }
    }
}

/// Returns the paths of a `use` declaration, each with the name that it defines.
fn use_tree(tree: &str, before: &[String]) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    let (head, group) = tree.split_once('{').map_or((tree, None), |(head, rest)| (head, Some(rest)));
    let (head, alias) = head.split_once(" as ").map_or((head, None), |(head, alias)| (head, Some(alias.trim())));
    let path: Vec<String> = before.iter().cloned().chain(words(head).map(str::to_owned)).collect();
    if let Some(group) = group {
        let group = &group[..matching_brace(group)];
        return parts(group).into_iter().flat_map(|part| use_tree(part, &path)).collect();
    }
    // `a::{self}` names `a`.
    let path = if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path[..path.len() - 1].to_vec()
    } else {
        path
    };
    let name = alias.or(path.last().map(String::as_str)).unwrap_or_default().to_owned();
    let name = if head.trim_end().ends_with('*') { format!("{name}::*") } else { name };
    if path.is_empty() { Vec::new() } else { vec![(path, name)] }
}

/// Splits a list at its commas outside of braces.
pub fn parts(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// Returns the paths in code that begin with `crate`, `super` or `self`.
fn paths_in(code: &str) -> Vec<Vec<String>> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut paths = Vec::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            // `super::super::` and `names_of_super::` begin further to the left, and `pub(in crate::…)` imports nothing.
            if code[..at].ends_with(|c: char| is_name(c) || c == ':') || code[..at].ends_with("(in ") {
                continue;
            }
            let end = code[at..].find(|c: char| !is_name(c) && c != ':').map_or(code.len(), |length| at + length);
            paths.push(words(&code[at..end]).map(str::to_owned).collect());
        }
    }
    paths
}

/// Returns the modules that code declares with `mod name;`.
fn declared_modules(code: &str) -> BTreeSet<String> {
    let mut declared = BTreeSet::new();
    for (at, _) in code.match_indices("mod ") {
        let rest = &code[at + "mod ".len()..];
        if let Some((name, _)) = rest.split_once(';').filter(|(name, _)| words(name).eq([*name])) {
            declared.insert(name.to_owned());
        }
    }
    declared
}

/// Returns the module of a file, given its path below `src`.
fn module_path(file: &Path) -> String {
    let file = file.with_extension("");
    let names: Vec<&str> = file.iter().map(|name| name.to_str().expect("file names are text")).collect();
    match names[..] {
        ["lib"] => String::new(),
        [ref folders @ .., "mod"] => folders.join("::"),
        _ => names.join("::"),
    }
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

/// Returns the module that contains this one, or None for the root.
fn parent(module: &str) -> Option<&str> {
    (!module.is_empty()).then(|| module.rsplit_once("::").map_or("", |(parent, _)| parent))
}

/// Returns whether a module is equal to another one or inside it.
pub fn is_within(module: &str, outer: &str) -> bool {
    outer.is_empty() || module.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Reads every source file below `dir`. Returns paths and contents.
pub fn source_files(dir: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.expect("a directory entry").path()) {
        if path.is_dir() {
            found.extend(source_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            found.push((path.display().to_string(), source));
        }
    }
    found
}
