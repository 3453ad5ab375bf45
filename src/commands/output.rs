//! Where cb's own words go: stdout whole or with an error, stderr a line each.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::cli::HelpText;
use crate::error::Error;
use crate::exit;
use crate::model::text::printable;
use crate::process::Startup;

/// Standard output, buffered. Unlike Rust's own it notices when it is closed.
pub struct Output {
    buffer: Vec<u8>,
    closed: bool,
}

const FLUSH_LEN: usize = 64 * 1024;

impl Output {
    /// The standard output that cb was started with.
    pub fn new(startup: &Startup) -> Self {
        Output { buffer: Vec::new(), closed: startup.closed[1] }
    }

    /// Writes what is still in the buffer.
    ///
    /// # Errors
    ///
    /// [`Error::Stdout`].
    pub fn finish(&mut self) -> Result<(), Error> {
        self.flush().map_err(Error::Stdout)
    }

    /// That it is open, for a command that shall do nothing where its answer
    /// could not be written.
    ///
    /// # Errors
    ///
    /// [`Error::Stdout`].
    pub fn check_open(&self) -> Result<(), Error> {
        if self.closed { Err(Error::Stdout(closed())) } else { Ok(()) }
    }

    /// Prints a help text, in colour where that suits.
    pub(super) fn help(&mut self, text: &HelpText) -> Result<(), Error> {
        self.check_open()?;
        text.print().map_err(Error::Stdout)
    }

    /// Whether a person reads it on a terminal that takes colour.
    pub fn takes_colour(&self) -> bool {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let forced = std::env::var_os("CLICOLOR_FORCE")
            .is_some_and(|value| !value.is_empty() && value != "0");
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        !set("NO_COLOR") && (forced || !self.closed && io::stdout().is_terminal() && !dumb)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= FLUSH_LEN {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if self.closed {
            return Err(closed());
        }
        Stdout { closed: false }.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// The bare standard output, for bytes that are not cb's own words.
pub struct Stdout {
    closed: bool,
}

impl Stdout {
    /// The standard output that cb was started with.
    pub fn new(startup: &Startup) -> Self {
        Stdout { closed: startup.closed[1] }
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Err(closed());
        }
        let stdout = rustix::stdio::stdout();
        loop {
            match rustix::io::write(stdout, bytes) {
                Err(Errno::INTR) => {}
                // Whoever made it non-blocking did not mean cb.
                Err(Errno::AGAIN) => {
                    let room = &mut [PollFd::new(&stdout, PollFlags::OUT)];
                    rustix::io::retry_on_intr(|| poll(room, None))?;
                }
                written => return Ok(written?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that goes away has read enough: no error.
pub fn forgive_gone_reader(error: Error) -> Result<i32, Error> {
    match error {
        Error::Stdout(source) if source.kind() == io::ErrorKind::BrokenPipe => Ok(exit::OK),
        other => Err(other),
    }
}

/// Says on stderr what went wrong, in one line.
pub fn complain(error: &Error) {
    say(format_args!("{error}"));
}

/// Writes one line to stderr, in one piece and with nothing that steers a
/// terminal. That it cannot be written stops nothing.
pub fn say(line: fmt::Arguments<'_>) {
    let line = format!("cb: {}\n", printable(&line.to_string()));
    let _ = io::stderr().write_all(line.as_bytes());
}

/// What cb says about one breaker, unless it is asked to be quiet.
pub struct Voice<'a> {
    /// The breaker.
    pub name: &'a str,
    /// Say nothing.
    pub quiet: bool,
}

impl Voice<'_> {
    /// Says something about the breaker.
    pub fn say(&self, what: impl fmt::Display) {
        if !self.quiet {
            say(format_args!("{}: {what}", self.name));
        }
    }
}

fn closed() -> io::Error {
    Errno::BADF.into()
}
