//! Starting the child: find the command, fork without copying, execute.
//!
//! The child is a `clone(CLONE_VM | CLONE_VFORK)` on a piece of cb's own stack:
//! it shares cb's memory while cb stands still, so nothing is copied, an error
//! comes back through a plain variable, and the child can set itself up with
//! ordinary calls before it executes the command. Rust's `Command` and
//! `posix_spawn` would not do: the first resets SIGPIPE and the mask, the second
//! knows neither an ignored SIGCHLD nor the parent-death signal, and asks for
//! every signal's disposition at each start.
//!
//! Between the clone and the exec only async-signal-safe calls are made, and
//! nothing is allocated.

use std::ffi::{OsStr, c_char, c_int, c_void};
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use rustix::process::{Pid, WaitOptions};

use crate::error::Error;
use crate::model::outcome::End;

use super::signals::{self, Set};
use super::{Request, Startup};

#[cfg(not(target_os = "linux"))]
compile_error!("cb starts and waits for commands with Linux's clone and sigtimedwait");

/// What a program without a shebang is run by.
const SHELL: &str = "/bin/sh";
/// Where commands are looked for without a PATH: what `confstr(_CS_PATH)` says.
const DEFAULT_PATH: &str = "/bin:/usr/bin";
/// How much of a file is looked at to tell text from a binary.
const SAMPLE_BYTES: u64 = 256;
/// The child's stack, in units of 16 bytes: 32 KiB, as `posix_spawn` gives it.
const STACK_UNITS: usize = 2048;

/// What became of a start.
pub(super) enum Started {
    /// It runs, or ran.
    Running(Pid),
    /// It could not be started.
    Refused(End, io::Error),
}

/// How the child differs from cb.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Whether it leads a group of its own.
    pub(super) own_group: bool,
    /// The terminal whose foreground this group takes.
    pub(super) terminal: Option<RawFd>,
}

/// Starts the command of `request`. The signals that cb waits for are blocked.
pub(super) fn start(
    request: &Request<'_>,
    startup: &Startup,
    place: Place,
) -> Result<Started, Error> {
    let has_zero = |word: &OsStr| word.as_bytes().contains(&0);
    if has_zero(request.program) || request.args.iter().any(|arg| has_zero(arg)) {
        return refused(libc::EINVAL);
    }
    let searched = !request.program.as_bytes().contains(&b'/');
    let files = candidates(request.program);
    let mut words = Words::default();
    words.push(&[request.program.as_bytes()]);
    for arg in request.args {
        words.push(&[arg.as_bytes()]);
    }
    let mut plan = Plan::new(request, startup, place, &files);
    let errno = match plan.launch(&files, &words)? {
        Ok(pid) => return Ok(Started::Running(pid)),
        Err(errno) => errno,
    };
    if errno != libc::ENOEXEC {
        return refused(if searched { not_found_if_absent(errno) } else { errno });
    }
    let file = files.get(plan.failed_at.load(Ordering::Relaxed));
    if !is_text(file) {
        return refused(errno);
    }
    let shell = Words::of(&[&[SHELL.as_bytes()]]);
    let words = shell_words(file, request);
    match plan.launch(&shell, &words)? {
        Ok(pid) => Ok(Started::Running(pid)),
        Err(errno) => refused(errno),
    }
}

/// What an error of the exec means: cb's own trouble, or the command's.
fn refused(errno: c_int) -> Result<Started, Error> {
    let error = io::Error::from_raw_os_error(errno);
    match errno {
        libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE => Err(Error::Spawn(error)),
        libc::ENOENT | libc::ENOTDIR => Ok(Started::Refused(End::NotFound, error)),
        _ => Ok(Started::Refused(End::NotExecutable, error)),
    }
}

/// Strings that end in a zero byte, one after the other.
#[derive(Default)]
struct Words {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Words {
    fn of(words: &[&[&[u8]]]) -> Self {
        let mut these = Self::default();
        for word in words {
            these.push(word);
        }
        these
    }

    /// Adds one word, of these parts.
    fn push(&mut self, parts: &[&[u8]]) {
        self.starts.push(self.bytes.len());
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.bytes.push(0);
    }

