//! The words of `cb probe` and `cb wait`. What a probe looks at, and how, is in
//! flags with the names of the config's keys; what their texts mean is the
//! business of the settings.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use std::ffi::OsString;
use std::fmt;

use super::flags::{POLICY_FLAGS, PROBES};
use super::tree::{command, config_file, path, positional, quiet, store, switch, value};
use super::{Flag, Places, flags, help, many, one};

/// What `cb wait` can wait for.
pub const UNTIL: [&str; 3] = ["closed", "admitting", "healthy"];

/// A flag that says what a probe looks at, or how.
#[derive(Clone, Copy, Debug)]
pub struct ProbeFlag {
    /// The key in a config file: `expect_status`.
    pub key: &'static str,
    /// The flag without its dashes: `expect-status`.
    pub long: &'static str,
    /// What stands for the value in help; a switch has none.
    pub value: Option<&'static str>,
    /// One line of help.
    pub help: &'static str,
    /// The heading that help has it under.
    pub heading: &'static str,
    /// Whether it can be given several times, and each one counts.
    pub repeatable: bool,
    /// Whether its value is the path of a file.
    pub is_path: bool,
}

impl ProbeFlag {
    const fn repeatable(self) -> Self {
        ProbeFlag { repeatable: true, ..self }
    }

    const fn path(self) -> Self {
        ProbeFlag { is_path: true, ..self }
    }

    const fn under(self, heading: &'static str) -> Self {
        ProbeFlag { heading, ..self }
    }
}

const KINDS: &str = "What to look at";
const WAY: &str = "On the way there";
const HTTP: &str = "HTTP";
const TLS: &str = "TLS";
const OTHERS: &str = "Names and commands";
const WATCHING: &str = "Watching";

/// The flags of a probe, in the order in which help lists them.
pub static PROBE_FLAGS: [ProbeFlag; 38] = [
    flag("http", "http", "URL", "A page answers as expected"),
    flag("tcp", "tcp", "HOST:PORT", "A port takes connections"),
    flag("unix", "unix", "PATH", "A socket takes connections").path(),
    flag("tls", "tls", "HOST[:PORT]", "A port speaks TLS, with a good certificate"),
    flag("grpc", "grpc", "HOST:PORT[/SERVICE]", "A server says SERVING (gRPC health)"),
    flag("dns", "dns", "NAME[@SERVER[:PORT]]", "A name resolves"),
    flag("timeout", "timeout", "DURATION", "The deadline over everything [default: 5s]").under(WAY),
    flag("ip_version", "ip-version", "4|6", "Use only such addresses; also -4, -6").under(WAY),
    flag("resolve", "resolve", "HOST:PORT:ADDR[,ADDR]", RESOLVE).under(WAY).repeatable(),
    http("method", "method", "METHOD", "The method [default: GET; POST with a body]"),
    http("header", "header", "NAME: VALUE", "Send a header (repeatable)").repeatable(),
    http("header_env", "header-env", "NAME: VARIABLE", HEADER_ENV).repeatable(),
    http("header_file", "header-file", "FILE", "Send the headers in FILE, one a line").path(),
    http("body", "body", "TEXT", "Send a body"),
    http("body_file", "body-file", "FILE", "Send what is in FILE as the body").path(),
    http("unix_socket", "unix-socket", "PATH", "Talk to this socket, not to the host").path(),
    http("http_version", "http-version", "1.1|2", "Speak this version only"),
    http("redirects", "redirects", "N", "Follow up to N redirects, 0 to 20 [default: 0]"),
    http("body_max", "body-max", "SIZE", "Read no more of an answer [default: 1MiB]"),
    http("expect_status", "expect-status", "CODES", EXPECT_STATUS).repeatable(),
    http("expect_body", "expect-body", "TEXT", "The body has TEXT (repeatable)").repeatable(),
    http("expect_regex", "expect-regex", "REGEX", "The body matches (repeatable)").repeatable(),
    http("expect_json", "expect-json", "POINTER=VALUE", EXPECT_JSON).repeatable(),
    http("expect_header", "expect-header", "NAME: REGEX", EXPECT_HEADER).repeatable(),
    flag("ca", "ca", "FILE", "Trust these certificates, not the machine's").under(TLS).path(),
    flag("cert", "cert", "FILE", "The client's certificate").under(TLS).path(),
    flag("key", "key", "FILE", "Its key [default: in the same file]").under(TLS).path(),
    flip("insecure", "insecure", "Believe any certificate").under(TLS),
    flag("server_name", "server-name", "NAME", "Ask for, and check, this name").under(TLS),
    flip("grpc_tls", "grpc-tls", "Speak gRPC by TLS").under(TLS),
    flag("min_days", "min-days", "N", MIN_DAYS).under(TLS),
    flag("record", "record", "TYPE", "The type of record to ask for [default: A]").under(OTHERS),
    flag("expect_answer", "expect-answer", "TEXT", "TEXT is among the answers").under(OTHERS),
    flip("nagios_in", "nagios-in", "COMMAND is a Nagios plugin: 0 to 3").under(OTHERS),
    flag("interval", "interval", "DURATION", "Look this often [default: 10s]").under(WATCHING),
    flag("jitter", "jitter", "PERCENT", JITTER).under(WATCHING),
    flag("fast_interval", "fast-interval", "DURATION", FAST).under(WATCHING),
    flag("down_interval", "down-interval", "DURATION", DOWN).under(WATCHING),
];

