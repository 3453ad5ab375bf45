//! `cb queue add`: a call kept for later, on the disk before its id is printed.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use crate::cli::QueueAdd;
use crate::commands::background::Background;
use crate::commands::enqueue::{Order, enqueue, is_already};
use crate::commands::fallback::read_stdin;
use crate::commands::output::{Output, say};
use crate::commands::setup::Setup;
use crate::error::Error;
use crate::exit;
use crate::process::{Startup, Stdin};
use crate::settings::{self, Given};

/// Keeps the call.
///
/// # Errors
///
/// What kept it from being kept.
pub fn run(
    words: &QueueAdd,
    setup: &Setup<'_>,
    startup: &Startup,
    out: &mut Output,
) -> Result<i32, Error> {
    // Its id would reach nobody.
    out.check_open()?;
    let name = settings::breaker_name(&words.name)?;
    let store = setup.store()?;
    let given = Given { flags: &words.flags, ..Given::default() };
    let settings = setup.settings(&name, &given)?;
    let stdin_max = settings.queue.stdin_max;
    let stdin = read_stdin(&mut Stdin::of(startup, stdin_max), stdin_max)?;
    let order = Order {
        command: &words.command,
        flags: &words.flags,
        key: words.key.as_deref(),
        idempotent: words.idempotent,
        stdin,
        delay: Duration::ZERO,
    };
    let added = enqueue(&store, &name, &settings, order)?;
    if let Some(why) = is_already(&added) {
        say(format_args!("{name}: {why}"));
    }
    // Where it is closed, no closing will start a drain.
    let places = setup.places();
    let (store, name, settings) = (&store, &name, &settings);
    let queue = Background { store, name, settings, places, startup };
    if let Some(notice) = queue.if_flowing() {
        say(format_args!("{name}: {notice}"));
    }
    let told = writeln!(out, "{}", added.id).and_then(|()| out.flush());
    told.map(|()| exit::OK).or_else(|source| match source.kind() {
        // A reader that went away has no use for it.
        ErrorKind::BrokenPipe => Ok(exit::OK),
        _ => Err(Error::Queued { id: added.id.to_string(), why: Box::new(Error::Stdout(source)) }),
    })
}
