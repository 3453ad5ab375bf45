//! A store that is full or cannot be written, and a stdout that takes nothing:
//! what is not kept is never acknowledged.

use std::fs::File;

use super::*;
use crate::store::can;

/// Words that run what follows where the store is a file system of so many
/// bytes, with a queue in it and then no room.
fn full(before: &str) -> Vec<String> {
    let script = format!(
        "mount -t tmpfs -o size=256k,mode=700 none \"$CB_STORE\" || exit 99; {before}; \
         dd if=/dev/zero of=\"$CB_STORE/ballast\" bs=1k count=400 2>/dev/null; \"$0\" \"$@\"; \
         code=$?; find \"$CB_STORE\" -type f -path '*/queue/*' ! -name drain > \"$CB_STORE.left\"; \
         exit $code"
    );
    ["unshare", "-m", "sh", "-c", &script].map(str::to_owned).to_vec()
}

fn through(cb: &Cb, before: &[String], words: &[&str]) -> Ran {
    let mut command = Command::new(&before[0]);
    command.args(&before[1..]).arg(crate::support::binary()).args(words);
    cb.environ(&mut command);
    bounded(command)
}

#[test]
fn on_a_full_disk_nothing_is_acknowledged() {
    if !can(&["unshare", "-m", "sh", "-c", "true"]) {
        return;
    }
    for before in ["true", "\"$0\" trip -q pay && \"$0\" queue add pay true > \"$CB_STORE.id\""] {
        let cb = manual();
        cb.run(["status"]).code(0);
        fs::create_dir_all(cb.store()).expect("a store");
        let left = || cb.lines("store.left").len();
        let jobs = usize::from(before != "true");
        let ran = through(&cb, &full(before), &["queue", "add", "pay", "true"]);
        ran.code(125).stdout("").one_line("No space left on device").stderr_has("not queued");
        assert_eq!(left(), jobs);
        if jobs == 0 {
            continue;
        }
        let words = ["exec", "--on-open", "queue", "pay", "--", "true"];
        let ran = through(&cb, &full(before), &words).code(75).stdout("");
        let ran = ran.one_line("not run: ").stderr_has("No space left on device");
        assert_eq!(ran.stderr_text().matches("not queued").count(), 1, "{ran}");
        assert_eq!(left(), jobs);
    }
}

#[test]
fn in_a_store_that_cannot_be_written_nothing_is_queued_or_run() {
    if !can(&["unshare", "-m", "sh", "-c", "true"]) {
        return;
    }
    let cb = manual();
    cb.run(["trip", "pay", "--for", "1h"]).code(0);
    let id = cb.add_sh(&[], "touch ran");
    let script = "mount --bind \"$CB_STORE\" \"$CB_STORE\" && \
                  mount -o remount,ro,bind \"$CB_STORE\" || exit 99; exec \"$0\" \"$@\"";
    let read_only = ["unshare", "-m", "sh", "-c", script].map(str::to_owned);
    let says = "Read-only file system";
    through(&cb, &read_only, &["queue", "add", "pay", "true"]).code(125).stdout("").one_line(says);
    // Where not even the breaker can be asked the command runs, unprotected; it
    // fails, and cannot be queued either.
    let words = ["exec", "--on-failure", "queue", "pay", "--", "sh", "-c", "exit 3"];
    let ran = through(&cb, &read_only, &words).code(3).stdout("").stderr_has("not queued");
    assert_eq!(ran.stderr_text().matches("not queued").count(), 1, "{ran}");
    let words = ["exec", "--on-store-error", "refuse", "--on-open", "queue", "pay", "--", "true"];
    through(&cb, &read_only, &words).code(125).stdout("").one_line(says);
    through(&cb, &read_only, &["queue", "drop", &id]).code(125).stdout("").one_line(says);
    through(&cb, &read_only, &["queue", "purge", "--state", "pending", "pay"])
        .code(125)
        .one_line(says);
    // An open breaker admits nothing anyway; a closed one has to be told.
    through(&cb, &read_only, &["queue", "run", "pay"])
        .code(0)
        .stdout_has("1 left: open")
        .stderr("");
    cb.run(["reset", "pay"]).code(0);
    through(&cb, &read_only, &["queue", "run", "pay"]).code(125).one_line(says);
    // To look is allowed.
    let listed = through(&cb, &read_only, &["queue", "list"]).code(0);
    listed.stderr("").stdout_has(&id);
    through(&cb, &read_only, &["queue", "show", &id]).code(0).stdout_has(&id);
    assert_eq!(cb.states(), ["pending"]);
    assert!(!cb.path("ran").exists());
}

