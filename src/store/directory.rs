//! Directories and files of the store: made private, opened without following
//! links or waiting, and checked before anything in them is believed.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::{Errno, retry_on_intr};

use crate::error::Error;
use crate::model::text::shell_word;
use crate::model::trust::{Ownership, User};

/// More parents than this are not walked.
const PARENTS_MAX: usize = 100;
/// On the file systems of [`GROWING`], a name of at least 20 characters adds at
/// least so much to the length of its directory (tmpfs counts the least).
pub const NAME_LEN_MIN: u64 = 20;
/// The magic numbers of ext2-4, tmpfs, btrfs, xfs, and of overlays over those.
const GROWING: [u64; 5] = [0xef53, 0x0102_1994, 0x9123_683e, 0x5846_5342, 0x794c_7630];

/// Which file this is, whatever its name is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
}

/// A directory of the store.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

/// A checked file of the store.
#[derive(Debug)]
pub struct Private {
    /// The open file.
    pub file: File,
    /// Which one it is.
    pub identity: Identity,
}

impl Directory {
    /// Opens the root of a store and checks it and every parent, the way they
    /// really lie (".." knows no links); `None` where it is not there.
    ///
    /// # Errors
    ///
    /// [`Error::Unsafe`], or what the system refuses.
    pub fn open_root(path: &Path) -> Result<Option<Self>, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty())) {
            Ok(fd) => {
                let root = Directory { fd, path: path.to_owned() };
                root.check_parents()?;
                Ok(Some(root))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::io("open", path)(errno.into())),
        }
    }

    /// The same, made with its parents where it is not there.
    ///
    /// # Errors
    ///
    /// As [`Directory::open_root`].
    pub fn make_root(path: &Path) -> Result<Self, Error> {
        if let Some(root) = Self::open_root(path)? {
            return Ok(root);
        }
        make_all(path)?;
        match Self::open_root(path)? {
            Some(root) => Ok(root),
            None => Err(Error::io("create", path)(Errno::NOENT.into())),
        }
    }

    /// Opens a directory below this one; `None` where it is not there.
    ///
    /// # Errors
    ///
    /// [`Error::Unsafe`], or what the system refuses.
    pub fn open_below(&self, name: &str) -> Result<Option<Self>, Error> {
        let path = self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match retry_on_intr(|| rustix::fs::openat(&self.fd, name, flags, Mode::empty())) {
            Ok(fd) => {
                let below = Directory { fd, path };
                let stat = below.stat()?;
                check_directory(&stat, || below.path.clone())?;
                Ok(Some(below))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => {
                Err(Error::Unsafe { path, why: "is not a directory: move it away".into() })
            }
            Err(errno) => Err(Error::io("open", path)(errno.into())),
        }
    }

    /// Makes a directory below this one, durably; one that is there is fine.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn make_below(&self, name: &str) -> Result<(), Error> {
        if self.make_unsynced(name)? { self.sync() } else { Ok(()) }
    }

    /// The same, and not flushed yet; `false` for one that is there.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn make_unsynced(&self, name: &str) -> Result<bool, Error> {
        match retry_on_intr(|| rustix::fs::mkdirat(&self.fd, name, Mode::RWXU)) {
            Ok(()) => {
                // Whatever the umask says: this directory is of use to us alone.
                let _ = rustix::fs::chmodat(&self.fd, name, Mode::RWXU, AtFlags::empty());
                Ok(true)
            }
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(Error::io("create", self.path.join(name))(errno.into())),
        }
    }

    /// Opens a file of this directory; `None` where it is not there. With
    /// `CREATE` it is made with mode 0600.
    ///
    /// # Errors
    ///
    /// [`Error::Unsafe`], or what the system refuses.
    pub fn open_file(&self, name: &str, flags: OFlags) -> Result<Option<Private>, Error> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let fd = match retry_on_intr(|| rustix::fs::openat(&self.fd, name, flags, mode)) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(self.is_wrong(name, "is a symbolic link")),
            Err(Errno::ISDIR) => return Err(self.is_wrong(name, "is a directory")),
            Err(Errno::NXIO) => return Err(self.is_wrong(name, "is not a regular file")),
            Err(errno) => return Err(Error::io("open", self.path.join(name))(errno.into())),
        };
        let stat = retry_on_intr(|| rustix::fs::fstat(&fd))
            .map_err(|errno| Error::io("stat", self.path.join(name))(errno.into()))?;
        self.check_file(name, &stat)?;
        if flags.contains(OFlags::CREATE) && stat.st_mode & mode.bits() != mode.bits() {
            let _ = rustix::fs::fchmod(&fd, mode);
        }
        Ok(Some(Private { file: File::from(fd), identity: Identity::of(&stat) }))
    }

    /// Which file has this name now; `None` where there is none.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn identity_of(&self, name: &str) -> Result<Option<Identity>, Error> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        match retry_on_intr(|| rustix::fs::statat(&self.fd, name, flags)) {
            Ok(stat) => Ok(Some(Identity::of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::io("stat", self.path.join(name))(errno.into())),
        }
    }

    /// Gives a file another name.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        retry_on_intr(|| rustix::fs::renameat(&self.fd, from, &self.fd, to))
            .map_err(|errno| Error::io("rename", self.path.join(from))(errno.into()))
    }

    /// Gives a file a name in another directory, where nothing has it yet;
    /// `false` where the file has no name any more, or the name is taken.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn move_to(&self, from: &str, other: &Directory, to: &str) -> Result<bool, Error> {
        let only_new = || {
            let flags = RenameFlags::NOREPLACE;
            rustix::fs::renameat_with(&self.fd, from, &other.fd, to, flags)
        };
        let moved = match retry_on_intr(only_new) {
            // A file system or a kernel without the notion: names are unique
            // anyway, this is the second net.
            Err(Errno::INVAL | Errno::NOSYS) => {
                retry_on_intr(|| rustix::fs::renameat(&self.fd, from, &other.fd, to))
            }
            moved => moved,
        };
        match moved {
            Ok(()) => Ok(true),
            Err(Errno::NOENT | Errno::EXIST) => Ok(false),
            Err(errno) => Err(Error::io("rename", self.path.join(from))(errno.into())),
        }
    }

    /// Removes a directory below this one with the files in it; one that is not
    /// there is fine. No link is followed. A directory in it is left, and said.
    ///
    /// # Errors
    ///
    /// [`Error::Unsafe`], or what the system refuses.
    pub fn remove_tree(&self, name: &str) -> Result<(), Error> {
        let Some(below) = self.open_below(name)? else { return Ok(()) };
        for file in below.list(|kind| kind != FileType::Directory)? {
            below.unlink(&file)?;
        }
        if self.remove_empty(name)? {
            return Ok(());
        }
        let why = "holds what is not of cb: move it away".into();
        Err(Error::Unsafe { path: below.path, why })
    }

    /// How many bytes the names in this directory take, as the file system
    /// counts them.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn names_len(&self) -> Result<u64, Error> {
        Ok(u64::try_from(self.stat()?.st_size).unwrap_or(u64::MAX))
    }

    /// Whether each name in this directory is known to add at least
    /// [`NAME_LEN_MIN`] to its length.
    pub fn grows_with_names(&self) -> bool {
        let known = retry_on_intr(|| rustix::fs::fstatfs(&self.fd));
        known.is_ok_and(|system| GROWING.contains(&(system.f_type as u64 & 0xffff_ffff)))
    }

    /// Whether names can be added here and removed.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn check_writable(&self) -> Result<(), Error> {
        let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        retry_on_intr(|| rustix::fs::accessat(&self.fd, ".", access, AtFlags::EACCESS))
            .map_err(|errno| Error::io("change", &self.path)(errno.into()))
    }

    /// Removes a file; one that is not there is fine.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn unlink(&self, name: &str) -> Result<(), Error> {
        match retry_on_intr(|| rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::io("remove", self.path.join(name))(errno.into())),
        }
    }

    /// Removes a directory below this one, if nothing is in it: somebody may
    /// have begun to use it anew.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn remove_below(&self, name: &str) -> Result<(), Error> {
        self.remove_empty(name).map(|_| ())
    }

    /// The same; `false` where something is in it.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn remove_empty(&self, name: &str) -> Result<bool, Error> {
        match retry_on_intr(|| rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(errno) => Err(Error::io("remove", self.path.join(name))(errno.into())),
        }
    }

    /// The names in this directory that are UTF-8, in no order.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn entries(&self) -> Result<Vec<String>, Error> {
        self.list(|_| true)
    }

    /// The same without what is known to be a plain file: somebody else's.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn directories(&self) -> Result<Vec<String>, Error> {
        self.list(|kind| kind != FileType::RegularFile)
    }

    fn list(&self, wanted: impl Fn(FileType) -> bool) -> Result<Vec<String>, Error> {
        let failed = |errno: Errno| Error::io("list", &self.path)(errno.into());
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            match entry.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) if wanted(entry.file_type()) => names.push(name.to_owned()),
                Ok(_) => {}
            }
        }
        Ok(names)
    }

    /// Flushes the names in this directory to the disk.
    ///
    /// # Errors
    ///
    /// What the system refuses; not having the notion is fine.
    pub fn sync(&self) -> Result<(), Error> {
        match retry_on_intr(|| rustix::fs::fsync(&self.fd)) {
            Ok(()) | Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
            Err(errno) => Err(Error::io("sync", &self.path)(errno.into())),
        }
    }

    /// Flushes this directory's own name to the disk, where that may be done.
    ///
    /// # Errors
    ///
    /// A flush that fails.
    pub fn sync_parent(&self) -> Result<(), Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // A parent that may be entered and not read is not ours: its name for
        // this directory is older than the store.
        match retry_on_intr(|| rustix::fs::openat(&self.fd, "..", flags, Mode::empty())) {
            Ok(fd) => Directory { fd, path: self.path.join("..") }.sync(),
            Err(_) => Ok(()),
        }
    }

    /// The path of a file in this directory, for messages.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn stat(&self) -> Result<Stat, Error> {
        retry_on_intr(|| rustix::fs::fstat(&self.fd))
            .map_err(|errno| Error::io("stat", &self.path)(errno.into()))
    }

    fn check_parents(&self) -> Result<(), Error> {
        let mut stat = self.stat()?;
        let mut up = String::new();
        for height in 0..PARENTS_MAX {
            check_directory(&stat, || nth_parent(&self.path, height))?;
            up.push_str("../");
            let below = Identity::of(&stat);
            stat = retry_on_intr(|| {
                rustix::fs::statat(self.fd.as_fd(), up.as_str(), AtFlags::empty())
            })
            .map_err(|errno| Error::io("stat", nth_parent(&self.path, height + 1))(errno.into()))?;
            if Identity::of(&stat) == below {
                return Ok(());
            }
        }
        Err(Error::Unsafe { path: self.path.clone(), why: "lies too deep".into() })
    }

    fn check_file(&self, name: &str, stat: &Stat) -> Result<(), Error> {
        let user = user();
        let why = if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            "is not a regular file"
        } else if stat.st_uid != user.uid {
            "belongs to another user"
        } else if stat.st_nlink > 1 {
            "has a second link"
        } else if ownership(stat).is_writable_by_others(user) {
            "is writable by others"
        } else {
            return Ok(());
        };
        // A file that was removed after it was opened has no link: whoever
        // holds it finds out by its identity.
        Err(self.is_wrong(name, why))
    }

    fn is_wrong(&self, name: &str, why: &str) -> Error {
        Error::Unsafe { path: self.path.join(name), why: format!("{why}: move it away") }
    }
}

