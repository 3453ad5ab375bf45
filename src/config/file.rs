//! Reading a config file: it names commands to run, so it must belong to someone
//! who may decide that, and nothing at its path can make cb hang.

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, retry_on_intr};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, plain};
use crate::model::text::shell_word;
use crate::paths::primary_group;

/// The largest config file, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// The text of a config file; none if there is no file.
///
/// # Errors
///
/// If it cannot be read, is no regular file (but the null device is an empty
/// one), is too large, is no UTF-8, or could have been written by others.
pub fn read(path: &Path) -> Result<Option<String>, Error> {
    let refuse = |line, message| Error::Config { path: path.to_owned(), line, message };
    // Without O_NONBLOCK, opening a FIFO would wait for someone who writes to it.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = match retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty())) {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        // Below a directory that this user may not enter (a HOME left over from
        // somebody else) is nothing that this user could have put there.
        Err(Errno::ACCESS) if !is_there(path) => return Ok(None),
        Err(errno) => return Err(refuse(0, format!("cannot open: {}", said(errno)))),
    };
    let stat = retry_on_intr(|| rustix::fs::fstat(&fd))
        .map_err(|e| refuse(0, format!("cannot stat: {}", said(e))))?;
    if is_null_device(&stat) {
        return Ok(Some(String::new()));
    }
    if let Some(why) = unfit(path, &stat) {
        return Err(refuse(0, why));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(stat.st_size).unwrap_or(0));
    File::from(fd)
        .take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| refuse(0, format!("cannot read: {}", plain(&error))))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(refuse(0, TOO_LARGE.to_owned()));
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..good].iter().filter(|b| **b == b'\n').count() + 1;
        refuse(line, "not valid UTF-8; a config file is TOML in UTF-8".to_owned())
    })
}

const TOO_LARGE: &str = "larger than 1 MiB; a config file is far smaller";

/// Why a file is not taken for a config file.
fn unfit(path: &Path, stat: &Stat) -> Option<String> {
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind != FileType::RegularFile {
        return Some(format!("is {}, not a regular file", named(kind)));
    }
    if u64::try_from(stat.st_size).is_ok_and(|size| size > BYTES_MAX) {
        return Some(TOO_LARGE.to_owned());
    }
    let mode = stat.st_mode & 0o7777;
    let user = rustix::process::geteuid().as_raw();
    if stat.st_uid != user && stat.st_uid != 0 {
        return Some(format!(
            "belongs to uid {} (mode {mode:04o}), neither to you (uid {user}) nor to root; make it \
             yours: chown {user} {}",
            stat.st_uid,
            shell_word(path)
        ));
    }
    let writers = match mode & 0o022 {
        0 => return None,
        0o020 if stat.st_gid == primary_group() => return None,
        0o020 => format!("its group (gid {}) can write it", stat.st_gid),
        _ => "everybody can write it".to_owned(),
    };
    Some(format!("{writers} (mode {mode:04o}); run: chmod go-w {}", shell_word(path)))
}

/// Whether a file that cannot be opened can at least be seen.
fn is_there(path: &Path) -> bool {
    rustix::fs::lstat(path).is_ok()
}

fn named(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "a directory",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "something else",
    }
}

/// The null device is the way to say "no config file".
fn is_null_device(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && rustix::fs::stat("/dev/null").is_ok_and(|null| null.st_rdev == stat.st_rdev)
}

fn said(errno: Errno) -> String {
    plain(&io::Error::from(errno))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    #[track_caller]
    fn check_refused(path: &Path, expected: &str) {
        let message = read(path).expect_err("refused").to_string();
        assert!(message.starts_with(&format!("{}: ", path.display())), "{message}");
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn what_is_no_config_file_is_refused_without_hanging() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("config.toml");
        assert_eq!(read(&path).ok(), Some(None));
        assert_eq!(read(&dir.path().join("config.toml/x")).ok(), Some(None));
        check_refused(dir.path(), "is a directory, not a regular file");
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RWXU, 0).expect("fifo");
        check_refused(&path, "is a FIFO, not a regular file");
        check_refused(Path::new("/dev/zero"), "is a device, not a regular file");
        assert_eq!(read(Path::new("/dev/null")).ok(), Some(Some(String::new())));
        let link = dir.path().join("link");
        symlink("/dev/null", &link).expect("a link");
        assert_eq!(read(&link).ok(), Some(Some(String::new())));
        let ring = dir.path().join("ring");
        symlink(&ring, &ring).expect("a link");
        check_refused(&ring, "cannot open: ");
    }

    #[test]
    fn size_and_text_are_checked() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("config.toml");
        fs::write(&path, "x".repeat(1 << 20)).expect("written");
        assert!(read(&path).is_ok());
        fs::write(&path, "x".repeat((1 << 20) + 1)).expect("written");
        check_refused(&path, "larger than 1 MiB");
        fs::write(&path, b"# a\n# b\xff\n").expect("written");
        let message = read(&path).expect_err("refused").to_string();
        assert!(message.contains(":2: not valid UTF-8"), "{message}");
    }

    #[test]
    fn a_file_that_others_could_have_written_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("config.toml");
        fs::write(&path, "").expect("written");
        let mode = |mode| fs::set_permissions(&path, Permissions::from_mode(mode)).expect("chmod");
        let remedy = format!("run: chmod go-w {}", path.display());
        mode(0o600);
        assert!(read(&path).is_ok());
        mode(0o664);
        assert!(read(&path).is_ok(), "the group is the user's own");
        mode(0o646);
        check_refused(&path, &format!("everybody can write it (mode 0646); {remedy}"));
        mode(0o666);
        check_refused(&path, "everybody can write it (mode 0666)");
        if !rustix::process::geteuid().is_root() {
            return;
        }
        mode(0o664);
        chown(&path, None, Some(12_345)).expect("chown");
        check_refused(&path, &format!("its group (gid 12345) can write it (mode 0664); {remedy}"));
        mode(0o644);
        assert!(read(&path).is_ok());
        chown(&path, Some(12_345), None).expect("chown");
        check_refused(
            &path,
            "belongs to uid 12345 (mode 0644), neither to you (uid 0) nor to root",
        );
    }
}
