//! The permit of a trial: an exclusive flock on a file of its own, held for the
//! life of the call. The kernel frees it when its holder dies, whatever it died
//! of, so the next admission knows at once that the trial is lost.
//!
//! The file is made and locked before any saved state names the trial, and those
//! who look take a shared lock: they never hinder one another or the holder.

use rustix::fs::OFlags;

use super::directory::{Directory, Private};
use super::lock;
use crate::error::Error;
use crate::model::Permit;

const PREFIX: &str = "permit-";

/// A trial's permit, held until this is dropped or the process ends.
#[derive(Debug)]
pub struct PermitFile {
    _file: Private,
}

/// Makes and locks the file of a trial that is about to be saved.
///
/// # Errors
///
/// What the system refuses.
pub fn take(directory: &Directory, permit: Permit) -> Result<PermitFile, Error> {
    let name = file_name(permit);
    // No saved state names this trial, so what has its name is left over: from a
    // process that died before it could save, or from a state that was lost.
    directory.unlink(&name)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    let path = || directory.path_of(&name);
    let Some(file) = directory.open_file(&name, flags)? else {
        return Err(Error::io("create", path())(std::io::ErrorKind::NotFound.into()));
    };
    if lock::try_exclusive(&file.file).map_err(Error::io("lock", path()))? {
        Ok(PermitFile { _file: file })
    } else {
        Err(Error::Locked { path: path(), waited_ms: 0 })
    }
}

/// Whether the holder of a trial's permit is gone. Where that cannot be told
/// the trial counts as held, and its lease ends it.
pub fn is_gone(directory: &Directory, permit: Permit) -> bool {
    match directory.open_file(&file_name(permit), OFlags::RDONLY) {
        Ok(Some(file)) => lock::try_shared(&file.file).unwrap_or(false),
        Ok(None) => true,
        Err(_) => false,
    }
}

/// Removes the file of a trial that is over.
pub fn remove(directory: &Directory, permit: Permit) {
    // A file that stays behind is swept with the next transition.
    let _ = directory.unlink(&file_name(permit));
}

/// Removes the files of all trials but the given one: a new generation began.
pub fn sweep(directory: &Directory, keep: Option<Permit>) {
    let keep = keep.map(file_name);
    let Ok(entries) = directory.entries() else { return };
    for name in entries {
        if name.starts_with(PREFIX) && keep.as_ref() != Some(&name) {
            let _ = directory.unlink(&name);
        }
    }
}

/// Whether a file in a breaker's directory is a permit's.
pub fn is_permit(name: &str) -> bool {
    name.starts_with(PREFIX)
}

fn file_name(permit: Permit) -> String {
    format!("{PREFIX}{}-{}", permit.generation, permit.trial.unwrap_or(0))
}
