//! Who may import whom: the sources are read, and held to the table of
//! ARCHITECTURE.md. Test code is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// What only one place may name: the words, and the places.
const ONLY_IN: [(&str, &[&str]); 8] = [
    ("fs2", &["store/lock.rs"]),
    ("SystemTime::now", &["clock.rs"]),
    ("Instant::now", &["clock.rs"]),
    ("clock_gettime", &["clock.rs"]),
    ("unsafe", &["process/"]),
    ("process::exit", &["main.rs"]),
    // Completions and manual pages are made of the words themselves.
    ("clap", &["cli.rs", "cli/", "commands/completions.rs", "commands/man.rs"]),
    ("set_var", &[]),
];

/// What the pure room does not name.
const NOT_IN_MODEL: [&str; 9] = [
    "std::fs",
    "std::env",
    "std::process",
    "std::net",
    "std::io",
    "std::thread",
    "SystemTime",
    "Instant",
    "serde",
];

#[test]
fn each_room_imports_only_what_it_may() {
    let allowed = may_import();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(may) = allowed.get(source.room.as_str()) else {
            wrong.push(format!("{}: no such room as '{}'", source.path, source.room));
            continue;
        };
        for imported in imports(&source) {
            if imported != source.room && !may.contains(&imported) {
                wrong.push(format!("{}: imports {imported}", source.path));
            }
        }
    }
    assert_eq!(wrong, [] as [String; 0]);
}

#[test]
fn some_things_are_named_in_one_place_only() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (word, places) in ONLY_IN {
            let at_home = places.iter().any(|place| {
                source.path == *place || place.ends_with('/') && source.path.starts_with(place)
            });
            if !at_home && names(&source.code, word) {
                wrong.push(format!("{}: names {word}", source.path));
            }
        }
    }
    assert_eq!(wrong, [] as [String; 0]);
}

#[test]
fn the_model_is_pure() {
    let mut wrong = Vec::new();
    for source in sources().into_iter().filter(|source| source.room == "model") {
        for word in NOT_IN_MODEL {
            if names(&source.code, word) {
                wrong.push(format!("{}: names {word}", source.path));
            }
        }
    }
    assert_eq!(wrong, [] as [String; 0]);
}

#[test]
fn no_glob_imports() {
    let wrong: Vec<String> = sources()
        .into_iter()
        .filter(|source| source.code.contains("::*;") || source.code.contains("::{*"))
        .map(|source| source.path)
        .collect();
    assert_eq!(wrong, [] as [String; 0]);
}

#[test]
fn files_and_functions_fit() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines = source.code.trim_end().lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{}: {lines} lines", source.path));
        }
        for (name, lines) in functions(&source.code) {
            if lines > FUNCTION_LINES_MAX {
                wrong.push(format!("{}: {name} has {lines} lines", source.path));
            }
        }
    }
    assert_eq!(wrong, [] as [String; 0]);
}

#[test]
fn every_module_says_what_it_is_for() {
    let wrong: Vec<String> = sources()
        .into_iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path)
        .collect();
    assert_eq!(wrong, [] as [String; 0]);
}

/// Each room of ARCHITECTURE.md's table, and the rooms that it may import. What
/// is not there is no room.
fn may_import() -> BTreeMap<String, BTreeSet<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let page = fs::read_to_string(page).expect("ARCHITECTURE.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .skip_while(|line| !line.starts_with("| room "))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(rows.len() > 10, "the table of rooms is found");
    let name = |cell: &str| cell.trim().trim_matches('`').to_owned();
    let all: BTreeSet<String> = rows.iter().map(|row| name(row[0])).collect();
    let may = |cell: &str| match cell {
        "all of them" => all.clone(),
        rooms => rooms.split(',').map(name).filter(|room| !room.is_empty()).collect(),
    };
    let mut table: BTreeMap<_, _> = rows.iter().map(|row| (name(row[0]), may(row[2]))).collect();
    table.insert("lib".to_owned(), BTreeSet::new());
    table
}