const RESOLVE: &str = "Take these addresses for HOST and PORT (repeatable)";
const HEADER_ENV: &str = "Send a header with the value of a variable (repeatable)";
const EXPECT_STATUS: &str = "Codes and ranges that are healthy [default: 200-299]";
const EXPECT_JSON: &str = "The body is JSON with VALUE at POINTER (repeatable)";
const EXPECT_HEADER: &str = "There is such a header, and it matches (repeatable)";
const MIN_DAYS: &str = "The certificate is good for at least N more days [default: 0]";
const JITTER: &str = "Spread that by this share, to both sides [default: 10%]";
const FAST: &str = "Look this often while the result changes [default: interval]";
const DOWN: &str = "Look this often while it is unhealthy [default: interval]";

const fn flag(
    key: &'static str,
    long: &'static str,
    value: &'static str,
    help: &'static str,
) -> ProbeFlag {
    let value = Some(value);
    ProbeFlag { key, long, value, help, heading: KINDS, repeatable: false, is_path: false }
}

const fn http(
    key: &'static str,
    long: &'static str,
    value: &'static str,
    help: &'static str,
) -> ProbeFlag {
    flag(key, long, value, help).under(HTTP)
}

const fn flip(key: &'static str, long: &'static str, help: &'static str) -> ProbeFlag {
    ProbeFlag { value: None, ..flag(key, long, "", help) }
}

/// The words of `cb probe`. Debug output shows no text of a flag and no argument
/// of the command: they may be secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProbeWords {
    /// Where the state and the settings are.
    pub places: Places,
    /// The breakers, and patterns.
    pub names: Vec<OsString>,
    /// The command that looks, byte for byte; empty where none was given.
    pub command: Vec<OsString>,
    /// The policy flags: `slow_call`, `rise`, `probe_closes`.
    pub flags: Vec<Flag>,
    /// The flags of [`PROBE_FLAGS`]; a switch has the text `true`.
    pub probe_flags: Vec<Flag>,
    /// `--all`
    pub all: bool,
    /// `--watch`
    pub watch: bool,
    /// `--json`
    pub json: bool,
    /// `--nagios`
    pub nagios: bool,
    /// `--quiet`
    pub quiet: bool,
    /// `--no-feed`
    pub no_feed: bool,
    /// `--concurrency N`
    pub concurrency: Option<OsString>,
    /// `--output FILE`
    pub output: Option<OsString>,
}

