//! Small files that a probe needs: certificates, headers, a body.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::Trouble;
use crate::error::Error;

/// What is in a file of at most so many bytes. A pipe (`<(pass show token)`) is
/// waited for without holding up anything else.
///
/// # Errors
///
/// If it cannot be read, or is larger. That is our side.
pub async fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, Trouble> {
    let cannot = |error| Trouble::Unknown(Error::io("read", path)(error).to_string());
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).expect("a flag of open");
    let mut options = OpenOptions::new();
    // Or a pipe without a writer would hold up the thread.
    let file = options.read(true).custom_flags(nonblocking).open(path).map_err(cannot)?;
    let kind = file.metadata().map_err(cannot)?.file_type();
    let limit = bytes_max as u64 + 1;
    let bytes = match kind.is_fifo() {
        true => from_pipe(file, limit).await.map_err(cannot)?,
        false => from_file(&file, limit).map_err(cannot)?,
    };
    if bytes.len() > bytes_max {
        let why = format!("{} has more than {bytes_max} bytes", path.display());
        return Err(Trouble::Unknown(why));
    }
    Ok(bytes)
}

/// As [`read`] does for a plain file, for callers that cannot wait.
///
/// # Errors
///
/// If it cannot be read, or is larger.
pub fn read_plain(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let bytes = from_file(&File::open(path)?, bytes_max as u64 + 1)?;
    match bytes.len() > bytes_max {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(bytes),
    }
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
