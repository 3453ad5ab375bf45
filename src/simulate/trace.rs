//! A trace: what happened, a JSON object a line, in virtual time.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::model::{Hold, Ms, Outcome, text};

/// One line of a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// When, in ms from 0.
    pub at_ms: Ms,
    /// What.
    pub op: Op,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A whole call; its duration only says whether it was slow.
    Call {
        /// How it would end.
        outcome: Outcome,
        /// How long it would take.
        duration: Duration,
    },
    /// A call begins.
    Start {
        /// What the finish calls it.
        id: String,
    },
    /// A call ends.
    Finish {
        /// Which.
        id: String,
        /// How.
        outcome: Outcome,
        /// How long it took; since its start unless given.
        duration: Option<Duration>,
    },
    /// The holder of a call's permit died.
    Lost {
        /// Which.
        id: String,
    },
    /// A whole health probe.
    Probe {
        /// How it ended.
        outcome: Outcome,
        /// How long it took.
        duration: Duration,
        /// How long the server asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// Somebody looks.
    Check,
    /// A person opens the breaker.
    Trip {
        /// For a period of its own.
        lasting: Option<Duration>,
    },
    /// A person closes it.
    Reset,
    /// A person holds it.
    Hold {
        /// In which state.
        hold: Hold,
        /// For how long.
        lasting: Option<Duration>,
    },
    /// A person ends the hold.
    Release,
}

const OPS: &str = "call, start, finish, lost, probe, check, trip, reset, hold, release";

impl Op {
    /// The name of the op.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Call { .. } => "call",
            Op::Start { .. } => "start",
            Op::Finish { .. } => "finish",
            Op::Lost { .. } => "lost",
            Op::Probe { .. } => "probe",
            Op::Check => "check",
            Op::Trip { .. } => "trip",
            Op::Reset => "reset",
            Op::Hold { .. } => "hold",
            Op::Release => "release",
        }
    }

    /// The id of the call that it speaks of.
    pub fn id(&self) -> Option<&str> {
        match self {
            Op::Start { id } | Op::Finish { id, .. } | Op::Lost { id } => Some(id),
            _ => None,
        }
    }
}

impl Line {
    /// Reads one line.
    ///
    /// # Errors
    ///
    /// What is wrong with it and what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| not_json(&error))?;
        let Value::Object(fields) = value else {
            return Err("not a JSON object such as {\"t\":0,\"op\":\"check\"}".to_owned());
        };
        let mut fields = Fields(fields);
        let at_ms = fields.millis("t")?.ok_or("no \"t\": a whole number of ms from 0")?;
        let op = fields.op()?;
        fields.none_left(op.name())?;
        Ok(Line { at_ms, op })
    }
}

/// The fields that are not taken yet.
struct Fields(Map<String, Value>);

impl Fields {
    fn op(&mut self) -> Result<Op, String> {
        let op = self.text("op")?.ok_or_else(|| format!("no \"op\": one of {OPS}"))?;
        Ok(match op.as_str() {
            "call" => Op::Call {
                outcome: self.outcome()?,
                duration: self.duration("duration_ms")?.unwrap_or_default(),
            },
            "start" => Op::Start { id: self.id()? },
            "finish" => Op::Finish {
                id: self.id()?,
                outcome: self.outcome()?,
                duration: self.duration("duration_ms")?,
            },
            "lost" => Op::Lost { id: self.id()? },
            "probe" => Op::Probe {
                outcome: self.outcome()?,
                duration: self.duration("duration_ms")?.unwrap_or_default(),
                retry_after: self.duration("retry_after_ms")?,
            },
            "check" => Op::Check,
            "trip" => Op::Trip { lasting: self.duration("for_ms")? },
            "reset" => Op::Reset,
            "hold" => Op::Hold { hold: self.hold()?, lasting: self.duration("for_ms")? },
            "release" => Op::Release,
            other => return Err(format!("unknown op {}: one of {OPS}", shown(other))),
        })
    }

    fn outcome(&mut self) -> Result<Outcome, String> {
        let allowed = "success, failure, ignored";
        let name = self.text("outcome")?.ok_or(format!("no \"outcome\": one of {allowed}"))?;
        Outcome::from_name(&name)
            .ok_or_else(|| format!("unknown outcome {}: one of {allowed}", shown(&name)))
    }

    fn hold(&mut self) -> Result<Hold, String> {
        let allowed = Hold::ALL.map(Hold::name).join(", ");
        let name = self.text("hold")?.ok_or(format!("no \"hold\": one of {allowed}"))?;
        Hold::from_name(&name)
            .ok_or_else(|| format!("unknown hold {}: one of {allowed}", shown(&name)))
    }

    fn id(&mut self) -> Result<String, String> {
        self.text("id")?.ok_or("no \"id\": the text that start and finish share".to_owned())
    }

    fn text(&mut self, key: &str) -> Result<Option<String>, String> {
        match self.0.remove(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("\"{key}\" is {}: a text is allowed", excerpt(&other))),
        }
    }

    fn duration(&mut self, key: &str) -> Result<Option<Duration>, String> {
        Ok(self.millis(key)?.map(Duration::from_millis))
    }

    fn millis(&mut self, key: &str) -> Result<Option<u64>, String> {
        let Some(value) = self.0.remove(key) else { return Ok(None) };
        match value.as_u64() {
            Some(millis) => Ok(Some(millis)),
            None => Err(format!(
                "\"{key}\" is {}: a whole number of ms from 0 is allowed",
                excerpt(&value)
            )),
        }
    }

    fn none_left(&self, op: &str) -> Result<(), String> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(key) => Err(format!("{} is not a field of op \"{op}\"", shown(key))),
        }
    }
}

/// Why a line is not JSON, without serde's line number: it knows of one line.
fn not_json(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    format!("not JSON: {what} at column {}", error.column())
}

fn shown(text: &str) -> String {
    excerpt(&Value::String(text.to_owned()))
}

/// A value as JSON, escaped and cut for a message.
fn excerpt(value: &Value) -> String {
    text::excerpt(&value.to_string(), 40)
}