impl fmt::Debug for ProbeWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.probe_flags.iter().map(|(key, _)| key).collect();
        f.debug_struct("ProbeWords")
            .field("names", &self.names)
            .field("words", &self.command.len())
            .field("flags", &self.flags)
            .field("probe_flags", &keys)
            .finish_non_exhaustive()
    }
}

/// The words of `cb wait`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitWords {
    /// Where the state and the settings are.
    pub places: Places,
    /// The breakers; never empty.
    pub names: Vec<OsString>,
    /// `--probe`
    pub probe: bool,
    /// `--until STATE`, of [`UNTIL`]
    pub until: Option<String>,
    /// `--timeout D`
    pub timeout: Option<OsString>,
    /// `--quiet`
    pub quiet: bool,
}

pub(super) fn probe() -> Command {
    let names = positional("names", "NAME|GLOB", "The breakers whose dependencies to look at");
    let command_words = positional("command", "COMMAND", "A command that succeeds if all is well")
        .num_args(1..)
        .last(true);
    let known = command("probe", "Look whether a dependency is well, and tell the breaker")
        .long_about(help::PROBE_LONG)
        .after_long_help(help::PROBE)
        .override_usage("cb probe [OPTIONS] [NAME|GLOB]... [-- <COMMAND> [ARG]...]")
        .arg(names.num_args(0..))
        .arg(switch("all", "Look at every breaker that has a probe in the config file"))
        .arg(value("concurrency", "N", "Look at up to N at once, 1 to 1024 [default: 64]"))
        .arg(switch("json", "Print JSON (schema cb.probe/1)"))
        .arg(switch("nagios", "Print a line for Nagios, and exit 0, 1, 2 or 3"))
        .arg(path("output", "FILE", "Keep the latest result in FILE, as JSON"))
        .arg(quiet())
        .arg(store())
        .arg(config_file());
    let known = PROBE_FLAGS.iter().fold(known, |command, flag| command.arg(argument(flag)));
    let mine = POLICY_FLAGS.iter().filter(|flag| is_for_probes(flag.key));
    let known = mine.fold(known, |command, flag| {
        let arg = match flag.key {
            "probe_closes" => switch_with_value(flag.long, flag.help),
            _ => value(flag.long, flag.value, flag.help),
        };
        command.arg(arg.help_heading(PROBES))
    });
    known
        .arg(switch("no-feed", "Only look: tell the breaker nothing").help_heading(PROBES))
        .arg(switch("watch", "Go on looking, until a signal ends it").help_heading(WATCHING))
        .arg(only("ipv4", '4'))
        .arg(only("ipv6", '6'))
        .arg(command_words)
}

pub(super) fn wait() -> Command {
    let names = positional("names", "NAME", "The breakers").num_args(1..).required(true);
    command("wait", "Wait until breakers let calls through again")
        .long_about(help::WAIT_LONG)
        .after_long_help(help::WAIT)
        .arg(names)
        .arg(switch("probe", "Look at each with its own probe meanwhile"))
        .arg(
            value("until", "STATE", UNTIL_HELP)
                .value_parser(PossibleValuesParser::new(UNTIL))
                .allow_hyphen_values(false),
        )
        .arg(value("timeout", "DURATION", "Give up after this [default: never]"))
        .arg(quiet())
        .arg(store())
        .arg(config_file())
}

const UNTIL_HELP: &str = "What to wait for [default: admitting; healthy with --probe]";

fn is_for_probes(key: &str) -> bool {
    matches!(key, "slow_call" | "rise" | "probe_closes")
}

fn argument(flag: &ProbeFlag) -> Arg {
    let arg = match flag.value {
        Some(name) => value(flag.long, name, flag.help),
        None => switch_with_value(flag.long, flag.help),
    };
    let arg = if flag.is_path { arg.value_hint(ValueHint::FilePath) } else { arg };
    let arg = if flag.repeatable { arg.action(ArgAction::Append) } else { arg };
    let arg = if flag.key == "ip_version" { arg.overrides_with_all(["ipv4", "ipv6"]) } else { arg };
    arg.help_heading(flag.heading)
}

