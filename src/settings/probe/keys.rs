//! The table of a probe's keys: what each is called, to which kinds of probes it
//! says something, and which values are allowed.

use crate::model::text;
use crate::settings::Key;
use crate::settings::keys::nearest;

/// A key of a probe. The discriminant is its place in [`ProbeKey::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named like the key that it stands for")]
pub enum ProbeKey {
    Http,
    Tcp,
    Unix,
    Tls,
    Grpc,
    Dns,
    Command,
    Timeout,
    IpVersion,
    Resolve,
    Method,
    Header,
    HeaderEnv,
    HeaderFile,
    Body,
    BodyFile,
    UnixSocket,
    HttpVersion,
    Redirects,
    BodyMax,
    ExpectStatus,
    ExpectBody,
    ExpectRegex,
    ExpectJson,
    ExpectHeader,
    Ca,
    Cert,
    CertKey,
    Insecure,
    ServerName,
    GrpcTls,
    MinDays,
    Record,
    ExpectAnswer,
    NagiosIn,
    Feed,
    Interval,
    Jitter,
    FastInterval,
    DownInterval,
}

/// How many keys of a probe there are.
pub const PROBE_KEY_COUNT: usize = 40;

/// The kinds of probes, as a set: a bit for each, in their order.
type Kinds = u8;

const HTTP: Kinds = 1 << ProbeKey::Http as u8;
const TCP: Kinds = 1 << ProbeKey::Tcp as u8;
const TLS: Kinds = 1 << ProbeKey::Tls as u8;
const GRPC: Kinds = 1 << ProbeKey::Grpc as u8;
const DNS: Kinds = 1 << ProbeKey::Dns as u8;
const COMMAND: Kinds = 1 << ProbeKey::Command as u8;
const ALL: Kinds = (1 << 7) - 1;
const ROUTED: Kinds = HTTP | TCP | TLS | GRPC | DNS;
const SECURED: Kinds = HTTP | TLS | GRPC;

struct Entry {
    name: &'static str,
    /// To which kinds it says something; each kind to itself.
    fits: Kinds,
    allowed: &'static str,
    /// What holds where it is not set, as people see it.
    default: &'static str,
}

const URL: &str = "a URL such as http://localhost:8080/up or https://api.example.com/";
const HOST_PORT: &str = "HOST:PORT, such as db.example.com:5432 or [::1]:5432";
const PATH: &str = "a path; in a config file one that begins with '/'";
const SOCKET: &str = "a path of at most 107 bytes; in a config file one that begins with '/'";
const TEXT: &str = "a text of 1 to 8192 bytes";
const REGEX: &str = "a regular expression of at most 1000 bytes, such as ^ok$";
const PERIOD: &str = "a duration such as 30s or 1m30s, from 10ms to 365d";
const SWITCH: &str = "true or false";

