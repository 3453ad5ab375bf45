//! Names of breakers, and the patterns that stand for several of them.

use std::ffi::OsStr;
use std::fmt;

use super::text;

/// The longest name of a breaker, in characters (all of them ASCII).
pub const NAME_CHARS_MAX: usize = 100;

/// The name of a breaker: a letter or digit, then letters, digits, `.`, `_` and
/// `-`. So a name is a safe file name, never a flag, and never `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BreakerName(String);

/// Why a word is no name of a breaker: a message without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError(String);

impl BreakerName {
    /// The name that this word spells.
    ///
    /// # Errors
    ///
    /// If it is empty, too long, or has a character that no name has.
    pub fn parse(word: impl AsRef<OsStr>) -> Result<Self, NameError> {
        let word = word.as_ref();
        match word.to_str().filter(|name| is_name(name)) {
            Some(name) => Ok(BreakerName(name.to_owned())),
            None => Err(NameError::of(word)),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BreakerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for BreakerName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl NameError {
    fn of(word: &OsStr) -> Self {
        let shown = text::excerpt(&word.to_string_lossy(), NAME_CHARS_MAX);
        let why = if word.is_empty() {
            "a breaker's name cannot be empty".to_owned()
        } else if word.len() > NAME_CHARS_MAX {
            format!("'{shown}' is {} characters long", word.len())
        } else {
            format!("'{shown}' is no name for a breaker")
        };
        NameError(format!(
            "{why}; allowed: a letter or digit, then letters, digits, '.', '_', '-', at most \
             {NAME_CHARS_MAX} in all"
        ))
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NameError {}

/// Whether a word is a pattern (it has `*` or `?`) and not a name.
pub fn is_pattern(word: &str) -> bool {
    word.contains(['*', '?'])
}

/// Whether a pattern stands for a name: `*` for any characters, also none, `?`
/// for one. In time at most proportional to the product of the lengths: after a
/// mismatch only the last `*` is tried again, which is enough.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut retry = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(&b) if b == b'?' || b == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((after_star, taken)) = retry else { return false };
                retry = Some((after_star, taken + 1));
                (p, n) = (after_star, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

fn is_name(name: &str) -> bool {
    name.len() <= NAME_CHARS_MAX
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStrExt;

    #[track_caller]
    fn check_good(word: &str) {
        assert_eq!(BreakerName::parse(word).expect(word).as_str(), word);
    }

    #[track_caller]
    fn check_bad(word: &[u8], expected: &str) {
        let message = BreakerName::parse(OsStr::from_bytes(word)).expect_err("bad").to_string();
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains(char::is_control), "{message:?}");
    }

    #[test]
    fn names() {
        check_good("a");
        check_good("9");
        check_good("pay.eu-1_x");
        check_good(&"x".repeat(100));
        check_bad(b"", "cannot be empty");
        check_bad("x".repeat(101).as_bytes(), "is 101 characters long");
        check_bad(b".", "'.' is no name");
        check_bad(b"..", "'..' is no name");
        check_bad(b"-q", "'-q' is no name");
        check_bad(b"a/b", "'a/b' is no name");
        check_bad(b"a b", "'a b' is no name");
        check_bad("größe".as_bytes(), "'größe' is no name");
        check_bad(b"a\xff", "is no name");
        check_bad(b"a\x1b[2J", "'a\\u{1b}[2J' is no name");
        check_bad(b"a\n", "'a\\n' is no name");
        check_bad(b"a\0b", "is no name");
    }

    #[track_caller]
    fn check_match(pattern: &str, name: &str, expected: bool) {
        assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
    }

    #[test]
    fn patterns() {
        check_match("*", "", true);
        check_match("*", "pay", true);
        check_match("pay*", "pay", true);
        check_match("pay*", "pa", false);
        check_match("p?y", "pay", true);
        check_match("p?y", "py", false);
        check_match("?", "", false);
        check_match("*-eu", "pay-eu-eu", true);
        check_match("*-eu", "pay-eu-us", false);
        check_match("a*b*c", "a-b-b-c", true);
        check_match("a*b*c", "a-c-b", false);
        check_match("**", "x", true);
        check_match("pay", "pay", true);
        check_match("", "x", false);
    }

    /// What `*` and `?` mean, with nothing clever about it.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                naive(rest, name) || (!name.is_empty() && naive(pattern, &name[1..]))
            }
            (Some((b'?', rest)), Some((_, name))) => naive(rest, name),
            (Some((a, rest)), Some((b, name))) => a == b && naive(rest, name),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_matcher(pattern in "[ab*?]{0,8}", name in "[ab]{0,8}") {
            prop_assert_eq!(
                matches(&pattern, &name),
                naive(pattern.as_bytes(), name.as_bytes())
            );
        }
    }
}
