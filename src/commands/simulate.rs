//! `cb simulate`: what would a policy have done with this trace?

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::output::Output;
use crate::cli::SimulateWords;
use crate::config::Config;
use crate::error::Error;
use crate::exit;
use crate::render::json;
use crate::render::timeline::Timeline;
use crate::settings::{self, Layers};
use crate::simulate::{Line, Simulation};

/// A longer line is not a line of a trace.
const LINE_LEN_MAX: usize = 64 * 1024;

/// Plays the trace.
///
/// # Errors
///
/// A line or a setting that is not understood.
pub fn run(words: &SimulateWords, out: &mut Output) -> Result<i32, Error> {
    let mut layers = match &words.policy {
        Some(word) => {
            let name = settings::breaker_name(word)?;
            Config::load(words.places.config.as_deref())?.layers(&name)
        }
        // Without a name, what a file says of every breaker; without a file, too,
        // nothing but the words: a simulation depends on no machine by itself.
        None if words.places.config.is_some() => {
            Config::load(words.places.config.as_deref())?.defaults()
        }
        None => Layers::default(),
    };
    for word in &words.set {
        settings::words::put_set(&mut layers, word)?;
    }
    let policy = layers.settings()?.policy;
    let seed = words.seed.as_deref().map(|word| settings::whole("--seed", word, u64::MAX));
    let mut simulation = Simulation::new(policy, seed.transpose()?.unwrap_or(0));
    let mut trace = Trace::open(words.trace.as_deref().map(Path::new))?;
    let played = play(&mut simulation, &mut trace, words.json, out);
    // What came before a wrong line is told, however much of it there was.
    if played.is_err() {
        out.finish()?;
    }
    played.map(|()| exit::OK)
}

/// Plays each line and writes what comes of it.
fn play(
    simulation: &mut Simulation,
    trace: &mut Trace,
    as_json: bool,
    out: &mut Output,
) -> Result<(), Error> {
    let mut timeline = Timeline::default();
    while let Some(text) = trace.next_line()? {
        if text.trim().is_empty() {
            continue;
        }
        let line = Line::parse(&text).map_err(|why| trace.wrong(&why))?;
        let outcomes = simulation.play(&line).map_err(|why| trace.wrong(&why))?;
        if as_json {
            let (op, id) = (line.op.name(), line.op.id());
            json::simulated((line.at_ms, op, id), &outcomes, out).map_err(Error::Stdout)?;
        } else {
            timeline.line(&line, &outcomes, out).map_err(Error::Stdout)?;
        }
    }
    if !as_json {
        timeline.end(&simulation.summary(), out).map_err(Error::Stdout)?;
    }
    Ok(())
}

/// The lines of a trace, with their numbers.
struct Trace {
    name: String,
    reader: Box<dyn BufRead>,
    number: u64,
}

impl Trace {
    fn open(path: Option<&Path>) -> Result<Self, Error> {
        let (name, reader): (_, Box<dyn BufRead>) = match path {
            Some(path) if path != Path::new("-") => {
                let file = File::open(path).map_err(Error::io("open", path))?;
                (path.display().to_string(), Box::new(BufReader::new(file)))
            }
            _ => ("stdin".to_owned(), Box::new(BufReader::new(io::stdin()))),
        };
        Ok(Trace { name, reader, number: 0 })
    }

    fn next_line(&mut self) -> Result<Option<String>, Error> {
        self.number += 1;
        let mut line = Vec::new();
        let mut bounded = io::Read::take(&mut self.reader, LINE_LEN_MAX as u64 + 1);
        let count = bounded.read_until(b'\n', &mut line);
        if count.map_err(Error::io("read", &self.name))? == 0 {
            return Ok(None);
        }
        if line.len() > LINE_LEN_MAX {
            return Err(self.wrong(&format!("longer than {LINE_LEN_MAX} bytes")));
        }
        String::from_utf8(line).map(Some).map_err(|_| self.wrong("not UTF-8"))
    }

    fn wrong(&self, why: &str) -> Error {
        Error::Usage(format!("{}:{}: {why}", self.name, self.number))
    }
}