impl Identity {
    fn of(stat: &Stat) -> Self {
        Identity { device: stat.st_dev, inode: stat.st_ino }
    }
}

/// The user that asks, as the kernel sees it.
pub fn user() -> User {
    static USER: OnceLock<User> = OnceLock::new();
    *USER.get_or_init(|| User {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    })
}

fn ownership(stat: &Stat) -> Ownership {
    Ownership { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode }
}

fn check_directory(stat: &Stat, path: impl Fn() -> PathBuf) -> Result<(), Error> {
    let (user, owned) = (user(), ownership(stat));
    if !owned.is_of(user) {
        let why = format!("belongs to uid {}, neither to you nor to root", owned.uid);
        return Err(Error::Unsafe { path: path(), why });
    }
    if owned.is_writable_by_others(user) && !owned.is_sticky() {
        let path = path();
        let why = format!("is writable by others: run: chmod go-w {}", shell_word(&path));
        return Err(Error::Unsafe { path, why });
    }
    Ok(())
}

/// Makes a directory and its parents, each for the user alone, and has all their
/// names on the disk.
fn make_all(path: &Path) -> Result<(), Error> {
    let make = || match retry_on_intr(|| rustix::fs::mkdir(path, Mode::RWXU)) {
        Ok(()) => {
            let _ = rustix::fs::chmod(path, Mode::RWXU);
            Ok(true)
        }
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => Err(errno),
    };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let made = match (make(), parent) {
        (Err(Errno::NOENT), Some(parent)) => {
            make_all(parent)?;
            make()
        }
        (made, _) => made,
    };
    match made.map_err(|errno| Error::io("create", path)(errno.into()))? {
        true => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let fd = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))
                .map_err(|errno| Error::io("open", path)(errno.into()))?;
            Directory { fd, path: path.to_owned() }.sync_parent()
        }
        false => Ok(()),
    }
}

/// For a message: the parent so many steps up, where the path really lies.
fn nth_parent(path: &Path, height: usize) -> PathBuf {
    let real = path.canonicalize().unwrap_or_else(|_: io::Error| path.to_owned());
    real.ancestors().nth(height).unwrap_or(Path::new("/")).to_owned()
}
