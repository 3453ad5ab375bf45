//! Who is left in a group whose leader is gone.
//!
//! `kill(-group, 0)` counts the dead whom nobody has waited for yet. In a
//! container whose first process waits for nobody they stay for ever, so every
//! now and then a group that will not go away is looked up in /proc.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, WaitOptions};

/// When /proc is first asked, and how often then.
const PROC_AFTER: Duration = Duration::from_millis(50);
const PROC_EVERY: Duration = Duration::from_millis(250);

/// A group without its leader.
pub(super) struct Remains {
    group: Pid,
    ask_proc_at: Option<Duration>,
}

impl Remains {
    /// The group that this process led; it was waited for.
    pub(super) fn new(leader: Pid) -> Self {
        Remains { group: leader, ask_proc_at: None }
    }

    /// Whether anyone alive is still in it `now`.
    pub(super) fn any(&mut self, now: Duration) -> bool {
        // Those whose parent cb has become, as the first process of a container.
        while let Ok(Some(_)) = rustix::process::waitpgid(self.group, WaitOptions::NOHANG) {}
        let found = rustix::process::test_kill_process_group(self.group);
        if found == Err(rustix::io::Errno::SRCH) {
            return false;
        }
        let ask_at = *self.ask_proc_at.get_or_insert(now.saturating_add(PROC_AFTER));
        if now < ask_at {
            return true;
        }
        self.ask_proc_at = Some(now.saturating_add(PROC_EVERY));
        lives_in_proc(self.group).unwrap_or(true)
    }
}

/// Whether /proc shows a living process of this group; `None` without /proc.
fn lives_in_proc(group: Pid) -> Option<bool> {
    let group = group.as_raw_nonzero().get();
    let mut seen = false;
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let name = entry.file_name();
        if !name.as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        seen = true;
        let stat = fs::read(entry.path().join("stat")).unwrap_or_default();
        let lives = match state_and_group(&stat) {
            Some((dead, of)) => !dead && of == group,
            // Hidden, or gone by now: one that is in the group may be alive.
            None => is_in(name.to_str(), group),
        };
        if lives {
            return Some(true);
        }
    }
    seen.then_some(false)
}

/// Whether there is a process of this number, dead or alive, in this group.
fn is_in(process: Option<&str>, group: i32) -> bool {
    let process = process.and_then(|digits| Pid::from_raw(digits.parse().ok()?));
    process.is_some_and(|process| {
        rustix::process::getpgid(Some(process)).is_ok_and(|of| of.as_raw_nonzero().get() == group)
    })
}

/// Whether the process is dead, and its group: fields 3 and 5 of its `stat`. The
/// name before them may hold any bytes, also parentheses.
fn state_and_group(stat: &[u8]) -> Option<(bool, i32)> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let mut fields = std::str::from_utf8(&stat[name_end + 1..]).ok()?.split_ascii_whitespace();
    let dead = matches!(fields.next()?, "Z" | "X");
    Some((dead, fields.nth(1)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_state_and_group() {
        assert_eq!(state_and_group(b"7 (a) b) S 1 42 42 0"), Some((false, 42)));
        assert_eq!(state_and_group(b"7 (sh) Z 1 42 42 0"), Some((true, 42)));
        assert_eq!(state_and_group(b"7 (\xff) Z) S 1 42 42 0"), Some((false, 42)));
        assert_eq!(state_and_group(b"7 (sh"), None);
        assert_eq!(state_and_group(b""), None);
    }

    #[test]
    fn a_process_that_cannot_be_read_is_looked_up_by_its_number() {
        let group = rustix::process::getpgrp().as_raw_nonzero().get();
        let me = rustix::process::getpid().as_raw_nonzero().to_string();
        assert!(is_in(Some(&me), group));
        assert!(!is_in(Some(&me), i32::MAX));
        assert!(!is_in(Some("0"), group) && !is_in(Some(&i32::MAX.to_string()), group));
    }

    #[test]
    fn finds_its_own_group() {
        assert_eq!(lives_in_proc(rustix::process::getpgrp()), Some(true));
    }
}