/// A file of the crate.
struct Source {
    /// Below `src`.
    path: String,
    /// The first part of the path.
    room: String,
    /// As it stands.
    text: String,
    /// Without tests, and with comments and texts blanked.
    code: String,
}

/// The sources, without test files.
fn sources() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    assert!(files.len() > 40, "the sources are found");
    let relative = |path: &Path| {
        path.strip_prefix(&src).expect("below src").to_str().expect("UTF-8").to_owned()
    };
    let sources = files.iter().map(|file| {
        let (path, text) = (relative(file), fs::read_to_string(file).expect("a source"));
        let first = path.split('/').next().expect("a part");
        let room = first.trim_end_matches(".rs").to_owned();
        let code = without_tests(&blanked(&text));
        Source { path, room, text, code }
    });
    sources.collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(dir).expect("a directory");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
        match path.is_dir() {
            _ if is_test => {}
            true => collect(&path, files),
            false => files.push(path),
        }
    }
}

/// The rooms that a file names: `crate::room`, `cb::room` (main), and the path
/// that `super::super` comes to.
fn imports(source: &Source) -> BTreeSet<String> {
    let code: String = source.code.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rooms = BTreeSet::new();
    let roots: &[&str] = if source.room == "main" { &["cb::"] } else { &["crate::"] };
    for root in roots {
        for (at, _) in code.match_indices(root) {
            if !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                rooms.extend(heads(&code[at + root.len()..]));
            }
        }
    }
    // The module of a file lies as deep as its path; `mod.rs` one less. So many
    // `super` lead out of its room to the root.
    let depth = source.path.split('/').filter(|part| !part.ends_with("mod.rs")).count();
    let climb = "super::".repeat(depth);
    for (at, _) in code.match_indices(&climb) {
        if source.room != "lib" && source.room != "main" && !code[..at].ends_with("super::") {
            rooms.extend(heads(&code[at + climb.len()..]));
        }
    }
    rooms.retain(|room| room != "entry_point");
    rooms
}

/// The first names of a path, or of each in braces.
fn heads(path: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(inner) = path.trim_start().strip_prefix('{') else { return vec![word(path)] };
    let mut heads = Vec::new();
    let (mut depth, mut begin) = (0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                heads.push(word(&inner[begin..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                heads.push(word(&inner[begin..at]));
                begin = at + 1;
            }
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

/// Whether a word stands in the code by itself.
fn names(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(part) && !code[at + word.len()..].starts_with(part))
}

/// The code with what is in comments and in texts replaced by spaces; lines stay.
fn blanked(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => find(&chars, at, |i| chars[i] == '\n'),
            '/' if chars.get(at + 1) == Some(&'*') => {
                find(&chars, at + 2, |i| chars[i] == '/' && chars[i - 1] == '*') + 1
            }
            'r' if raw_text_end(&chars, at).is_some() => {
                raw_text_end(&chars, at).expect("just found")
            }
            '"' => text_end(&chars, at),
            '\'' if char_end(&chars, at).is_some() => char_end(&chars, at).expect("just found"),
            c => {
                code.push(c);
                at += 1;
                continue;
            }
        };
        for c in &chars[at..end.min(chars.len())] {
            code.push(if *c == '\n' { '\n' } else { ' ' });
        }
        at = end;
    }
    code
}

fn find(chars: &[char], from: usize, is: impl Fn(usize) -> bool) -> usize {
    (from..chars.len()).find(|i| is(*i)).unwrap_or(chars.len())
}

fn text_end(chars: &[char], at: usize) -> usize {
    let mut end = at + 1;
    while end < chars.len() && chars[end] != '"' {
        end += if chars[end] == '\\' { 2 } else { 1 };
    }
    end + 1
}

fn raw_text_end(chars: &[char], at: usize) -> Option<usize> {
    if at > 0 && (chars[at - 1].is_alphanumeric() && chars[at - 1] != 'b' || chars[at - 1] == '_') {
        return None;
    }
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return None;
    }
    let closes = |i: usize| {
        chars[i] == '"' && (1..=hashes).all(|offset| chars.get(i + offset) == Some(&'#'))
    };
    Some(find(chars, at + 2 + hashes, closes) + 1 + hashes)
}

