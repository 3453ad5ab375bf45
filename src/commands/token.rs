//! The token of a two-step permit: what `cb allow` prints and `cb report` takes.
//!
//! `cb1-BORN-GENERATION-TRIAL-STARTED-CHECK`, where TRIAL is `x` for a call that is
//! none, and CHECK ties the token to its breaker, so that one breaker's token is
//! not taken for another's by mistake. It is no secret.

use std::ffi::OsStr;

use crate::model::{BreakerName, Permit};

const VERSION: &str = "cb1";

/// The token of a permit.
pub fn print(name: &BreakerName, permit: Permit) -> String {
    let trial = permit.trial.map_or_else(|| "x".to_owned(), |serial| serial.to_string());
    let body =
        format!("{VERSION}-{}-{}-{trial}-{}", permit.born_ms, permit.generation, permit.started_ms);
    format!("{body}-{:08x}", check(name, &body))
}

/// The permit that a token of this breaker stands for.
pub fn parse(name: &BreakerName, token: &OsStr) -> Option<Permit> {
    let (body, sum) = token.to_str()?.rsplit_once('-')?;
    if u32::from_str_radix(sum, 16).ok()? != check(name, body) {
        return None;
    }
    let mut parts = body.split('-');
    if parts.next()? != VERSION {
        return None;
    }
    let born_ms = parts.next()?.parse().ok()?;
    let generation = parts.next()?.parse().ok()?;
    let trial = match parts.next()? {
        "x" => None,
        serial => Some(serial.parse().ok()?),
    };
    let started_ms = parts.next()?.parse().ok()?;
    Some(Permit { born_ms, generation, trial, started_ms })
}

fn check(name: &BreakerName, body: &str) -> u32 {
    crc32fast::hash(format!("{name} {body}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_for_its_own_breaker_only() {
        let name = |name: &str| BreakerName::parse(name).unwrap();
        for trial in [None, Some(0), Some(u64::MAX)] {
            let permit = Permit { born_ms: 1000, generation: 7, trial, started_ms: 1234 };
            let token = print(&name("pay"), permit);
            assert_eq!(parse(&name("pay"), OsStr::new(&token)), Some(permit));
            assert_eq!(parse(&name("paying"), OsStr::new(&token)), None);
            assert_eq!(parse(&name("pay"), OsStr::new(&token[..token.len() - 1])), None);
        }
        for wrong in ["", "-", "cb1", "cb1-1-x-1-00000000", "\u{1b}[2J"] {
            assert_eq!(parse(&name("pay"), OsStr::new(wrong)), None);
        }
    }
}
