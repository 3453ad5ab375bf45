//! One error type. Each message is a lower-case fragment that says what, where,
//! and what is allowed or what to do; `exit.rs` turns each kind into a status.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong in cb itself.
#[derive(Debug)]
pub enum Error {
    /// Words that cb does not understand, or values out of bounds.
    Usage(String),
    /// A config file that cannot be used.
    Config {
        /// The file.
        path: PathBuf,
        /// The line, from 1; 0 where the whole file is meant.
        line: usize,
        /// What is wrong and what is allowed.
        message: String,
    },
    /// The operating system refused something.
    Io {
        /// What was tried: "open", "write", ...
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// Something in the store is not what cb put there.
    Unsafe {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it and how to mend it.
        why: String,
    },
    /// Another process holds the lock of a breaker for longer than cb waits.
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long cb waited.
        waited_ms: u64,
    },
    /// The state was written by a newer cb, and is left alone.
    Newer {
        /// The state file.
        path: PathBuf,
        /// Its format version.
        version: u32,
    },
    /// Neither copy of the state can be read.
    Corrupt {
        /// The state file.
        path: PathBuf,
    },
    /// The store cannot be used, and the settings say not to run without it.
    Refused {
        /// The breaker.
        name: String,
        /// Why it cannot be used.
        why: Box<Error>,
    },
    /// Something that failed after something else was done that the caller has
    /// to know of.
    Following {
        /// What was done.
        done: String,
        /// What failed.
        why: Box<Error>,
    },
    /// A call was not queued.
    NotQueued {
        /// Why.
        why: Box<Error>,
        /// The job, where it could not even be taken away again.
        left: Option<PathBuf>,
    },
    /// A call was queued, and what follows failed.
    Queued {
        /// The job.
        id: String,
        /// What failed.
        why: Box<Error>,
    },
    /// No place for the store can be told from the environment.
    NoStore,
    /// A breaker that must exist does not.
    Unknown {
        /// Its name.
        name: String,
    },
    /// Standard output could not be written.
    Stdout(io::Error),
    /// No process could be started for a reason that is not the command's.
    Spawn(io::Error),
}

impl Error {
    /// An I/O error with what was tried and where.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { action, path: path.as_ref().to_owned(), source }
    }

    /// An error that came after something that has to be told as well.
    pub fn following<T: fmt::Display>(done: &[T], why: Error) -> Error {
        if done.is_empty() {
            return why;
        }
        let done = done.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Error::Following { done, why: Box::new(why) }
    }

    /// Whether the store, and not the caller, is at fault: `on_store_error`
    /// then decides whether a command still runs.
    pub fn is_of_store(&self) -> bool {
        match self {
            Error::Io { .. }
            | Error::Unsafe { .. }
            | Error::Locked { .. }
            | Error::Newer { .. }
            | Error::Corrupt { .. }
            | Error::Following { .. }
            | Error::NoStore => true,
            Error::Usage(_)
            | Error::Config { .. }
            | Error::Refused { .. }
            | Error::NotQueued { .. }
            | Error::Queued { .. }
            | Error::Unknown { .. }
            | Error::Stdout(_)
            | Error::Spawn(_) => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(message) => f.write_str(message),
            Error::Config { path, line: 0, message } => write!(f, "{}: {message}", path.display()),
            Error::Config { path, line, message } => {
                write!(f, "{}:{line}: {message}", path.display())
            }
            Error::Io { action, path, source } => {
                write!(f, "cannot {action} {}: {}", path.display(), plain(source))
            }
            Error::Unsafe { path, why } => write!(f, "{} {why}", path.display()),
            Error::Locked { path, waited_ms } => {
                write!(f, "{} is locked by another process (waited {waited_ms} ms)", path.display())
            }
            Error::Newer { path, version } => write!(
                f,
                "{} has format version {version}, written by a newer cb: use that cb, or remove \
                 the breaker with it",
                path.display()
            ),
            Error::Corrupt { path } => {
                write!(
                    f,
                    "{} is corrupt: neither copy of the state can be read; the next call, or 'cb \
                     reset', puts it aside and begins anew",
                    path.display()
                )
            }
            Error::Following { done, why } => write!(f, "{done}; then: {why}"),
            Error::Refused { name, why } => {
                write!(f, "{name}: not run: {why} (on_store_error is \"refuse\")")
            }
            Error::NotQueued { why, left: None } => write!(f, "not queued: {why}"),
            Error::NotQueued { why, left: Some(path) } => write!(
                f,
                "not queued: {why}; it could not be taken back, and may run: remove {}",
                path.display()
            ),
            Error::Queued { id, why } => write!(f, "queued as {id}; {why}"),
            Error::NoStore => f.write_str(
                "no place for the store: HOME is not set, so set CB_STORE or give --store DIR",
            ),
            Error::Unknown { name } => {
                write!(f, "{name}: no such breaker in this store; 'cb status' lists them")
            }
            Error::Stdout(source) => write!(f, "cannot write to stdout: {}", plain(source)),
            Error::Spawn(source) => write!(f, "cannot start a process: {}", plain(source)),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } | Error::Stdout(source) | Error::Spawn(source) => Some(source),
            _ => None,
        }
    }
}

/// An OS error in the words of `strerror`, without Rust's "(os error 5)".
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
