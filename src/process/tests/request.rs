//! What a request changes about the child.

use std::os::fd::AsFd;

use super::*;
use crate::process::Input;

/// The words that a script prints, where the request is changed so.
#[track_caller]
fn check_said<'a>(script: &str, change: impl FnOnce(&mut Request<'a, 'static>), expected: &str) {
    let said = isolated(|| sh(script, change));
    assert_eq!(said, expected, "{script}");
}

#[test]
fn it_runs_in_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let expected = format!("{}\nCode(0) []", dir.display());
    check_said("pwd -P", |request| request.cwd = Some(&dir), &expected);
    let said = isolated(|| {
        let before = std::env::current_dir().unwrap();
        let said = sh("true", |request| request.cwd = Some(&dir));
        assert_eq!(std::env::current_dir().unwrap(), before);
        said
    });
    assert_eq!(said, "Code(0) []");
    // A script without a shebang is found there too, though cb is elsewhere.
    let script = dir.join("script");
    std::fs::write(&script, "pwd -P").unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let said = isolated(|| {
        let startup = Startup::take_over(Vec::new());
        let mut request = Request::new(OsStr::new("./script"), &[], clock);
        request.cwd = Some(&dir);
        words(&mut request, &startup)
    });
    assert_eq!(said, expected);
}

#[test]
fn a_directory_that_cannot_be_entered_is_told_from_a_command_that_cannot() {
    let start = |cwd: &str, program: &str| {
        isolated(|| {
            let startup = Startup::take_over(Vec::new());
            let mut request = Request::new(OsStr::new(program), &[], clock);
            request.cwd = Some(cwd.as_ref());
            words(&mut request, &startup)
        })
    };
    let refused = |why: &str| format!("NotExecutable not entered: {why} []");
    assert_eq!(start("/no/such", "true"), refused("NotFound"));
    assert_eq!(start("/no/such", "no-such-command"), refused("NotFound"));
    assert_eq!(start("/etc/passwd", "true"), refused("NotADirectory"));
    assert_eq!(start("/a\0b", "true"), refused("InvalidInput"));
    assert_eq!(start("/", "no-such-command"), "NotFound NotFound []");
}

#[test]
fn it_has_its_umask() {
    let said = isolated(|| {
        // SAFETY: touches no memory.
        unsafe { libc::umask(0o022) };
        let said = sh("umask", |request| request.umask = Some(0o137));
        // SAFETY: as above.
        assert_eq!(unsafe { libc::umask(0) }, 0o022, "cb's own stays");
        said
    });
    assert_eq!(said, "0137\nCode(0) []");
}

#[test]
fn it_inherits_what_is_kept_and_nothing_else() {
    let said = isolated(|| {
        let file = tempfile::tempfile().unwrap();
        let number = file.as_raw_fd();
        let look = format!("test -e /proc/$$/fd/{number}");
        let kept = sh(&look, |request| request.keep = Some(file.as_fd()));
        format!("{kept}, {}, {}", sh(&look, as_is), sh("true", as_is))
    });
    assert_eq!(said, "Code(0) [], Code(1) [], Code(0) []");
}

#[test]
fn a_clean_environment_has_only_what_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let tool = dir.path().join("only-here");
    std::fs::write(&tool, "#!/bin/sh\n/usr/bin/env | /usr/bin/grep -v -e ^PWD= -e ^_= -e ^SHLVL=")
        .unwrap();
    std::fs::set_permissions(&tool, PermissionsExt::from_mode(0o755)).unwrap();
    let start = |program: &str, env: &[(OsString, OsString)]| {
        isolated(|| {
            let startup = Startup::take_over(Vec::new());
            let mut request = Request::new(OsStr::new(program), &[], clock);
            request.env = env;
            request.clean_env = true;
            words(&mut request, &startup)
        })
    };
    let path = ("PATH".into(), dir.path().into());
    let said = start("only-here", &[("A".into(), "1".into()), path]);
    assert_eq!(said, format!("A=1\nPATH={}\nCode(0) []", dir.path().display()));
    assert_eq!(start("only-here", &[]), "NotFound NotFound []");
    assert_eq!(start("env", &[("A".into(), "2".into())]), "A=2\nCode(0) []");
    assert_eq!(start("env", &[("A".into(), "x\0y".into())]), "NotExecutable InvalidInput []");
}

#[test]
fn its_stdin_can_be_a_file_or_nothing() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "from the file").unwrap();
    let said = isolated(|| {
        let opened = File::open(file.path()).unwrap();
        sh("cat", |request| request.stdin = Input::File(opened.as_fd()))
    });
    assert_eq!(said, "from the fileCode(0) []");
    let null = |request: &mut Request<'_, 'static>| request.stdin = Input::Null;
    check_said("readlink /proc/$$/fd/0; cat", null, "/dev/null\nCode(0) []");
}
