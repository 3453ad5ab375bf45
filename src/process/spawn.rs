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

use std::ffi::{CString, OsStr, OsString, c_char, c_int, c_void};
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use rustix::process::{Pid, WaitOptions};

use crate::error::Error;
use crate::model::outcome::End;

use super::heir::close_from;
use super::signals::{self, Set};
use super::{Request, Startup};

#[cfg(not(target_os = "linux"))]
compile_error!("cb starts and waits for commands with Linux's clone and sigtimedwait");

/// What a program without a shebang is run by.
const SHELL: &str = "/bin/sh";
/// Where commands are looked for without a PATH: what `confstr(_CS_PATH)` says.
const DEFAULT_PATH: &str = "/bin:/usr/bin";
/// The program that cb itself is, also once its file was replaced.
const MYSELF: &str = "/proc/self/exe";
/// How much of a file is looked at to tell text from a binary.
const SAMPLE_BYTES: u64 = 256;
/// The child's stack, in units of 16 bytes: 32 KiB, as `posix_spawn` gives it.
const STACK_UNITS: usize = 2048;

/// What the child failed in, where it was not in executing the command.
const ENTER: c_int = 1;
const CONNECT: c_int = 2;

/// What became of a start.
pub(super) enum Started {
    /// It runs, or ran.
    Running(Pid),
    /// It could not be started.
    Refused(End, io::Error),
    /// It could not be started in its directory.
    NotEntered(io::Error),
}

/// The child's stdin, stdout and stderr, where they are not cb's.
pub(super) type Standard = [Option<RawFd>; 3];

/// How the child differs from cb.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Whether it leads a group of its own.
    pub(super) own_group: bool,
    /// The terminal whose foreground this group takes.
    pub(super) terminal: Option<RawFd>,
    /// What it has in the place of cb's own standard descriptors.
    pub(super) standard: Standard,
}

/// Starts the command of `request`. The signals that cb waits for are blocked.
pub(super) fn start(
    request: &Request<'_, '_>,
    startup: &Startup,
    place: Place,
) -> Result<Started, Error> {
    if has_zeroes(request) {
        return refused(libc::EINVAL);
    }
    let Ok(cwd) = request.cwd.map(|cwd| CString::new(cwd.as_os_str().as_bytes())).transpose()
    else {
        return Ok(Started::NotEntered(io::Error::from_raw_os_error(libc::EINVAL)));
    };
    let searched = !request.program.as_bytes().contains(&b'/');
    let files = candidates(request);
    let words = words_of(request);
    let mut plan = Plan::new(request, startup, place, files.starts.len() > 1);
    plan.cwd = cwd;
    let errno = match plan.launch(&files, &words)? {
        Ok(pid) => return Ok(Started::Running(pid)),
        Err(errno) => errno,
    };
    match plan.failed_step.load(Ordering::Relaxed) {
        ENTER => return Ok(Started::NotEntered(io::Error::from_raw_os_error(errno))),
        CONNECT => return Err(Error::Spawn(io::Error::from_raw_os_error(errno))),
        _ => {}
    }
    if errno != libc::ENOEXEC {
        return refused(if searched { not_found_if_absent(errno) } else { errno });
    }
    let file = files.get(plan.failed_at.load(Ordering::Relaxed));
    if !is_text(&request.cwd.unwrap_or(Path::new("")).join(file)) {
        return refused(errno);
    }
    let shell = Words::of(&[&[SHELL.as_bytes()]]);
    let words = shell_words(file, request);
    match plan.launch(&shell, &words)? {
        Ok(pid) => Ok(Started::Running(pid)),
        Err(errno) => refused(errno),
    }
}

/// Starts cb itself, as a command whose words are those of `request`, found
/// where it is and not by its name. A detached one leaves all behind that it has
/// of its caller.
pub(super) fn start_myself(
    request: &Request<'_, '_>,
    startup: &Startup,
    standard: Standard,
    is_detached: bool,
) -> Result<Pid, Error> {
    let refused = |errno| Error::Spawn(io::Error::from_raw_os_error(errno));
    if has_zeroes(request) {
        return Err(refused(libc::EINVAL));
    }
    let place = Place { own_group: false, terminal: None, standard };
    let mut plan = Plan::new(request, startup, place, false);
    plan.is_detached = is_detached;
    if is_detached {
        plan.mask = Set::of(&[]);
        plan.ignore_chld = false;
        plan.cwd = Some(CString::from(c"/"));
    }
    plan.launch(&Words::of(&[&[MYSELF.as_bytes()]]), &words_of(request))?.map_err(refused)
}

/// Whether a word or a variable holds what would end it.
fn has_zeroes(request: &Request<'_, '_>) -> bool {
    let has_zero = |word: &OsStr| word.as_bytes().contains(&0);
    has_zero(request.program)
        || request.args.iter().any(|arg| has_zero(arg))
        || request.env.iter().any(|(name, value)| has_zero(name) || has_zero(value))
}