    fn get(&self, index: usize) -> &OsStr {
        let word = &self.bytes[self.starts[index]..];
        OsStr::from_bytes(word.split(|&byte| byte == 0).next().unwrap_or_default())
    }

    /// Pointers to the words, then null: valid while the words stay as they are.
    fn pointers(&self) -> Vec<*const c_char> {
        let word = |&start: &usize| self.bytes[start..].as_ptr().cast::<c_char>();
        self.starts.iter().map(word).chain([ptr::null()]).collect()
    }
}

/// The files that this command may be, in the order in which `execvp` tries
/// them. An empty element of PATH is the current directory.
fn candidates(program: &OsStr) -> Words {
    let program = program.as_bytes();
    if program.contains(&b'/') || program.is_empty() {
        return Words::of(&[&[program]]);
    }
    let path = std::env::var_os("PATH");
    let path = path.as_deref().unwrap_or(OsStr::new(DEFAULT_PATH)).as_bytes();
    let mut words = Words::default();
    for directory in path.split(|&byte| byte == b':') {
        match directory {
            [] => words.push(&[program]),
            _ => words.push(&[directory, b"/", program]),
        }
    }
    words
}

/// Whether a file that the kernel does not know how to execute is text, for the
/// shell. An empty one is: a script that does nothing.
fn is_text(file: &OsStr) -> bool {
    let mut sample = Vec::new();
    let read = File::open(Path::new(file))
        .and_then(|file| file.take(SAMPLE_BYTES).read_to_end(&mut sample));
    // One that may be executed but not read is the shell's to refuse.
    read.is_err() || !sample.contains(&0)
}

/// `/bin/sh FILE ARG...`, where FILE is never taken for an option.
fn shell_words(file: &OsStr, request: &Request<'_>) -> Words {
    let file = file.as_bytes();
    let here: &[u8] = if file.contains(&b'/') { b"" } else { b"./" };
    let mut words = Words::of(&[&[SHELL.as_bytes()], &[here, file]]);
    for arg in request.args {
        words.push(&[arg.as_bytes()]);
    }
    words
}

/// The errors after which `execvp` goes on to the next directory.
fn is_absent(errno: c_int) -> bool {
    matches!(errno, libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT)
}

fn not_found_if_absent(errno: c_int) -> c_int {
    if is_absent(errno) { libc::ENOENT } else { errno }
}

unsafe extern "C" {
    static environ: *const *const c_char;
}

/// cb's own environment byte for byte, without the variables that `ours` sets,
/// then `ours`. The pointers are valid while both stay as they are.
fn environment(request: &Request<'_>, ours: &Words) -> Vec<*const c_char> {
    let replaced = |entry: *const c_char| {
        // SAFETY: an entry of the environment ends in a zero byte.
        let entry = unsafe { std::ffi::CStr::from_ptr(entry) }.to_bytes();
        request.env.iter().any(|(name, _)| {
            entry.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'='))
        })
    };
    let mut pointers = Vec::with_capacity(64);
    // SAFETY: environ is null or points to pointers of which the last is null,
    // and nothing in cb changes the environment.
    unsafe {
        let mut next = environ;
        while !next.is_null() && !(*next).is_null() {
            if !replaced(*next) {
                pointers.push(*next);
            }
            next = next.add(1);
        }
    }
    pointers.extend(ours.pointers());
    pointers
}

/// All that the child needs, made before it exists.
struct Plan {
    mask: Set,
    place: Place,
    ignore_chld: bool,
    /// cb's process, where the child is to die with it.
    die_with: Option<Pid>,
    searched: bool,
    env: Vec<*const c_char>,
    /// What `env` points to, besides cb's own environment.
    _ours: Words,
    files: Vec<*const c_char>,
    argv: Vec<*const c_char>,
    /// The child's answer: why it could not execute, and which of the files.
    errno: AtomicI32,
    failed_at: AtomicUsize,
}