/// A switch of the settings: alone it says yes, and `=false` takes back what a
/// config file says.
fn switch_with_value(name: &'static str, help: &'static str) -> Arg {
    value(name, "true|false", help)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
}

/// `-4` and `-6`: short for `--ip-version`, and the last of them counts.
fn only(name: &'static str, short: char) -> Arg {
    let others = if name == "ipv4" { ["ipv6", "ip-version"] } else { ["ipv4", "ip-version"] };
    Arg::new(name)
        .short(short)
        .help("Short for --ip-version")
        .action(ArgAction::SetTrue)
        .overrides_with_all(others)
        .hide(true)
}

pub(super) fn probe_words(mut m: ArgMatches, places: Places) -> ProbeWords {
    let mut probe_flags = Vec::new();
    for flag in &PROBE_FLAGS {
        probe_flags.extend(many(&mut m, flag.long).into_iter().map(|word| (flag.key, word)));
    }
    for (switch, version) in [("ipv4", "4"), ("ipv6", "6")] {
        if m.get_flag(switch) {
            probe_flags.push(("ip_version", version.into()));
        }
    }
    ProbeWords {
        places,
        names: many(&mut m, "names"),
        command: many(&mut m, "command"),
        // The timeout, which calls have too, is taken already.
        flags: flags(&mut m),
        probe_flags,
        all: m.get_flag("all"),
        watch: m.get_flag("watch"),
        json: m.get_flag("json"),
        nagios: m.get_flag("nagios"),
        quiet: m.get_flag("quiet"),
        no_feed: m.get_flag("no-feed"),
        concurrency: one(&mut m, "concurrency"),
        output: one(&mut m, "output"),
    }
}

