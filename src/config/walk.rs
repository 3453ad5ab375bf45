//! From the text of a config file to its sections. The tree of TOML values is
//! walked by hand, so that each message names the line, the key, the value that
//! was found, and what is allowed; and all problems of a file are found at once.

use std::path::Path;
use std::rc::Rc;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::section::{ProbeSection, Section, Selector, header, probe_header};
use crate::error::Error;
use crate::model::{BreakerName, name, text};
use crate::settings::keys::{self, Form, Key};
use crate::settings::probe::{self, ProbeAssignment, ProbeKey};
use crate::settings::value::Raw;
use crate::settings::{Assignment, Place, parse};

/// What a file says, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Its sections, in the order of the file.
    pub sections: Vec<Section>,
    /// Its problems, in the order of the file.
    pub problems: Vec<Error>,
}

const TOP: &str = "allowed: [defaults], [breaker.NAME] and [breaker.\"PATTERN\"]";

/// How much of a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// What a call needs. Of probes that is only what they may do to a breaker: what
    /// they look at takes longer to be understood than a call may take, and is not
    /// for a call to stumble over.
    Calls,
    /// All of it.
    Probes,
}

/// Walks the text of a file.
pub fn walk(path: &Path, text: &str, reads: Reads) -> Parsed {
    let mut walker = Walker::new(path, text, reads);
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(text.len(), |span| span.start);
        walker.problem(at, syntax(error, text));
    }
    // What the parser stumbles over after the first error of a line is the same error.
    walker.problems.dedup_by_key(|(line, _)| *line);
    // After a syntax error the tree is a guess: problems in it would be, too.
    if errors.is_empty() {
        walker.root(root.get_ref());
    }
    walker.parsed()
}

type Pair<'a, 'i> = (&'a Spanned<DeString<'i>>, &'a Spanned<DeValue<'i>>);

struct Walker {
    reads: Reads,
    path: Rc<Path>,
    /// Where each line but the first starts.
    lines: Vec<usize>,
    sections: Vec<Section>,
    problems: Vec<(usize, String)>,
}

impl Walker {
    fn new(path: &Path, text: &str, reads: Reads) -> Self {
        let lines = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        let path = Rc::from(path);
        Walker { reads, path, lines, sections: Vec::new(), problems: Vec::new() }
    }

    fn parsed(mut self) -> Parsed {
        self.problems.sort_by_key(|(line, _)| *line);
        self.sections.sort_by_key(|section| section.line);
        let problems = self.problems.into_iter().map(|(line, message)| Error::Config {
            path: self.path.to_path_buf(),
            line,
            message,
        });
        Parsed { sections: self.sections, problems: problems.collect() }
    }

