//! `--output FILE`: the latest result, for other tools. The file is replaced as a
//! whole, so whoever reads it never sees half of one.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A file that is replaced.
pub struct Keeper {
    path: PathBuf,
}

impl Keeper {
    /// Of this path, which is no directory, link, pipe or device: what has the name
    /// is replaced, not written to.
    ///
    /// # Errors
    ///
    /// That it is.
    pub fn of(path: &OsStr) -> Result<Self, Error> {
        let path = PathBuf::from(path);
        let refuse = |why: &str| {
            Err(Error::Usage(format!(
                "--output '{}': {why}; allowed: a file, which is replaced as a whole",
                path.display()
            )))
        };
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => refuse("a link"),
            Ok(found) if !found.is_file() => refuse("no regular file"),
            _ if path.file_name().is_none() => refuse("no name of a file"),
            _ => Ok(Keeper { path }),
        }
    }

    /// Puts this in its place.
    ///
    /// # Errors
    ///
    /// What cannot be written; the file is as it was then.
    pub fn keep(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
        self.replace(write).map_err(Error::io("write", &self.path))
    }

    fn replace(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        // Others are meant to read it: the umask decides, as for any file.
        let mut file = tempfile::Builder::new()
            .prefix(".cb-output-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(parent.unwrap_or(Path::new(".")))?;
        let mut text = Vec::new();
        write(&mut text)?;
        file.write_all(&text)?;
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }
}
