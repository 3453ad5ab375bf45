//! Text for people and for terminals: what any room may put in a message.

use std::borrow::Cow;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// The same text with everything escaped that could steer a terminal: control
/// characters, and the marks that change the direction of writing.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if steers(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    Cow::Owned(safe)
}

/// The same text, escaped as [`printable`] does and cut after so many
/// characters: values in messages have a bound too.
pub fn excerpt(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => printable(text).into_owned(),
        Some((end, _)) => format!("{}...", printable(&text[..end])),
    }
}

/// A duration, exactly, in the shortest words that the settings read back:
/// `1m30s`, `250ms`, `1d`.
pub fn duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    let nanos = duration.subsec_nanos();
    let parts = [
        (secs / 86_400, "d"),
        (secs / 3_600 % 24, "h"),
        (secs / 60 % 60, "m"),
        (secs % 60, "s"),
        (u64::from(nanos / 1_000_000), "ms"),
        (u64::from(nanos / 1_000 % 1_000), "us"),
        (u64::from(nanos % 1_000), "ns"),
    ];
    let mut text = String::new();
    for (count, unit) in parts.into_iter().filter(|(count, _)| *count > 0) {
        let _ = write!(text, "{count}{unit}");
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

/// Whether a character could steer a terminal: a control character, or a mark
/// that changes the direction of writing.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A path as a word that a shell reads back, for messages with a command to run.
pub fn shell_word(path: &Path) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"/._-+@%:,=".contains(b);
    if path.as_os_str().as_bytes().iter().all(plain) {
        path.display().to_string()
    } else {
        format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_where_a_shell_needs_it() {
        assert_eq!(shell_word(Path::new("/a/b.toml")), "/a/b.toml");
        assert_eq!(shell_word(Path::new("/a b/c'd")), "'/a b/c'\\''d'");
    }

    #[track_caller]
    fn check_printable(text: &str, expected: &str) {
        assert_eq!(printable(text), expected);
    }

    #[test]
    fn what_could_steer_a_terminal_is_escaped() {
        check_printable("plain", "plain");
        check_printable("größe", "größe");
        check_printable("a\x1b[31mb", "a\\u{1b}[31mb");
        check_printable("a\nb\tc\rd", "a\\nb\\tc\\rd");
        check_printable("\u{7f}\u{9b}2J", "\\u{7f}\\u{9b}2J");
        check_printable("a\u{202e}b", "a\\u{202e}b");
    }

    #[test]
    fn an_excerpt_is_cut_at_a_character() {
        assert_eq!(excerpt("äöü", 3), "äöü");
        assert_eq!(excerpt("äöüx", 3), "äöü...");
        assert_eq!(excerpt("", 3), "");
    }

    #[track_caller]
    fn check_duration(value: Duration, expected: &str) {
        assert_eq!(duration(value), expected);
    }

    #[test]
    fn durations_are_short_and_exact() {
        check_duration(Duration::ZERO, "0s");
        check_duration(Duration::from_secs(90), "1m30s");
        check_duration(Duration::from_secs(600), "10m");
        check_duration(Duration::from_millis(1_250), "1s250ms");
        check_duration(Duration::from_secs(365 * 86_400), "365d");
        check_duration(Duration::new(3_661, 1_002_003), "1h1m1s1ms2us3ns");
    }
}