static ENTRIES: [Entry; PROBE_KEY_COUNT] = [
    entry("http", HTTP, URL, NONE),
    entry("tcp", TCP, HOST_PORT, NONE),
    entry("unix", 1 << ProbeKey::Unix as u8, SOCKET, NONE),
    entry("tls", TLS, "HOST or HOST:PORT, such as mail.example.com:465 or [::1]", NONE),
    entry("grpc", GRPC, "HOST:PORT or HOST:PORT/SERVICE, such as localhost:50051/users", NONE),
    entry("dns", DNS, "NAME, NAME@SERVER or NAME@SERVER:PORT, such as example.com@9.9.9.9", NONE),
    entry("command", COMMAND, "a list of words, or a text for /bin/sh", NONE),
    entry("timeout", ALL, "a duration such as 2s or 500ms, from 1ms to 365d", "5s"),
    entry("ip_version", ROUTED, "4, 6 or any", "any"),
    entry("resolve", ROUTED, "HOST:PORT:ADDR[,ADDR], such as example.com:443:192.0.2.7", NONE),
    entry("method", HTTP, "a method in capitals, such as GET or HEAD; not CONNECT", "GET"),
    entry("header", HTTP, "'Name: value'", NONE),
    entry("header_env", HTTP, "'Name: VARIABLE', such as 'Authorization: TOKEN'", NONE),
    entry("header_file", HTTP, PATH, NONE),
    entry("body", HTTP, "a text of at most 1MiB", NONE),
    entry("body_file", HTTP, PATH, NONE),
    entry("unix_socket", HTTP, SOCKET, NONE),
    entry("http_version", HTTP, "1.1, 2 or any", "any"),
    entry("redirects", HTTP, "a whole number, 0 to 20", "0"),
    entry("body_max", HTTP, "bytes, or a size such as 512KiB, at most 64MiB", "1MiB"),
    entry(
        "expect_status",
        HTTP,
        "codes and ranges within 100 to 999, such as 200-299,304",
        "200-299",
    ),
    entry("expect_body", HTTP, TEXT, NONE),
    entry("expect_regex", HTTP, REGEX, NONE),
    entry("expect_json", HTTP, "POINTER=VALUE (RFC 6901), such as /status=ok or /a/0=1", NONE),
    entry("expect_header", HTTP, "'Name: REGEX', such as 'Content-Type: ^text/'", NONE),
    entry("ca", SECURED, PATH, NONE),
    entry("cert", SECURED, PATH, NONE),
    entry("key", SECURED, PATH, NONE),
    entry("insecure", SECURED, SWITCH, "false"),
    entry("server_name", SECURED, "a host's name or address", NONE),
    entry("grpc_tls", GRPC, SWITCH, "false"),
    entry("min_days", HTTP | TLS, "a whole number, 0 to 36500", "0"),
    entry("record", DNS, "A, AAAA, CAA, CNAME, MX, NS, PTR, SOA, SRV or TXT", "A"),
    entry("expect_answer", DNS, "a text of 1 to 8192 bytes", NONE),
    entry("nagios_in", COMMAND, SWITCH, "false"),
    entry("feed", ALL, SWITCH, "true"),
    entry("interval", ALL, PERIOD, "10s"),
    entry("jitter", ALL, "0% to 100% with at most 2 decimals, or a share such as 0.5", "10%"),
    entry("fast_interval", ALL, PERIOD, "interval"),
    entry("down_interval", ALL, PERIOD, "interval"),
];

const NONE: &str = "none";

const fn entry(
    name: &'static str,
    fits: Kinds,
    allowed: &'static str,
    default: &'static str,
) -> Entry {
    Entry { name, fits, allowed, default }
}

impl ProbeKey {
    /// Every key, in the order in which people see them; the kinds come first.
    pub const ALL: [ProbeKey; PROBE_KEY_COUNT] = [
        ProbeKey::Http,
        ProbeKey::Tcp,
        ProbeKey::Unix,
        ProbeKey::Tls,
        ProbeKey::Grpc,
        ProbeKey::Dns,
        ProbeKey::Command,
        ProbeKey::Timeout,
        ProbeKey::IpVersion,
        ProbeKey::Resolve,
        ProbeKey::Method,
        ProbeKey::Header,
        ProbeKey::HeaderEnv,
        ProbeKey::HeaderFile,
        ProbeKey::Body,
        ProbeKey::BodyFile,
        ProbeKey::UnixSocket,
        ProbeKey::HttpVersion,
        ProbeKey::Redirects,
        ProbeKey::BodyMax,
        ProbeKey::ExpectStatus,
        ProbeKey::ExpectBody,
        ProbeKey::ExpectRegex,
        ProbeKey::ExpectJson,
        ProbeKey::ExpectHeader,
        ProbeKey::Ca,
        ProbeKey::Cert,
        ProbeKey::CertKey,
        ProbeKey::Insecure,
        ProbeKey::ServerName,
        ProbeKey::GrpcTls,
        ProbeKey::MinDays,
        ProbeKey::Record,
        ProbeKey::ExpectAnswer,
        ProbeKey::NagiosIn,
        ProbeKey::Feed,
        ProbeKey::Interval,
        ProbeKey::Jitter,
        ProbeKey::FastInterval,
        ProbeKey::DownInterval,
    ];

    /// The keys that say what is looked at.
    pub fn kinds() -> impl Iterator<Item = ProbeKey> {
        ProbeKey::ALL.into_iter().filter(|key| key.is_kind())
    }

    /// Whether it says what is looked at.
    pub fn is_kind(self) -> bool {
        (self as usize) <= ProbeKey::Command as usize
    }

    /// Whether its values are a list, to which each flag adds.
    pub fn is_list(self) -> bool {
        matches!(
            self,
            ProbeKey::Resolve
                | ProbeKey::Header
                | ProbeKey::HeaderEnv
                | ProbeKey::ExpectStatus
                | ProbeKey::ExpectBody
                | ProbeKey::ExpectRegex
                | ProbeKey::ExpectJson
                | ProbeKey::ExpectHeader
        )
    }

