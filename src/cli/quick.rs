//! The words of a plain `cb exec`, or `cb queue add`, without clap.
//!
//! Building and dropping clap's tree is half of what cb itself computes for a
//! call, and touches as much memory as all the rest. This reads the words that need none of it, over the same table of
//! flags, and leaves everything else (help, mistakes, rare forms) to clap. A
//! test holds the two together.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::flags::{POLICY_FLAGS, PROBES};
use super::{ExecWords, Places, QueueAdd, QueueWhat, QueueWords};

/// What was read so far.
struct Reader {
    words: ExecWords,
    /// The policy flags as they came: the place in their table, and the text.
    flags: Vec<(usize, OsString)>,
}

/// Where an option's value goes.
enum Slot<'a> {
    Value(&'a mut Option<OsString>),
    Flag(usize),
    Switch(&'a mut bool),
}

/// Reads the arguments of the process, its own name first; `None` where clap
/// must look at them.
pub fn exec(args: &[OsString]) -> Option<ExecWords> {
    if args.get(1)? == "exec" { read(args, 2) } else { None }
}

/// The same for `cb queue add`, which has a part of the options.
pub fn queue_add(args: &[OsString]) -> Option<QueueWords> {
    if args.get(1)? != "queue" || args.get(2)? != "add" {
        return None;
    }
    let ExecWords {
        places,
        name,
        command,
        flags,
        key,
        idempotent,
        quiet: false,
        result_file: None,
        result_fd: None,
        foreground: false,
        die_with_parent: false,
        hold_stdout: false,
    } = read(args, 3)?
    else {
        return None;
    };
    let add = QueueAdd { name, command, flags, key, idempotent };
    Some(QueueWords { places, what: QueueWhat::Add(add) })
}

/// Reads options, a name and a command, from there on.
fn read(args: &[OsString], mut at: usize) -> Option<ExecWords> {
    let mut reader = Reader::new();
    let mut named = false;
    loop {
        let word = args.get(at)?.as_bytes();
        match word {
            b"--" if named => {
                at += 1;
                break;
            }
            b"-q" => reader.words.quiet = true,
            [b'-', b'-', option @ ..] => at += reader.option(option, args.get(at + 1))?,
            [b'-', ..] => return None,
            _ if named => break,
            _ => {
                reader.words.name.clone_from(&args[at]);
                named = true;
            }
        }
        at += 1;
    }
    // A command that looks like "--" is one of the rare forms.
    reader.finish(args.get(at..).filter(|command| !command.is_empty() && command[0] != "--")?)
}

impl Reader {
    fn new() -> Self {
        Reader {
            words: ExecWords {
                places: Places::default(),
                name: OsString::new(),
                command: Vec::new(),
                flags: Vec::new(),
                quiet: false,
                result_file: None,
                result_fd: None,
                foreground: false,
                die_with_parent: false,
                hold_stdout: false,
                key: None,
                idempotent: false,
            },
            flags: Vec::new(),
        }
    }

    /// Takes an option without its dashes; how many words after it it took.
    fn option(&mut self, option: &[u8], next: Option<&OsString>) -> Option<usize> {
        let equals = option.iter().position(|byte| *byte == b'=');
        let (name, given) = match equals {
            Some(at) => (&option[..at], Some(OsStr::from_bytes(&option[at + 1..]))),
            None => (option, None),
        };
        let text = || given.map_or_else(|| next.cloned(), |given| Some(given.to_owned()));
        let taken = usize::from(given.is_none());
        match self.slot(name)? {
            Slot::Switch(_) if given.is_some() => None,
            Slot::Switch(switch) => {
                *switch = true;
                Some(0)
            }
            Slot::Value(value) => {
                *value = Some(text()?);
                Some(taken)
            }
            Slot::Flag(at) => {
                let text = text()?;
                self.flag(at, text);
                Some(taken)
            }
        }
    }

    /// The last one counts, but for the flags that can be given several times.
    fn flag(&mut self, at: usize, text: OsString) {
        let before = self.flags.iter_mut().find(|(known, _)| *known == at);
        match before.filter(|_| !POLICY_FLAGS[at].repeatable) {
            Some((_, before)) => *before = text,
            None => self.flags.push((at, text)),
        }
    }

    fn slot(&mut self, name: &[u8]) -> Option<Slot<'_>> {
        let words = &mut self.words;
        Some(match name {
            b"store" => Slot::Value(&mut words.places.store),
            b"config" => Slot::Value(&mut words.places.config),
            b"result-file" => Slot::Value(&mut words.result_file),
            b"result-fd" => Slot::Value(&mut words.result_fd),
            b"quiet" => Slot::Switch(&mut words.quiet),
            b"foreground" => Slot::Switch(&mut words.foreground),
            b"die-with-parent" => Slot::Switch(&mut words.die_with_parent),
            b"hold-stdout" => Slot::Switch(&mut words.hold_stdout),
            b"key" => Slot::Value(&mut words.key),
            b"idempotent" => Slot::Switch(&mut words.idempotent),
            other => {
                let at = POLICY_FLAGS.iter().position(|flag| flag.long.as_bytes() == other)?;
                Slot::Flag(Some(at).filter(|at| POLICY_FLAGS[*at].heading != PROBES)?)
            }
        })
    }

    fn finish(mut self, command: &[OsString]) -> Option<ExecWords> {
        self.words.command = command.to_vec();
        // In the order of their table, and each one's texts as they came.
        self.flags.sort_by_key(|(at, _)| *at);
        let flags = self.flags.into_iter();
        self.words.flags = flags.map(|(at, text)| (POLICY_FLAGS[at].key, text)).collect();
        Some(self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{self, Words};
    use proptest::prelude::*;

    const WORDS: [&str; 39] = [
        "pay",
        "curl",
        "--",
        "-",
        "",
        "-q",
        "-qq",
        "--quiet",
        "--quiet=1",
        "--timeout",
        "--timeout=5",
        "--timeout=",
        "--window",
        "10",
        "-5",
        "-k",
        "--store",
        "--store=/tmp/x",
        "--config",
        "--result-file",
        "--foreground",
        "--die-with-parent",
        "--on-open",
        "--on-open=queue",
        "--on-open=",
        "--on-failure",
        "cache:10m",
        "--retries",
        "--retries=3",
        "--cache-cwd",
        "--hold-stdout",
        "--hold-stdout=1",
        "--key",
        "--key=k",
        "--idempotent",
        "--help",
        "--nonsense",
        "exec",
        "--open-for=1=2",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn what_is_read_is_what_clap_reads(picks in prop::collection::vec(0..WORDS.len(), 0..8)) {
            let words: Vec<_> = picks.into_iter().map(|pick| OsString::from(WORDS[pick])).collect();
            let args: Vec<OsString> =
                ["cb", "exec"].map(OsString::from).into_iter().chain(words.clone()).collect();
            if let Some(quick) = exec(&args) {
                match cli::by_clap(args) {
                    Ok(Words::Exec(slow)) => prop_assert_eq!(quick, slow),
                    other => prop_assert!(false, "{other:?}"),
                }
            }
            let args: Vec<OsString> =
                ["cb", "queue", "add"].map(OsString::from).into_iter().chain(words).collect();
            if let Some(quick) = queue_add(&args) {
                match cli::by_clap(args) {
                    Ok(Words::Queue(slow)) => prop_assert_eq!(quick, slow),
                    other => prop_assert!(false, "{other:?}"),
                }
            }
        }
    }

    #[test]
    fn plain_words_need_no_clap() {
        let read = |words: &[&str]| {
            let args: Vec<OsString> = words.iter().map(OsString::from).collect();
            exec(&args).is_some()
        };
        assert!(read(&["cb", "exec", "pay", "--", "curl", "-f", "--", "x"]));
        assert!(read(&["cb", "exec", "--timeout", "5", "pay", "-q", "curl", "--help"]));
        assert!(!read(&["cb", "exec", "pay"]));
        assert!(!read(&["cb", "exec", "--help", "pay", "x"]));
        assert!(!read(&["cb", "status"]));
        assert!(!read(&["cb"]));
        let read = |words: &[&str]| {
            let args: Vec<OsString> = words.iter().map(OsString::from).collect();
            queue_add(&args).is_some()
        };
        assert!(read(&["cb", "queue", "add", "--drain", "manual", "pay", "--", "curl", "-q"]));
        assert!(read(&["cb", "queue", "add", "--key=k", "--idempotent", "pay", "curl"]));
        assert!(!read(&["cb", "queue", "add", "-q", "pay", "curl"]));
        assert!(!read(&["cb", "queue", "add", "--result-fd", "3", "pay", "curl"]));
        assert!(!read(&["cb", "queue", "add", "pay"]));
        assert!(!read(&["cb", "queue", "list"]));
        assert!(!read(&[]));
    }
}