#[test]
fn an_id_that_nobody_takes_is_told_and_the_job_is_kept() {
    let cb = manual();
    let mut add = Command::new("sh");
    cb.environ(&mut add);
    add.args(["-c", "exec \"$0\" queue add pay true >&-"]).arg(crate::support::binary());
    bounded(add).code(125).one_line("stdout");
    assert!(!cb.store().exists(), "nothing is queued that nobody could be told of");
    let ran = unheard(cb.adding(&[], ["true"])).code(125);
    // Unknown to its producer, but whole, and told by name.
    assert_eq!(cb.states(), ["pending"]);
    let id = cb.jobs()[0]["id"].as_str().expect("an id").to_owned();
    ran.one_line(&format!("cb: queued as {id}; cannot write to stdout: No space left on device"));
    cb.drain(&[]).code(0);
}

/// Runs it with a stdout that takes nothing.
fn unheard(mut command: Command) -> Ran {
    let full = File::options().write(true).open("/dev/full").expect("a device");
    command.stdout(full).stderr(std::process::Stdio::piped());
    let child = command.spawn().expect("it starts");
    Ran { output: child.wait_with_output().expect("it ends") }
}

#[test]
fn a_job_whose_id_nobody_took_is_run_like_any() {
    let cb = Cb::new();
    unheard(cb.adding(&[], ["touch", "ran"])).code(125);
    eventually("the job is done", || cb.states() == ["done"]);
    cb.rested("pay");
}

#[test]
fn hostile_files_in_the_queue_do_no_harm() {
    let cb = manual();
    let id = cb.add_sh(&[], "touch ran");
    let target = cb.path("target");
    fs::write(&target, "mine").expect("a file");
    let other = |last: char| format!("{}{last}", &id[..25]);
    let place = |folder: &str, last: char| cb.queue(folder).join(other(last));
    let spare: Vec<char> = "0123456789".chars().filter(|last| !id.ends_with(*last)).collect();
    std::os::unix::fs::symlink(&target, place("pending", spare[0])).expect("a link");
    fs::create_dir(place("pending", spare[1])).expect("a directory");
    fs::write(place("pending", spare[2]), vec![b'x'; 5000]).expect("a file");
    let fifo = place("pending", spare[3]);
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    fs::write(place("pending", spare[4]), "").expect("an empty file");
    fs::write(cb.queue("pending").join("README"), "not a job").expect("a file");
    std::os::unix::fs::symlink(&target, place("running", spare[5])).expect("a link");
    let ran = cb.drain(&[]).code(0);
    assert!(cb.path("ran").exists(), "{ran}");
    assert_eq!(cb.state_of(&id), "done");
    assert_eq!(fs::read_to_string(&target).expect("a file"), "mine");
    let ran = cb.drain(&[]).code(0);
    assert!(ran.stdout_text().starts_with("pay: "), "{ran}");
    let listed = bounded(cb.command(["queue", "list", "--json"])).code(0);
    let listed: Value = serde_json::from_str(&listed.stdout_text()).expect("JSON");
    for job in listed["jobs"].as_array().expect("a list") {
        assert_eq!(job["program"], "?", "{job}");
    }
}
