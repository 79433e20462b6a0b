//! The parts of Rust's syntax that the checks need: comments, literals, braces, and items for tests only.

pub fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Replaces each comment, string and character literal by a blank.
pub fn without_comments_and_strings(source: &str) -> String {
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

/// Returns the length of the comment or literal at the start, or 0 if there is none.
fn literal_or_comment(rest: &str) -> usize {
    let to_end_of = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
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
        // A lifetime is not a character: no quote follows 'a.
        Some('\'') if rest.starts_with("'\\") || rest.chars().nth(2) == Some('\'') => quoted('\''),
        _ => 0,
    }
}

/// Returns the position of the closing brace, given the content after the opening one. The end if there is none.
pub fn matching_brace(content: &str) -> usize {
    let mut depth = 1;
    for (at, c) in content.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    content.len()
}

/// Removes the items that are compiled for tests only.
pub fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some((at, length)) = ["#[cfg(test)]", "#[cfg(all(test"]
        .into_iter()
        .filter_map(|attribute| Some((rest.find(attribute)?, attribute.len())))
        .min()
    {
        kept.push_str(&rest[..at]);
        rest = &rest[at + length..];
        rest = &rest[length_of_item(rest)..];
    }
    kept + rest
}

/// Returns the length of the item at the start, including the rest of its attribute.
fn length_of_item(code: &str) -> usize {
    let mut open = 0;
    let is_use = words(code).find(|word| !["pub", "crate", "super", "in"].contains(word)) == Some("use");
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => open += 1,
            ')' | ']' => open -= 1,
            '{' if open <= 0 && !is_use => return at + 1 + matching_brace(&code[at + 1..]) + 1,
            ';' if open <= 0 => return at + 1,
            '}' if open <= 0 && !is_use => return at,
            _ => {}
        }
    }
    code.len()
}