    /// Whether it says something to a probe of this kind.
    pub fn fits(self, kind: ProbeKey) -> bool {
        ENTRIES[self as usize].fits & (1 << kind as u8) != 0
    }

    /// The name in a config file: `expect_status`.
    pub fn name(self) -> &'static str {
        ENTRIES[self as usize].name
    }

    /// How it is said on the command line: `--expect-status`.
    pub fn flag(self) -> String {
        match self {
            ProbeKey::Command => "-- COMMAND".to_owned(),
            ProbeKey::Feed => "--no-feed".to_owned(),
            _ => format!("--{}", self.name().replace('_', "-")),
        }
    }

    /// What is allowed, in words.
    pub fn allowed(self) -> &'static str {
        ENTRIES[self as usize].allowed
    }

    /// What holds where it is not set, as people see it.
    pub fn default_text(self) -> &'static str {
        ENTRIES[self as usize].default
    }

    /// The key of this name.
    pub fn by_name(name: &str) -> Option<ProbeKey> {
        ProbeKey::ALL.into_iter().find(|key| key.name() == name)
    }
}

/// The keys of the policy that can stand among those of a probe, which they
/// concern.
pub const POLICY_KEYS: [Key; 2] = [Key::Rise, Key::ProbeCloses];

/// Why no key of a probe has this name, with the nearest that is one.
pub fn unknown(name: &str) -> String {
    let shown = text::excerpt(name, 40);
    let names = || ProbeKey::ALL.map(ProbeKey::name).into_iter().chain(POLICY_KEYS.map(Key::name));
    if Key::by_name(name).is_some() {
        return format!(
            "'{shown}' is no key of a probe, but of the breaker: put it into its section"
        );
    }
    match nearest(name, names()) {
        Some(near) => format!("unknown key '{shown}'; did you mean '{near}'?"),
        None => {
            let names: Vec<_> = names().collect();
            format!("unknown key '{shown}'; allowed: {}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::PROBE_FLAGS;

    #[test]
    fn the_table_is_in_order() {
        for (i, key) in ProbeKey::ALL.into_iter().enumerate() {
            assert_eq!(key as usize, i);
            assert_eq!(ProbeKey::by_name(key.name()), Some(key));
            assert!(ProbeKey::kinds().any(|kind| key.fits(kind)), "{key:?}");
        }
        assert_eq!(ProbeKey::kinds().count(), 7);
        assert!(ProbeKey::kinds().all(|kind| kind.fits(kind)));
    }

    #[test]
    fn each_key_has_a_flag_that_agrees() {
        let of_words = [ProbeKey::Command, ProbeKey::Feed];
        let keys = ProbeKey::ALL.into_iter().filter(|key| !of_words.contains(key));
        for (flag, key) in PROBE_FLAGS.iter().zip(keys) {
            assert_eq!((flag.key, flag.repeatable), (key.name(), key.is_list()));
            assert_eq!(format!("--{}", flag.long), key.flag());
            assert_eq!(flag.value.is_none(), key.allowed() == SWITCH, "{key:?}");
            let told = flag.help.split("[default: ").nth(1);
            let told = told.map(|told| told.trim_end_matches(']'));
            match key.default_text() {
                "none" | "any" | "false" => {}
                "GET" => assert_eq!(told, Some("GET; POST with a body")),
                default => assert_eq!(told, Some(default), "{key:?}"),
            }
        }
        assert_eq!(PROBE_FLAGS.len() + of_words.len(), PROBE_KEY_COUNT);
    }

    #[track_caller]
    fn check_unknown(name: &str, expected: &str) {
        let message = unknown(name);
        assert!(message.starts_with(expected), "{message}");
    }

    #[test]
    fn unknown_keys_are_told_with_the_nearest() {
        check_unknown(
            "expect-status",
            "unknown key 'expect-status'; did you mean 'expect_status'?",
        );
        check_unknown("htpp", "unknown key 'htpp'; did you mean 'http'?");
        check_unknown("raise", "unknown key 'raise'; did you mean 'rise'?");
        check_unknown("window", "'window' is no key of a probe, but of the breaker: put it into");
        check_unknown("zzz\x1b", "unknown key 'zzz\\u{1b}'; allowed: http, tcp, unix, tls, ");
    }
}