/// The end of a character in quotes; a lifetime has none.
fn char_end(chars: &[char], at: usize) -> Option<usize> {
    match (chars.get(at + 1)?, chars.get(at + 2)?) {
        ('\\', _) => Some(find(chars, at + 3, |i| chars[i] == '\'') + 1),
        (_, '\'') => Some(at + 3),
        _ => None,
    }
}

/// The code without the items that are for tests only.
fn without_tests(code: &str) -> String {
    let mut rest = code;
    let mut kept = String::new();
    while let Some(at) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..at]);
        let item = &rest[at..];
        let body = item.find('{').unwrap_or(item.len());
        let end = match item.find(';') {
            Some(end) if end < body => end + 1,
            _ => body + block_len(&item[body..]),
        };
        rest = &item[end..];
    }
    kept + rest
}

/// The length of a block from its opening brace to its closing one.
fn block_len(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// The functions that have a body, with their length in lines.
fn functions(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at..];
        let name: String =
            rest[3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let body = rest.find('{').unwrap_or(rest.len());
        let declared_only = rest.find(';').is_some_and(|end| end < body);
        if !name.is_empty() && !declared_only {
            let len = body + block_len(&rest[body..]);
            found.push((name, rest[..len].lines().count()));
        }
    }
    found
}

/// The reader itself: a wrong reader would find the house in order always.
mod reader {
    use super::{Source, blanked, functions, imports, names, without_tests};

    fn source(path: &str, text: &str) -> Source {
        let room = path.split('/').next().expect("a part").trim_end_matches(".rs").to_owned();
        let code = without_tests(&blanked(text));
        Source { path: path.to_owned(), room, text: text.to_owned(), code }
    }

    #[track_caller]
    fn check(path: &str, text: &str, expected: &[&str]) {
        let found: Vec<String> = imports(&source(path, text)).into_iter().collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn finds_imports_in_every_form() {
        check("store/file.rs", "use crate::model::{Ms, Now};", &["model"]);
        check(
            "store/file.rs",
            "use crate::{clock::Clock, model::{Ms, Now}, error};",
            &["clock", "error", "model"],
        );
        check("store/file.rs", "fn f() { crate::render::table::status() }", &["render"]);
        check("store/file.rs", "use super::super::render::table;", &["render"]);
        check("store/mod.rs", "use super::render::table;", &["render"]);
        check("config.rs", "use super::render;", &["render"]);
        check("config/walk.rs", "use super::super::render;", &["render"]);
        check("store/file.rs", "use super::lock;", &[]);
        check("process/entry.rs", "$crate::process::Startup", &["process"]);
        check("main.rs", "cb::entry_point!(cb::commands::run);", &["commands"]);
    }

    #[test]
    fn leaves_out_comments_texts_and_tests() {
        check("store/file.rs", "// use crate::render;\nlet a = \"crate::render\";", &[]);
        check(
            "store/file.rs",
            "let a = r#\"crate::\"render\"#; let b = '\"'; use crate::model;",
            &["model"],
        );
        check(
            "store/file.rs",
            "#[cfg(test)]\nmod tests { use crate::cli; }\nuse crate::error;",
            &["error"],
        );
        check("store/file.rs", "#[cfg(test)]\nmod tests;\nuse crate::error;", &["error"]);
    }

    #[test]
    fn knows_whole_words() {
        assert!(names("fs2::lock()", "fs2"));
        assert!(!names("offs2", "fs2"));
        assert!(names("std::time::Instant::now()", "Instant::now"));
        assert!(!names("Instant::nowhere()", "Instant::now"));
    }

    #[test]
    fn measures_functions() {
        let code = "fn a() {\n  if x {\n  }\n}\ntrait T { fn b();\n fn c() {} }";
        assert_eq!(functions(code), [("a".to_owned(), 4), ("c".to_owned(), 1)]);
    }
}
