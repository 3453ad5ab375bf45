//! Sections of config files: for whom they are, and which of two wins.

use std::path::Path;
use std::rc::Rc;

use crate::model::name;
use crate::settings::Assignment;
use crate::settings::probe::ProbeAssignment;

/// For which breakers a section is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// All of them.
    Defaults,
    /// Those that the pattern stands for.
    Pattern(Box<str>),
    /// This one.
    Name(Box<str>),
}

/// A section of a config file.
#[derive(Clone, Debug)]
pub struct Section {
    /// For whom it is.
    pub selector: Selector,
    /// The file.
    pub path: Rc<Path>,
    /// The line of its header.
    pub line: usize,
    /// What it sets; last what its probe's part sets.
    pub assignments: Vec<Assignment>,
    /// Its part for the breaker's probe, if it has one.
    pub probe: Option<ProbeSection>,
}

/// The part of a section that is for the breaker's probe: `[breaker.pay.probe]`.
#[derive(Clone, Debug)]
pub struct ProbeSection {
    /// The line of its header.
    pub line: usize,
    /// What it sets for the probe.
    pub assignments: Vec<ProbeAssignment>,
}

impl Selector {
    /// Whether the section is for a breaker of this name.
    pub fn is_for(&self, breaker: &str) -> bool {
        match self {
            Selector::Defaults => true,
            Selector::Pattern(pattern) => name::matches(pattern, breaker),
            Selector::Name(name) => **name == *breaker,
        }
    }
}

impl Section {
    /// What it sets for the breaker's probe.
    pub fn probe_assignments(&self) -> impl Iterator<Item = &ProbeAssignment> {
        self.probe.iter().flat_map(|probe| &probe.assignments)
    }

    /// How specific it is: the greater wins. The longer of two patterns is the
    /// more specific.
    pub fn rank(&self) -> (u8, usize) {
        match &self.selector {
            Selector::Defaults => (0, 0),
            Selector::Pattern(pattern) => (1, pattern.len()),
            Selector::Name(_) => (2, 0),
        }
    }
}

/// The section as it stands in a file: `[breaker."pay*"]`.
pub fn header(selector: &Selector) -> String {
    format!("[{}]", path(selector))
}

/// Its part for the probe, as it stands in a file: `[breaker."pay*".probe]`.
pub fn probe_header(selector: &Selector) -> String {
    format!("[{}.probe]", path(selector))
}

fn path(selector: &Selector) -> String {
    let bare = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    match selector {
        Selector::Defaults => "defaults".to_owned(),
        Selector::Name(name) if bare(name) => format!("breaker.{name}"),
        Selector::Name(name) | Selector::Pattern(name) => format!("breaker.\"{name}\""),
    }
}