fn words_of(request: &Request<'_, '_>) -> Words {
    let mut words = Words::default();
    words.push(&[request.program.as_bytes()]);
    for arg in request.args {
        words.push(&[arg.as_bytes()]);
    }
    words
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
fn candidates(request: &Request<'_, '_>) -> Words {
    let program = request.program.as_bytes();
    if program.contains(&b'/') || program.is_empty() {
        return Words::of(&[&[program]]);
    }
    let theirs = || request.env.iter().rev().find(|(name, _)| name == "PATH");
    let path: Option<OsString> = if request.clean_env {
        theirs().map(|(_, value)| value.clone())
    } else {
        std::env::var_os("PATH")
    };
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
fn is_text(file: &Path) -> bool {
    let mut sample = Vec::new();
    let read = File::open(file).and_then(|file| file.take(SAMPLE_BYTES).read_to_end(&mut sample));
    // One that may be executed but not read is the shell's to refuse.
    read.is_err() || !sample.contains(&0)
}

/// `/bin/sh FILE ARG...`, where FILE is never taken for an option.
fn shell_words(file: &OsStr, request: &Request<'_, '_>) -> Words {
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
/// then `ours`; or `ours` alone. The pointers are valid while both stay as they are.
fn environment(request: &Request<'_, '_>, ours: &Words) -> Vec<*const c_char> {
    if request.clean_env {
        return ours.pointers();
    }
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
    cwd: Option<CString>,
    umask: Option<libc::mode_t>,
    /// A descriptor that stays open.
    keep: Option<RawFd>,
    /// Whether it is to have nothing of its caller's.
    is_detached: bool,
    searched: bool,
    env: Vec<*const c_char>,
    /// What `env` points to, besides cb's own environment.
    _ours: Words,
    files: Vec<*const c_char>,
    argv: Vec<*const c_char>,
    /// The child's answer: why it could not execute, and which of the files; or
    /// in which step before.
    errno: AtomicI32,
    failed_step: AtomicI32,
    failed_at: AtomicUsize,
}

impl Plan {
    fn new(request: &Request<'_, '_>, startup: &Startup, place: Place, searched: bool) -> Self {
        let mut ours = Words::default();
        for (name, value) in request.env {
            ours.push(&[name.as_bytes(), b"=", value.as_bytes()]);
        }
        Plan {
            mask: startup.mask,
            place,
            ignore_chld: startup.chld_ignored,
            die_with: request.die_with_parent.then(rustix::process::getpid),
            cwd: None,
            umask: request.umask,
            keep: request.keep.map(|keep| keep.as_raw_fd()),
            is_detached: false,
            searched,
            env: environment(request, &ours),
            _ours: ours,
            files: Vec::new(),
            argv: Vec::new(),
            errno: AtomicI32::new(0),
            failed_step: AtomicI32::new(0),
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
    fn set_up(&self) -> Result<(), (c_int, c_int)> {
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
        if self.is_detached {
            signals::heed_all();
        }
        self.connect().map_err(|errno| (CONNECT, errno))?;
        if self.is_detached {
            leave_caller();
        }
        if let Some(umask) = self.umask {
            // SAFETY: touches no memory.
            unsafe { libc::umask(umask) };
        }
        if let Some(cwd) = &self.cwd {
            // SAFETY: the string ends in a zero byte and outlives the call.
            checked(unsafe { libc::chdir(cwd.as_ptr()) }).map_err(|errno| (ENTER, errno))?;
        }
        self.mask.make_mask();
        Ok(())
    }

    /// In the child: its own descriptors in the place of cb's. They come from
    /// numbers above these, or from the very place.
    fn connect(&self) -> Result<(), c_int> {
        for (target, source) in (0..).zip(self.place.standard) {
            match source {
                None => {}
                // SAFETY: neither call touches memory.
                Some(same) if same == target => {
                    checked(unsafe { libc::fcntl(same, libc::F_SETFD, 0) })?
                }
                Some(source) => checked(unsafe { libc::dup2(source, target) })?,
            }
        }
        match self.keep {
            // SAFETY: touches no memory.
            Some(keep) => checked(unsafe { libc::fcntl(keep, libc::F_SETFD, 0) }),
            None => Ok(()),
        }
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

/// What a system call answered.
fn checked(answer: c_int) -> Result<(), c_int> {
    match answer {
        -1 => Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)),
        _ => Ok(()),
    }
}

/// In the child: a session of its own, and no descriptor but the first three: a
/// lock or a pipe of the caller's would be held for as long as this runs.
fn leave_caller() {
    // SAFETY: no call touches memory, and nothing of cb's runs in this process
    // any more that would use one of the descriptors.
    unsafe {
        libc::setsid();
        close_from(3);
    }
}

/// The child's whole life before the command's.
extern "C" fn child(plan: *mut c_void) -> c_int {
    // SAFETY: `launch` passes its plan, and stands still while this runs.
    let plan = unsafe { &*plan.cast::<Plan>() };
    let errno = match plan.set_up() {
        Ok(()) => plan.execute(),
        Err((step, errno)) => {
            plan.failed_step.store(step, Ordering::Relaxed);
            errno
        }
    };
    plan.errno.store(errno, Ordering::Relaxed);
    // SAFETY: _exit ends the process at once and runs nothing of cb's.
    unsafe { libc::_exit(127) }
}
