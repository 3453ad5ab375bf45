//! The first minute: a breaker trips, rejects, is looked at, and recovers.

use std::path::Path;

use crate::support::Cb;

#[test]
fn the_machine_has_no_config_of_its_own() {
    let config = Path::new("/etc/cb/config.toml");
    assert!(
        config.symlink_metadata().is_err(),
        "these tests need a machine without {}: what fails beside this may be its doing",
        config.display()
    );
}

#[test]
fn a_breaker_trips_rejects_and_recovers() {
    let cb = Cb::new();
    cb.exec("pay", ["echo", "hi"]).code(0).stdout("hi\n").stderr("");
    for _ in 0..5 {
        cb.exec("pay", ["false"]).code(1).stderr("");
    }
    cb.is("pay", "open");
    cb.exec("pay", ["echo", "hi"])
        .code(75)
        .stdout("")
        .one_line("cb: pay: not run: open (too many failures in a row), next trial in ");
    cb.run(["reset", "pay"]).code(0).stdout("pay: closed\n");
    cb.exec("pay", ["true"]).code(0);
    cb.is("pay", "closed");
}
