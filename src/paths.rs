//! Where things are: the config files and the store, from flags, environment
//! and the user's home. Nothing is ever looked for in the current directory.

use directories::ProjectDirs;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The config file of the machine.
pub const SYSTEM_CONFIG: &str = "/etc/cb/config.toml";

/// The most of `/etc/passwd` that is read.
const PASSWD_BYTES_MAX: u64 = 4 << 20;

/// The user's own config file, if the user has a home.
pub fn user_config() -> Option<PathBuf> {
    let dir = match project_dirs() {
        Some(dirs) => dirs.config_dir().to_owned(),
        None => without_home("XDG_CONFIG_HOME", ".config")?,
    };
    Some(dir.join("config.toml"))
}

/// The directory of the store: `--store`, else `CB_STORE`, else the user's state
/// directory.
///
/// # Errors
///
/// [`Error::Usage`] for an empty `--store`, and [`Error::NoStore`] where neither
/// the environment nor the user database tells a place.
pub fn store_dir(flag: Option<&OsStr>) -> Result<PathBuf, Error> {
    if let Some(dir) = flag {
        if dir.is_empty() {
            return Err(Error::Usage("--store '': empty; allowed: a directory".into()));
        }
        return Ok(dir.into());
    }
    if let Some(dir) = variable("CB_STORE") {
        return Ok(dir.into());
    }
    let dir = match project_dirs() {
        Some(dirs) => Some(dirs.state_dir().unwrap_or(dirs.data_local_dir()).to_owned()),
        None => without_home("XDG_STATE_HOME", ".local/state"),
    };
    dir.ok_or(Error::NoStore)
}

/// The value of a variable; an empty one is as good as none.
pub fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// The primary group of the user who runs this: of the user database, since a
/// process can be given other groups (`newgrp`); else of the process.
pub fn primary_group() -> u32 {
    passwd_entry().map_or_else(|| rustix::process::getgid().as_raw(), |entry| entry.gid)
}

/// The crate's directories, only where they come from the environment alone:
/// without HOME it would ask the C library, which can load modules into a static
/// program, and a relative HOME would mean the current directory.
fn project_dirs() -> Option<ProjectDirs> {
    variable("HOME").filter(|home| Path::new(home).is_absolute())?;
    ProjectDirs::from("", "", "cb")
}

/// The same directories without HOME: from their own variable, or the home of
/// the user database.
fn without_home(variable_name: &str, below_home: &str) -> Option<PathBuf> {
    let base = match variable(variable_name).map(PathBuf::from) {
        Some(base) if base.is_absolute() => base,
        _ => passwd_entry()?.home?.join(below_home),
    };
    Some(base.join("cb"))
}

/// The name of the user who runs this, as others know it; else the number.
pub fn user_name() -> String {
    let uid = rustix::process::getuid().as_raw();
    let name = passwd_entry().map(|entry| entry.name).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| format!("uid {uid}"))
}

struct Entry {
    name: String,
    gid: u32,
    home: Option<PathBuf>,
}

fn passwd_entry() -> Option<Entry> {
    let mut passwd = Vec::new();
    File::open("/etc/passwd").ok()?.take(PASSWD_BYTES_MAX).read_to_end(&mut passwd).ok()?;
    entry_in(&passwd, rustix::process::getuid().as_raw())
}

/// The entry of a user in the text of a passwd file.
fn entry_in(passwd: &[u8], uid: u32) -> Option<Entry> {
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse::<u32>().ok();
    passwd.split(|b| *b == b'\n').find_map(|line| {
        let fields: Vec<&[u8]> = line.split(|b| *b == b':').collect();
        let [name, _, user, group, _, home, _] = fields[..] else { return None };
        if number(user)? != uid {
            return None;
        }
        let home = PathBuf::from(OsString::from_vec(home.to_vec()));
        let name = String::from_utf8_lossy(name).into_owned();
        Some(Entry {
            name,
            gid: number(group)?,
            home: Some(home).filter(|home| home.is_absolute()),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\nbroken\nb:x:x:1::/b:\n\
        ann:x:1000:1001:Ann:/home/ann:/bin/sh\n\xff:x:7:8::/h\xff:\nrel:x:9:9::tmp:/bin/sh\n\
        none:x:10:10:::\n";

    #[track_caller]
    fn check_entry(uid: u32, expected: Option<(u32, Option<&[u8]>)>) {
        let entry = entry_in(PASSWD, uid);
        let found = entry
            .as_ref()
            .map(|entry| (entry.gid, entry.home.as_ref().map(|home| home.as_os_str().as_bytes())));
        assert_eq!(found, expected, "{uid}");
    }

    #[test]
    fn homes_come_from_the_passwd_file() {
        check_entry(0, Some((0, Some(b"/root"))));
        check_entry(1000, Some((1001, Some(b"/home/ann"))));
        check_entry(7, Some((8, Some(b"/h\xff"))));
        check_entry(9, Some((9, None)));
        check_entry(10, Some((10, None)));
        check_entry(11, None);
    }

    #[test]
    fn a_flag_beats_all_and_is_never_empty() {
        assert_eq!(store_dir(Some(OsStr::new("d"))).ok(), Some(PathBuf::from("d")));
        assert!(matches!(store_dir(Some(OsStr::new(""))), Err(Error::Usage(_))));
    }
}
