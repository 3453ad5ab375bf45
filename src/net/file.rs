//! Small files that a probe needs: certificates, headers, a body.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::Trouble;
use crate::error::Error;

/// What a file is and when it changed: device, inode, size, seconds, nanoseconds.
pub type Stamp = (u64, u64, u64, i64, i64);

/// How a file looks now; `None` where there is none.
pub fn stamp(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
}

/// What is in a file of at most so many bytes. A pipe (`<(pass show token)`) is
/// waited for without holding up anything else.
///
/// # Errors
///
/// If it cannot be read, or is larger, or is a pipe with nothing in it. That is our
/// side.
pub async fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, Trouble> {
    let cannot = |error| Trouble::Unknown(Error::io("read", path)(error).to_string());
    let file = opened(path).map_err(cannot)?;
    let kind = file.metadata().map_err(cannot)?.file_type();
    let limit = bytes_max as u64 + 1;
    let bytes = match kind.is_fifo() {
        true => from_pipe(file, limit).await.map_err(cannot)?,
        false => from_file(&file, limit).map_err(cannot)?,
    };
    if bytes.is_empty() && kind.is_fifo() {
        let path = path.display();
        let why = format!("{path}: nothing in it: a pipe can be read only once");
        return Err(Trouble::Unknown(why));
    }
    if bytes.len() > bytes_max {
        let why = format!("{} has more than {bytes_max} bytes", path.display());
        return Err(Trouble::Unknown(why));
    }
    Ok(bytes)
}

/// As [`read`] does for a plain file, for callers that cannot wait. Nothing else is
/// read: a pipe may never have an end.
///
/// # Errors
///
/// If it cannot be read, or is no plain file, or is larger.
pub fn read_plain(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let file = opened(path)?;
    let kind = file.metadata()?.file_type();
    // In place of an empty file, some machines have /dev/null.
    if !(kind.is_file() || kind.is_char_device() || kind.is_dir()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file"));
    }
    let bytes = from_file(&file, bytes_max as u64 + 1)?;
    match bytes.len() > bytes_max {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(bytes),
    }
}

/// Opens without waiting: a pipe without a writer would hold up the thread.
fn opened(path: &Path) -> io::Result<File> {
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).expect("a flag of open");
    OpenOptions::new().read(true).custom_flags(nonblocking).open(path)
}

fn from_file(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let size = file.metadata()?.len().min(limit);
    bytes.reserve_exact(usize::try_from(size).unwrap_or(0));
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

async fn from_pipe(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe::Receiver::from_file(file)?.take(limit).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_without_a_writer_is_no_plain_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        assert_eq!(read_plain(&path, 9).unwrap_err().to_string(), "not a plain file");
        assert_eq!(read_plain(Path::new("/dev/null"), 9).unwrap(), b"");
        assert_eq!(
            read_plain(Path::new("/dev/zero"), 9).unwrap_err().kind(),
            io::ErrorKind::FileTooLarge
        );
    }

    #[tokio::test]
    async fn a_pipe_that_is_exhausted_says_so_and_an_empty_file_is_empty() {
        let (reader, mut writer) = io::pipe().unwrap();
        io::Write::write_all(&mut writer, b"once").unwrap();
        drop(writer);
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&reader);
        let path = std::path::PathBuf::from(format!("/dev/fd/{descriptor}"));
        assert_eq!(read(&path, 9).await, Ok(b"once".to_vec()));
        let why = format!("{}: nothing in it: a pipe can be read only once", path.display());
        assert_eq!(read(&path, 9).await, Err(Trouble::Unknown(why)));
        let empty = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(read(empty.path(), 9).await, Ok(Vec::new()));
    }

    #[test]
    fn a_file_of_the_same_size_and_age_in_its_place_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        fs::write(&one, "a").unwrap();
        fs::write(&two, "b").unwrap();
        let age = fs::metadata(&one).unwrap().modified().unwrap();
        File::options().write(true).open(&two).unwrap().set_modified(age).unwrap();
        let before = stamp(&one);
        assert_eq!(before, stamp(&one));
        fs::rename(&two, &one).unwrap();
        assert_ne!(before, stamp(&one));
        assert_eq!(stamp(&two), None);
    }
}