    fn root(&mut self, root: &DeTable<'_>) {
        for (key, value) in root.iter() {
            let at = key.span().start;
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("defaults", DeValue::Table(table)) => {
                    self.section(Selector::Defaults, at, table);
                }
                ("breaker", DeValue::Table(table)) => self.breakers(table),
                (name @ ("defaults" | "breaker"), value) => {
                    let found = raw(value).shown();
                    self.problem(at, format!("{name} = {found}: not a section; {TOP}"));
                }
                (name, _) => self.problem(at, unknown_top(name)),
            }
        }
    }

    fn breakers(&mut self, table: &DeTable<'_>) {
        for (key, value) in table.iter() {
            let at = key.span().start;
            let name = key.get_ref().as_ref();
            let DeValue::Table(table) = value.get_ref() else {
                let found = raw(value.get_ref()).shown();
                let name = text::excerpt(name, 40);
                self.problem(at, format!("{name} = {found} in [breaker]: not a section; {TOP}"));
                continue;
            };
            match selector(name) {
                Ok(selector) => self.section(selector, at, table),
                Err(why) => self.problem(at, format!("[breaker.\"...\"]: {why}")),
            }
        }
    }

    fn section(&mut self, selector: Selector, at: usize, table: &DeTable<'_>) {
        let header: Rc<str> = header(&selector).into();
        let mut assignments = Vec::with_capacity(table.len());
        let mut of_probe = None;
        for pair in table.iter() {
            if pair.0.get_ref() == "probe" {
                of_probe = Some(pair);
                continue;
            }
            match self.assignment(&selector, &header, pair) {
                Ok(assignment) => assignments.push(assignment),
                Err(message) => self.problem(pair.0.span().start, message),
            }
        }
        let probe = of_probe.and_then(|pair| self.probe(&selector, &mut assignments, pair));
        let (path, line) = (Rc::clone(&self.path), self.line(at));
        self.sections.push(Section { selector, path, line, assignments, probe });
    }

    /// The part of a section that is for the breaker's probe. What concerns the
    /// breaker of it goes to the section's own.
    fn probe(
        &mut self,
        selector: &Selector,
        above: &mut Vec<Assignment>,
        (key, value): Pair<'_, '_>,
    ) -> Option<ProbeSection> {
        let at = key.span().start;
        let header: Rc<str> = probe_header(selector).into();
        let DeValue::Table(table) = value.get_ref() else {
            let found = raw(value.get_ref()).shown();
            self.problem(at, format!("probe = {found}: not a section; allowed: {header}"));
            return None;
        };
        let mut assignments = Vec::with_capacity(table.len());
        for pair in table.iter() {
            let is_policy = |key: &Key| probe::keys::POLICY_KEYS.contains(key);
            let added = match Key::by_name(pair.0.get_ref()).filter(is_policy) {
                Some(_) => self.assignment(selector, &header, pair).map(|one| above.push(one)),
                None if self.reads == Reads::Calls => continue,
                None => self.probe_assignment(&header, pair).map(|one| assignments.push(one)),
            };
            if let Err(message) = added {
                self.problem(pair.0.span().start, message);
            }
        }
        assignments.sort_by_key(|one| file_line(&one.place));
        for (one, message) in probe::conflicts(&assignments) {
            self.problems.push((file_line(&one.place), message));
        }
        (self.reads == Reads::Probes).then(|| ProbeSection { line: self.line(at), assignments })
    }

    fn probe_assignment(
        &self,
        header: &Rc<str>,
        (key, value): Pair<'_, '_>,
    ) -> Result<ProbeAssignment, String> {
        let name = key.get_ref().as_ref();
        let raw = raw(value.get_ref());
        let Some(key_known) = ProbeKey::by_name(name) else {
            return Err(format!("{} in {header}", probe::keys::unknown(name)));
        };
        let value = probe::parse::value(key_known, &raw).map_err(|why| {
            let (shown, allowed) = (probe::parse::shown(key_known, &raw), key_known.allowed());
            format!("{name} = {shown} in {header}: {why}; allowed: {allowed}")
        })?;
        Ok(ProbeAssignment { key: key_known, value, place: self.place(key, header) })
    }

    fn place(&self, key: &Spanned<DeString<'_>>, section: &Rc<str>) -> Place {
        let line = self.line(key.span().start);
        Place::File { path: Rc::clone(&self.path), line, section: Rc::clone(section) }
    }

    fn assignment(
        &self,
        selector: &Selector,
        header: &Rc<str>,
        (key, value): Pair<'_, '_>,
    ) -> Result<Assignment, String> {
        let name = key.get_ref().as_ref();
        let raw = raw(value.get_ref());
        let Some(key_known) = Key::by_name(name) else {
            let dotted = match (selector, value.get_ref()) {
                (Selector::Name(above) | Selector::Pattern(above), DeValue::Table(_)) => {
                    let whole = text::excerpt(&format!("{above}.{name}"), 100);
                    format!("; a name with a dot is quoted: [breaker.\"{whole}\"]")
                }
                _ => String::new(),
            };
            if dotted.is_empty() && ProbeKey::by_name(name).is_some() {
                let name = text::excerpt(name, 40);
                let below = probe_header(selector);
                return Err(format!(
                    "'{name}' in {header} is a key of a probe: put it into {below}"
                ));
            }
            return Err(format!("{} in {header}{dotted}", keys::unknown(name)));
        };
        let value = parse::value(key_known, &raw).map_err(|why| {
            let allowed = key_known.allowed(Form::Toml);
            format!("{name} = {} in {header}: {why}; allowed: {allowed}", raw.shown())
        })?;
        Ok(Assignment { key: key_known, value, place: self.place(key, header) })
    }

    fn problem(&mut self, at: usize, message: String) {
        let line = self.line(at);
        self.problems.push((line, message));
    }

    fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at) + 1
    }
}

fn file_line(place: &Place) -> usize {
    match place {
        Place::File { line, .. } => *line,
        _ => 0,
    }
}

fn selector(word: &str) -> Result<Selector, String> {
    if !name::is_pattern(word) {
        let name = BreakerName::parse(word).map_err(|error| error.to_string())?;
        return Ok(Selector::Name(name.as_str().into()));
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-*?".contains(&b);
    if word.len() > name::NAME_CHARS_MAX || !word.bytes().all(fits) {
        return Err(format!(
            "'{}' matches no name; allowed: letters, digits, '.', '_', '-', '*' and '?', at most {}",
            text::excerpt(word, 40),
            name::NAME_CHARS_MAX
        ));
    }
    Ok(Selector::Pattern(word.into()))
}

fn unknown_top(name: &str) -> String {
    let shown = text::excerpt(name, 40);
    if Key::by_name(name).is_some() {
        return format!("{shown} stands in no section; put it below [defaults]");
    }
    match keys::nearest(name, ["defaults", "breaker"].into_iter()) {
        Some(near) => format!("unknown section '{shown}'; did you mean '{near}'?; {TOP}"),
        None => format!("unknown section '{shown}'; {TOP}"),
    }
}

/// A value as it was written. Numbers keep their text: the tree has it.
fn raw<'a>(value: &'a DeValue<'_>) -> Raw<'a> {
    match value {
        DeValue::String(text) => Raw::Text(text),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix()).ok();
            Raw::Integer(parsed, number.to_string())
        }
        DeValue::Float(number) => Raw::Float(number.as_str()),
        DeValue::Boolean(value) => Raw::Boolean(*value),
        DeValue::Datetime(value) => Raw::Other("date", value.to_string()),
        DeValue::Array(items) => Raw::Array(items.iter().map(|item| raw(item.get_ref())).collect()),
        DeValue::Table(_) => Raw::Other("table", "{...}".to_owned()),
    }
}

/// What the TOML parser says, in one line, with the text that it stumbled over.
fn syntax(error: &toml::de::Error, source: &str) -> String {
    let said: Vec<_> = error.message().lines().map(str::trim).collect();
    let said = text::printable(&said.join("; ")).into_owned();
    let found = error.span().and_then(|span| source.get(span)).unwrap_or("");
    let found = found.lines().next().unwrap_or("");
    if found.trim().is_empty() {
        format!("not TOML: {said}")
    } else {
        format!("not TOML: {said}, at '{}'", text::excerpt(found, 40))
    }
}
