//! `cb config`: what the config files say, and whether they can be used.

use serde_json::json;
use std::ffi::OsStr;
use std::io::Write;

use crate::cli::{ConfigWhat, ConfigWords};
use crate::config::{self, Config};
use crate::error::Error;
use crate::model::text::printable;
use crate::settings::probe::{ProbeKey, ProbeLayers, ProbeValue};
use crate::settings::{Key, Layers, Place, Settings, breaker_name};

/// The widest column of values: a long chain of actions widens its own line only.
const VALUE_WIDTH_MAX: usize = 20;

/// Runs `cb config`.
///
/// # Errors
///
/// If a config file cannot be used (`check` has then told each problem), or the
/// output not be written.
pub fn run(words: &ConfigWords, out: &mut dyn Write) -> Result<(), Error> {
    let file = words.places.config.as_deref();
    match &words.what {
        ConfigWhat::Check => check(file, out),
        ConfigWhat::Show { name, json } => show(file, name, *json, out),
        ConfigWhat::Path => path(file, out),
    }
}

/// A line for each problem and warning, as compilers have them, and for each
/// sound file.
fn check(file: Option<&OsStr>, out: &mut dyn Write) -> Result<(), Error> {
    let report = config::check(file)?;
    let mut text = String::new();
    for problem in &report.problems {
        text.push_str(&format!("error: {}\n", printable(&problem.to_string())));
    }
    for warning in &report.warnings {
        text.push_str(&format!("warning: {}\n", printable(&warning.to_string())));
    }
    let sound = report.problems.is_empty();
    for file in report.files.iter().filter(|_| sound) {
        text.push_str(&format!("ok: {}\n", printable(&file.to_string_lossy())));
    }
    if sound && report.files.is_empty() {
        text.push_str("ok: no config file; the defaults hold\n");
    }
    write(out, &text)?;
    match report.problems.into_iter().next() {
        None => Ok(()),
        Some(Error::Config { path, .. }) => Err(Error::Config {
            path,
            line: 0,
            message: "cb cannot use this file; the problems are listed on stdout".into(),
        }),
        Some(other) => Err(other),
    }
}

fn show(
    file: Option<&OsStr>,
    name: &OsStr,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let name = breaker_name(name)?;
    let config = Config::load_with_probes(file)?;
    let (layers, probe) = (config.layers(&name), config.probe_layers(&name));
    let settings = layers.settings()?;
    probe.settings()?;
    if as_json {
        return write(out, &format!("{}\n", show_json(name.as_str(), &layers, &settings, &probe)));
    }
    let of_breaker = settings.values().map(|(key, value)| {
        [key.name().to_owned(), value.to_string(), place_text(layers.place(key))]
    });
    let of_probe = probe.values().map(|(key, value)| {
        let value = value.map_or_else(|| "none".to_owned(), |value| value.to_string());
        [format!("probe.{}", key.name()), value, place_text(probe.place(key))]
    });
    let rows: Vec<[String; 3]> = of_breaker.chain(of_probe).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (keys, values) = (width(0), width(1).min(VALUE_WIDTH_MAX));
    let table: String =
        rows.iter().map(|[k, v, place]| format!("{k:keys$}  {v:values$}  {place}\n")).collect();
    write(out, &table)
}

fn show_json(
    name: &str,
    layers: &Layers,
    settings: &Settings,
    probe: &ProbeLayers,
) -> serde_json::Value {
    let one = |key: Key, value: crate::settings::Value| json!({ "key": key.name(), "value": value.json(), "source": place_json(layers.place(key)) });
    let all: Vec<_> = settings.values().map(|(key, value)| one(key, value)).collect();
    let of_probe = |(key, value): (ProbeKey, Option<ProbeValue>)| {
        let value = value.map(|value| value.json());
        json!({ "key": key.name(), "value": value, "source": place_json(probe.place(key)) })
    };
    let probe = probe.kind().map(|_| probe.values().map(of_probe).collect::<Vec<_>>());
    json!({ "schema": "cb.config/1", "breaker": name, "settings": all, "probe": probe })
}

fn place_text(place: Option<&Place>) -> String {
    match place {
        None => "default".into(),
        Some(Place::File { path, line, section }) => {
            format!("{}:{line} {section}", printable(&path.to_string_lossy()))
        }
        Some(Place::LastFlags) => "last call's flags".into(),
        Some(Place::JobFlags) => "the job's flags".into(),
        Some(Place::Flag) => "flag".into(),
        Some(Place::Set) => "--set".into(),
    }
}

fn place_json(place: Option<&Place>) -> serde_json::Value {
    match place {
        None => json!({ "kind": "default" }),
        Some(Place::File { path, line, section }) => json!({
            "kind": "file", "path": path.to_string_lossy(), "line": line, "section": &**section,
        }),
        Some(Place::LastFlags) => json!({ "kind": "last_flags" }),
        Some(Place::JobFlags) => json!({ "kind": "job_flags" }),
        Some(Place::Flag) => json!({ "kind": "flag" }),
        Some(Place::Set) => json!({ "kind": "set" }),
    }
}

fn path(file: Option<&OsStr>, out: &mut dyn Write) -> Result<(), Error> {
    let mut text = String::new();
    for candidate in config::candidates(file)? {
        let found = if candidate.exists() { "found    " } else { "not found" };
        text.push_str(&format!("{found}  {}\n", printable(&candidate.path.to_string_lossy())));
    }
    write(out, &text)
}

fn write(out: &mut dyn Write, text: &str) -> Result<(), Error> {
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::Stdout)
}
