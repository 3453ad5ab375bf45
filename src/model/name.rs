//! The name of a breaker.

use std::fmt;

/// A name that is safe as a file name and on a terminal:
/// `[A-Za-z0-9][A-Za-z0-9._-]{0,99}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BreakerName(String);

impl BreakerName {
    /// Takes a name, or `None` where it is not one.
    pub fn new(name: &str) -> Option<Self> {
        let bytes = name.as_bytes();
        let sound = matches!(bytes.len(), 1..=100)
            && bytes[0].is_ascii_alphanumeric()
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b));
        sound.then(|| BreakerName(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BreakerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