impl Plan {
    fn new(request: &Request<'_>, startup: &Startup, place: Place, files: &Words) -> Self {
        let mut ours = Words::default();
        for (name, value) in request.env {
            ours.push(&[name.as_bytes(), b"=", value.as_bytes()]);
        }
        Plan {
            mask: startup.mask,
            place,
            ignore_chld: startup.chld_ignored,
            die_with: request.die_with_parent.then(rustix::process::getpid),
            searched: files.starts.len() > 1,
            env: environment(request, &ours),
            _ours: ours,
            files: Vec::new(),
            argv: Vec::new(),
            errno: AtomicI32::new(0),
            failed_at: AtomicUsize::new(0),
        }
    }

    /// Makes the child and waits until it executes the first of `files` that
    /// can be, or fails to: that is the inner error.
    fn launch(&mut self, files: &Words, argv: &Words) -> Result<Result<Pid, c_int>, Error> {
        self.files = files.pointers();
        self.argv = argv.pointers();
        self.errno.store(0, Ordering::Relaxed);
        let mut stack = [const { MaybeUninit::<u128>::uninit() }; STACK_UNITS];
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: the stack is aligned to 16 bytes and grows down from its end;
        // with CLONE_VFORK this call returns only when the child uses neither
        // it nor the plan any more. The pointers in the plan are to `files`,
        // `argv`, `_ours` and the environment, which all live until then.
        let pid = unsafe {
            let top = stack.as_mut_ptr().add(STACK_UNITS).cast::<c_void>();
            libc::clone(child, top, flags, ptr::from_ref::<Plan>(self).cast_mut().cast::<c_void>())
        };
        let Some(pid) = Pid::from_raw(pid.max(0)) else {
            return Err(Error::Spawn(io::Error::last_os_error()));
        };
        match self.errno.load(Ordering::Relaxed) {
            0 => Ok(Ok(pid)),
            errno => {
                let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
                Ok(Err(errno))
            }
        }
    }

    /// In the child: what is different from cb. The mask comes last, so that no
    /// signal arrives before the child is what it is to be.
    fn set_up(&self) {
        // The terminal sent these to cb too, which passes them on when this is
        // the command. Here a stop would be for ever, since cb stands still, and
        // a core file would be cb's.
        signals::take_all(&signals::OF_TERMINALS);
        if self.place.own_group {
            // SAFETY: neither call touches memory. TTOU is blocked, so the group
            // that is in the background until here may take the foreground.
            unsafe {
                libc::setpgid(0, 0);
                if let Some(terminal) = self.place.terminal {
                    libc::tcsetpgrp(terminal, libc::getpid());
                }
            }
        }
        if self.ignore_chld {
            signals::set_ignored(libc::SIGCHLD, true);
        }
        if let Some(parent) = self.die_with {
            let _ = rustix::process::set_parent_process_death_signal(Some(
                rustix::process::Signal::TERM,
            ));
            if rustix::process::getppid() != Some(parent) {
                // SAFETY: _exit ends the process at once and runs nothing.
                unsafe { libc::_exit(128 + libc::SIGTERM) };
            }
        }
        self.mask.make_mask();
    }

    /// In the child: executes the first file that can be; returns why none can.
    fn execute(&self) -> c_int {
        let mut denied = false;
        let mut errno = libc::ENOENT;
        for (index, &file) in self.files.iter().take_while(|file| !file.is_null()).enumerate() {
            // SAFETY: the three are what execve asks for: strings and lists of
            // strings that end in null, alive in cb's memory.
            unsafe { libc::execve(file, self.argv.as_ptr(), self.env.as_ptr()) };
            errno = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
            self.failed_at.store(index, Ordering::Relaxed);
            match errno {
                libc::EACCES => denied = true,
                _ if self.searched && is_absent(errno) => {}
                _ => return errno,
            }
        }
        if denied { libc::EACCES } else { errno }
    }
}

/// The child's whole life before the command's.
extern "C" fn child(plan: *mut c_void) -> c_int {
    // SAFETY: `launch` passes its plan, and stands still while this runs.
    let plan = unsafe { &*plan.cast::<Plan>() };
    plan.set_up();
    plan.errno.store(plan.execute(), Ordering::Relaxed);
    // SAFETY: _exit ends the process at once and runs nothing of cb's.
    unsafe { libc::_exit(127) }
}
