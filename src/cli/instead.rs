//! The words of `cb queue` and `cb cache`: what was done instead of a call.

use clap::ArgMatches;
use std::ffi::OsString;
use std::fmt;

use super::{Flag, Places, chosen_many, flags, many, one, places, required, words_of_command};

/// The words of `cb queue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueWords {
    /// Where the state and the settings are.
    pub places: Places,
    /// What to do.
    pub what: QueueWhat,
}

/// What `cb queue` shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueWhat {
    /// `add`
    Add(QueueAdd),
    /// `list [NAME|GLOB]...`
    List {
        /// Names and patterns; none means all.
        names: Vec<OsString>,
        /// `--state STATE`, of [`super::JOB_STATES`]; none means all.
        states: Vec<String>,
        /// `--json`
        json: bool,
    },
    /// `show ID`
    Show {
        /// The job.
        id: OsString,
        /// `--reveal`
        reveal: bool,
        /// `--json`
        json: bool,
    },
    /// `run NAME`
    Run(QueueRun),
    /// `retry ID...`
    Retry {
        /// The jobs; never empty.
        ids: Vec<OsString>,
    },
    /// `drop ID...`
    Drop {
        /// The jobs; never empty.
        ids: Vec<OsString>,
    },
    /// `purge NAME`
    Purge {
        /// The breaker.
        name: OsString,
        /// `--state STATE`, of [`super::JOB_STATES`]; none means `done`.
        states: Vec<String>,
    },
}

/// The words of `cb queue add`. Debug output shows no argument of the command.
#[derive(Clone, PartialEq, Eq)]
pub struct QueueAdd {
    /// The breaker.
    pub name: OsString,
    /// The command and its arguments, byte for byte; never empty.
    pub command: Vec<OsString>,
    /// The policy flags.
    pub flags: Vec<Flag>,
    /// `--key KEY`
    pub key: Option<OsString>,
    /// `--idempotent`
    pub idempotent: bool,
}

/// The words of `cb queue run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRun {
    /// The breaker.
    pub name: OsString,
    /// The policy flags.
    pub flags: Vec<Flag>,
    /// `--rate N/s`
    pub rate: Option<OsString>,
    /// `--jobs N`
    pub jobs: Option<OsString>,
    /// `--watch`
    pub watch: bool,
    /// `--quiet`
    pub quiet: bool,
    /// `--background`: started by cb itself, when the breaker closed.
    pub background: bool,
    /// `--worker`: started by a `cb queue run`, as one of its `--jobs`.
    pub worker: bool,
}

/// The words of `cb cache`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheWords {
    /// Where the state and the settings are.
    pub places: Places,
    /// What to do.
    pub what: CacheWhat,
}

/// What `cb cache` shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheWhat {
    /// `list [NAME|GLOB]...`
    List {
        /// Names and patterns; none means all.
        names: Vec<OsString>,
        /// `--json`
        json: bool,
    },
    /// `show NAME KEY`
    Show {
        /// The breaker.
        name: OsString,
        /// The beginning of an output's key.
        key: OsString,
    },
    /// `drop NAME [KEY]...`
    Drop {
        /// The breaker.
        name: OsString,
        /// The beginnings of outputs' keys; none means all.
        keys: Vec<OsString>,
    },
}

impl fmt::Debug for QueueAdd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueAdd")
            .field("name", &self.name)
            .field("words", &self.command.len())
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

pub(super) fn queue(mut m: ArgMatches, above: Places, args: &[OsString]) -> QueueWords {
    let (name, mut m) = m.remove_subcommand().expect("clap requires a command");
    let places = places(&mut m, above);
    let what = match name.as_str() {
        "add" => QueueWhat::Add(QueueAdd {
            name: required(&mut m, "name"),
            command: words_of_command(&mut m, args),
            flags: flags(&mut m),
            key: one(&mut m, "key"),
            idempotent: m.get_flag("idempotent"),
        }),
        "list" => QueueWhat::List {
            names: many(&mut m, "names"),
            states: chosen_many(&mut m, "state"),
            json: m.get_flag("json"),
        },
        "show" => QueueWhat::Show {
            id: required(&mut m, "id"),
            reveal: m.get_flag("reveal"),
            json: m.get_flag("json"),
        },
        "run" => QueueWhat::Run(QueueRun {
            name: required(&mut m, "name"),
            flags: flags(&mut m),
            rate: one(&mut m, "rate"),
            jobs: one(&mut m, "jobs"),
            watch: m.get_flag("watch"),
            quiet: m.get_flag("quiet"),
            background: m.get_flag("background"),
            worker: m.get_flag("worker"),
        }),
        "retry" => QueueWhat::Retry { ids: many(&mut m, "ids") },
        "drop" => QueueWhat::Drop { ids: many(&mut m, "ids") },
        _ => QueueWhat::Purge {
            name: required(&mut m, "name"),
            states: chosen_many(&mut m, "state"),
        },
    };
    QueueWords { places, what }
}

pub(super) fn cache(mut m: ArgMatches, above: Places) -> CacheWords {
    let (name, mut m) = m.remove_subcommand().expect("clap requires a command");
    let places = places(&mut m, above);
    let what = match name.as_str() {
        "list" => CacheWhat::List { names: many(&mut m, "names"), json: m.get_flag("json") },
        "show" => CacheWhat::Show { name: required(&mut m, "name"), key: required(&mut m, "key") },
        _ => CacheWhat::Drop { name: required(&mut m, "name"), keys: many(&mut m, "keys") },
    };
    CacheWords { places, what }
}
