//! Files and directories of a store that somebody else has put there.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use super::*;

/// What takes the place of a file or directory.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trick {
    Fifo,
    Socket,
    Directory,
    File,
    LinkToOurs,
    LinkToNothing,
    LinkToPasswd,
    LinkToDirectory,
    SecondLink,
    OtherOwner,
    Mode(u32),
}

impl Trick {
    /// Plays it on a file; `false` where that takes root.
    fn play(self, cb: &Cb, path: &Path) -> bool {
        let outside = cb.path("outside");
        let copy = outside.join("copy");
        fs::create_dir_all(&outside).expect("a directory");
        let move_away = || fs::rename(path, &copy).expect("it is there");
        match self {
            Trick::OtherOwner if !is_root("another owner") => return false,
            Trick::OtherOwner => chown(path, Some(12_345), None).expect("root may"),
            Trick::Mode(mode) if mode & 0o020 != 0 && !is_root("a foreign group") => return false,
            Trick::Mode(mode) => {
                if mode & 0o020 != 0 {
                    chown(path, None, Some(12_345)).expect("root may");
                }
                fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
            }
            Trick::SecondLink => fs::hard_link(path, &copy).expect("one file system"),
            _ => move_away(),
        }
        match self {
            Trick::Fifo => assert!(can(&["mkfifo", path.to_str().expect("UTF-8")])),
            Trick::Socket => drop(UnixListener::bind(path).expect("a short path")),
            Trick::Directory => fs::create_dir(path).expect("the name is free"),
            Trick::File => fs::write(path, b"just a file").expect("the name is free"),
            Trick::LinkToOurs => symlink(&copy, path).expect("the name is free"),
            Trick::LinkToNothing => symlink(outside.join("nothing"), path).expect("free"),
            Trick::LinkToPasswd => symlink("/etc/passwd", path).expect("free"),
            Trick::LinkToDirectory => symlink(&outside, path).expect("free"),
            Trick::SecondLink | Trick::OtherOwner | Trick::Mode(_) => {}
        }
        true
    }
}

const FILE_TRICKS: [(Trick, &str); 11] = [
    (Trick::Fifo, " is not a regular file: move it away"),
    (Trick::Socket, ""),
    (Trick::Directory, " is "),
    (Trick::LinkToOurs, " is a symbolic link: move it away"),
    (Trick::LinkToNothing, " is a symbolic link: move it away"),
    (Trick::LinkToPasswd, " is a symbolic link: move it away"),
    (Trick::LinkToDirectory, " is a symbolic link: move it away"),
    (Trick::SecondLink, " has a second link: move it away"),
    (Trick::OtherOwner, " belongs to another user: move it away"),
    (Trick::Mode(0o660), " is writable by others: move it away"),
    (Trick::Mode(0o602), " is writable by others: move it away"),
];

/// Plays a trick on what `place` names in the store of an open breaker.
#[track_caller]
fn check(trick: Trick, place: &str, says: &str, reads: bool) {
    note(format_args!("{trick:?} for {place:?}"));
    let cb = Cb::new();
    cb.run(["trip", "pay"]).code(0);
    let path = cb.store().join(place);
    let path = if place.is_empty() { cb.store() } else { path };
    if !trick.play(&cb, &path) {
        return;
    }
    let meta = |path: &Path| {
        let meta = path.symlink_metadata().expect("it is there");
        (meta.file_type(), meta.permissions(), meta.modified().expect("a time"))
    };
    let (before, outside, passwd) =
        (meta(&path), snapshot(&cb.path("outside")), fs::read("/etc/passwd").expect("readable"));
    let says = format!("{}{says}", path.display());
    let unusable = Unusable::new(&cb, &says);
    if reads { unusable.readable() } else { unusable }.check();
    assert_eq!(meta(&path), before);
    assert_eq!(snapshot(&cb.path("outside")), outside, "nothing outside the store changed");
    assert_eq!(fs::read("/etc/passwd").expect("readable"), passwd);
}

#[test]
fn a_state_file_that_is_not_ours_is_not_used() {
    for (trick, says) in FILE_TRICKS {
        check(trick, "pay/state", says, false);
    }
}

#[test]
fn a_lock_file_that_is_not_ours_is_not_used() {
    for (trick, says) in FILE_TRICKS {
        // Readers need no lock.
        check(trick, "pay/lock", says, true);
    }
}

