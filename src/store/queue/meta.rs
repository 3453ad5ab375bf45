//! The description of a job, version 1: the JSON in its head. Words are bytes:
//! a text where they are UTF-8, else base64.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use super::{Job, JobId, NewJob, QueueNow};
use crate::model::backoff::millis;
use crate::model::job::{ATTEMPT_DELAY_MAX, History};

#[derive(Serialize, Deserialize)]
struct Meta {
    id: String,
    breaker: String,
    argv: Vec<Bytes>,
    cwd: Bytes,
    umask: u32,
    env: Vec<(Bytes, Bytes)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default)]
    idempotent: bool,
    #[serde(default)]
    flags: String,
    /// On the breaker's clock.
    at: u64,
    /// For people.
    wall: i64,
    #[serde(default)]
    delay: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Bytes {
    Text(String),
    Other { b64: String },
}

/// Writes a description.
pub fn encode(breaker: &str, id: JobId, job: &NewJob, now: &QueueNow) -> Vec<u8> {
    let meta = Meta {
        id: id.to_string(),
        breaker: breaker.to_owned(),
        argv: job.argv.iter().map(|word| Bytes::of(word)).collect(),
        cwd: Bytes::of(job.cwd.as_os_str()),
        umask: job.umask,
        env: job.env.iter().map(|(name, value)| (Bytes::of(name), Bytes::of(value))).collect(),
        key: job.key.clone(),
        idempotent: job.idempotent,
        flags: job.flags.clone(),
        at: now.clock_ms,
        wall: now.wall_ms,
        delay: job.delay_ms.min(millis(ATTEMPT_DELAY_MAX)),
    };
    serde_json::to_vec(&meta).expect("plain data always has a JSON form")
}

/// Reads the description of this job; `None` where it is not one that this code
/// could have written.
pub fn decode(bytes: &[u8], id: JobId) -> Option<Job> {
    let meta: Meta = serde_json::from_slice(bytes).ok()?;
    if meta.id != id.to_string() || meta.argv.is_empty() || meta.umask > 0o777 {
        return None;
    }
    let argv = meta.argv.into_iter().map(Bytes::into_os).collect::<Option<_>>()?;
    let pairs = meta.env.into_iter().map(|(name, value)| Some((name.into_os()?, value.into_os()?)));
    Some(Job {
        id,
        breaker: meta.breaker,
        argv,
        cwd: meta.cwd.into_os()?.into(),
        umask: meta.umask,
        env: pairs.collect::<Option<_>>()?,
        stdin: Vec::new(),
        stdin_len: 0,
        key: meta.key,
        idempotent: meta.idempotent,
        flags: meta.flags,
        enqueued_ms: meta.at,
        enqueued_wall_ms: meta.wall,
        attempts: Vec::new(),
        history: History::new(meta.at, meta.delay, meta.idempotent),
    })
}

impl Bytes {
    fn of(bytes: &OsStr) -> Self {
        match bytes.to_str() {
            Some(text) => Bytes::Text(text.to_owned()),
            None => Bytes::Other { b64: BASE64.encode(bytes.as_bytes()) },
        }
    }

    fn into_os(self) -> Option<OsString> {
        match self {
            Bytes::Text(text) => Some(text.into()),
            Bytes::Other { b64 } => BASE64.decode(b64).ok().map(OsString::from_vec),
        }
    }
}