pub(super) fn wait_words(mut m: ArgMatches, places: Places) -> WaitWords {
    WaitWords {
        places,
        names: many(&mut m, "names"),
        probe: m.get_flag("probe"),
        until: m.remove_one("until"),
        timeout: one(&mut m, "timeout"),
        quiet: m.get_flag("quiet"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::cli::{Stop, Words, parse};

    fn read(words: &[&str]) -> Result<Words, Stop> {
        parse(["cb"].iter().chain(words).map(OsString::from).collect())
    }

    #[track_caller]
    fn probe_of(words: &[&str]) -> ProbeWords {
        match read(&[&["probe"], words].concat()) {
            Ok(Words::Probe(words)) => words,
            other => panic!("{words:?}: {other:?}"),
        }
    }

    #[track_caller]
    fn check(words: &[&str], names: &[&str], command: &[&str], flags: &[(&'static str, &str)]) {
        let found = probe_of(words);
        assert_eq!(found.names, names, "{words:?}");
        assert_eq!(found.command, command, "{words:?}");
        let flags: Vec<Flag> = flags.iter().map(|(key, word)| (*key, word.into())).collect();
        assert_eq!(found.probe_flags, flags, "{words:?}");
        assert_eq!(found.flags, [], "{words:?}");
    }

    #[test]
    fn what_a_probe_looks_at() {
        check(&["pay"], &["pay"], &[], &[]);
        check(&["a", "b*", "--", "x", "-q", "--"], &["a", "b*"], &["x", "-q", "--"], &[]);
        check(&["--", "x"], &[], &["x"], &[]);
        check(&["--tcp", "h:1", "pay"], &["pay"], &[], &[("tcp", "h:1")]);
        check(&["pay", "--http=http://h/", "--timeout", "2"], &["pay"], &[], {
            &[("http", "http://h/"), ("timeout", "2")]
        });
        check(&["--timeout", "-4", "--body", ""], &[], &[], &[("timeout", "-4"), ("body", "")]);
    }

    #[test]
    fn a_list_goes_on_and_of_others_the_last_one_counts() {
        check(
            &["--header", "a: b", "--redirects", "1", "--header", "c: d", "--redirects=2"],
            &[],
            &[],
            &[("header", "a: b"), ("header", "c: d"), ("redirects", "2")],
        );
        check(&["-4", "pay"], &["pay"], &[], &[("ip_version", "4")]);
        check(&["-4", "-6"], &[], &[], &[("ip_version", "6")]);
        check(&["-6", "--ip-version", "4"], &[], &[], &[("ip_version", "4")]);
        check(&["--ip-version", "4", "-6"], &[], &[], &[("ip_version", "6")]);
    }

    #[test]
    fn a_switch_says_yes_by_itself() {
        check(&["--insecure", "pay"], &["pay"], &[], &[("insecure", "true")]);
        check(&["--grpc-tls=false"], &[], &[], &[("grpc_tls", "false")]);
        check(&["--nagios-in", "--", "x"], &[], &["x"], &[("nagios_in", "true")]);
        let words = probe_of(&["--rise", "3", "--slow-call=1s", "--probe-closes", "pay"]);
        let flags: Vec<Flag> =
            vec![("slow_call", "1s".into()), ("rise", "3".into()), ("probe_closes", "true".into())];
        assert_eq!(words.flags, flags);
        assert_eq!(words.names, ["pay"]);
    }

    #[test]
    fn the_rest_of_a_probe() {
        let words = probe_of(&[
            "--store=s",
            "--all",
            "--watch",
            "--json",
            "--nagios",
            "-q",
            "--no-feed",
            "--concurrency",
            "9",
            "--output",
            "o",
        ]);
        let expected = ProbeWords {
            places: Places { store: Some("s".into()), config: None },
            all: true,
            watch: true,
            json: true,
            nagios: true,
            quiet: true,
            no_feed: true,
            concurrency: Some("9".into()),
            output: Some("o".into()),
            ..ProbeWords::default()
        };
        assert_eq!(words, expected);
    }

    #[test]
    fn what_is_waited_for() {
        let words = read(&["wait", "a", "--timeout", "5", "b", "--until", "healthy", "--probe"]);
        let expected = WaitWords {
            places: Places::default(),
            names: vec!["a".into(), "b".into()],
            probe: true,
            until: Some("healthy".into()),
            timeout: Some("5".into()),
            quiet: false,
        };
        assert_eq!(words.expect("understood"), Words::Wait(expected));
    }

    #[track_caller]
    fn check_usage(words: &[&str], expected: &str) {
        match read(words) {
            Err(Stop::Usage(message)) => assert_eq!(message, expected, "{words:?}"),
            other => panic!("{words:?}: {other:?}"),
        }
    }

    #[test]
    fn what_is_not_understood() {
        check_usage(
            &["wait"],
            "wait needs NAME, for example: cb wait api --timeout 5m; see 'cb wait --help'",
        );
        check_usage(
            &["wait", "a", "--until", "open"],
            "'open' is no value for --until <STATE>; allowed: closed, admitting, healthy; see 'cb \
             wait --help'",
        );
        check_usage(
            &["probe", "--htpp", "x"],
            "unexpected argument '--htpp'; did you mean '--http'?; see 'cb probe --help'",
        );
        // What a call is given says nothing to a probe.
        check_usage(&["probe", "--open-for", "5", "x"], {
            "unexpected argument '--open-for'; see 'cb probe --help'"
        });
        check_usage(&["exec", "--rise", "5", "a", "x"], {
            "unexpected argument '--rise'; see 'cb exec --help'"
        });
    }

    #[test]
    fn no_secret_is_in_debug_output() {
        let words = probe_of(&["--header", "A: secret", "--body=secret", "--", "x", "secret"]);
        assert!(!format!("{words:?}").contains("secret"), "{words:?}");
    }

    #[test]
    fn a_flag_is_its_key_in_kebab_case() {
        for flag in &PROBE_FLAGS {
            assert_eq!(flag.long, flag.key.replace('_', "-"));
        }
    }
}