#[test]
fn a_breaker_that_is_no_directory_of_ours_is_not_used() {
    for trick in [
        Trick::Fifo,
        Trick::Socket,
        Trick::File,
        Trick::LinkToOurs,
        Trick::LinkToNothing,
        Trick::LinkToPasswd,
        Trick::LinkToDirectory,
    ] {
        check(trick, "pay", " is not a directory: move it away", false);
    }
    check(Trick::OtherOwner, "pay", " belongs to uid 12345, neither to you nor to root", false);
    check(Trick::Mode(0o770), "pay", " is writable by others: run: chmod go-w ", false);
    check(Trick::Mode(0o707), "pay", " is writable by others: run: chmod go-w ", false);
}

#[test]
fn a_store_that_is_no_directory_of_ours_is_not_used() {
    for trick in [Trick::Fifo, Trick::Socket, Trick::File, Trick::LinkToPasswd] {
        check(trick, "", ": Not a directory", false);
    }
    check(Trick::OtherOwner, "", " belongs to uid 12345, neither to you nor to root", false);
    check(Trick::Mode(0o770), "", " is writable by others: run: chmod go-w ", false);
    check(Trick::Mode(0o707), "", " is writable by others: run: chmod go-w ", false);
}

#[test]
fn a_store_may_be_a_link_and_may_be_sticky() {
    for (trick, code) in [(Trick::LinkToOurs, 75), (Trick::Mode(0o1777), 75)] {
        let cb = Cb::new();
        cb.run(["trip", "pay"]).code(0);
        if trick.play(&cb, &cb.store()) {
            bounded(cb.command(exec_words(&[]))).code(code).stdout("");
        }
    }
}

/// A cb whose store lies two directories deep, and the upper one.
fn deep() -> (Cb, PathBuf) {
    let cb = Cb::new();
    let (upper, store) = (cb.path("upper"), cb.path("upper/lower/store"));
    let cb = cb.env("CB_STORE", &store);
    cb.run(["trip", "pay"]).code(0);
    (cb, upper)
}

#[test]
fn every_parent_of_the_store_is_checked() {
    for trick in [Trick::Mode(0o777), Trick::Mode(0o775), Trick::OtherOwner] {
        let (cb, upper) = deep();
        if trick.play(&cb, &upper) {
            let says = format!("{} ", upper.display());
            Unusable::new(&cb, &says).check();
        }
    }
    let (cb, upper) = deep();
    fs::set_permissions(&upper, Permissions::from_mode(0o1777)).expect("ours");
    bounded(cb.command(exec_words(&[]))).code(75);
}

#[test]
fn the_parents_are_those_of_the_store_itself_and_not_of_a_link_to_it() {
    let (cb, upper) = deep();
    let link = cb.path("link");
    symlink(upper.join("lower/store"), &link).expect("the name is free");
    let cb = cb.env("CB_STORE", &link);
    bounded(cb.command(exec_words(&[]))).code(75);
    fs::set_permissions(&upper, Permissions::from_mode(0o777)).expect("ours");
    let says = format!("{} is writable by others", upper.display());
    Unusable::new(&cb, &says).check();
}

#[test]
fn what_has_the_name_of_a_permit_is_replaced_and_never_followed() {
    for trick in [Trick::Fifo, Trick::LinkToNothing, Trick::LinkToPasswd, Trick::Directory] {
        let cb = Cb::new();
        cb.run(["trip", "pay", "--for", "1ms"]).code(0);
        // The next generation, and its first trial.
        let path = cb.store().join("pay/permit-2-0");
        fs::write(&path, b"").expect("the name is free");
        assert!(trick.play(&cb, &path));
        crate::support::eventually("the trial is due", || {
            cb.status("pay")["trial_due"].as_bool() == Some(true)
        });
        let ran = bounded(cb.command(exec_words(&[]))).code(3).stdout("ran\n");
        if trick == Trick::Directory {
            // This is nothing that a file can take the place of.
            let says = path.display().to_string();
            ran.one_line(&says);
            bounded(cb.command(exec_words(&["--on-store-error", "refuse"])))
                .code(125)
                .stdout("")
                .one_line(&says);
            fs::rename(&path, cb.path("moved")).expect("it is there");
        } else {
            ran.stderr("");
            cb.is("pay", "open");
            cb.run(["trip", "pay", "--for", "1ms"]).code(0);
        }
        assert!(!cb.path("outside/nothing").exists());
        crate::support::eventually("the breaker closes", || {
            cb.exec("pay", ["true"]);
            cb.state("pay") == "closed"
        });
    }
}
