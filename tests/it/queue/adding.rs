//! What goes into the queue comes out of it, byte for byte.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::live::first;

fn result(cb: &Cb) -> Value {
    let text = fs::read_to_string(cb.path("result")).expect("a result");
    serde_json::from_str(&text).expect("JSON")
}

/// `cb exec --result-file .. OPTIONS pay -- COMMAND`
fn exec(cb: &Cb, options: &[&str], command: &[&str]) -> Ran {
    let file = cb.path("result").display().to_string();
    cb.exec_with([&["--result-file", &file], options].concat(), "pay", command)
}

#[test]
fn a_call_that_an_open_breaker_rejects_is_queued_and_runs_later() {
    let cb = manual();
    cb.run(["trip", "pay"]).code(0);
    let ledger = cb.path("ledger").display().to_string();
    let script = "echo \"$CB_JOB_ID $CB_JOB_ATTEMPT $CB_BREAKER\" >> \"$0\"";
    let ran = exec(&cb, &["--on-open", "queue"], &["sh", "-c", script, &ledger]);
    let ran = ran.code(76).stdout("").one_line("cb: pay: not run: ");
    let jobs = cb.jobs();
    let id = jobs[0]["id"].as_str().expect("an id");
    assert!(ran.stderr_text().ends_with(&format!("; queued as {id}\n")), "{ran}");
    let told = result(&cb);
    for (field, value) in [
        ("job_id", Value::from(id)),
        ("fallback", "queue".into()),
        ("outcome", "rejected".into()),
        ("ran", false.into()),
    ] {
        assert_eq!(told[field], value, "{field}: {told}");
    }
    assert!(cb.lines("ledger").is_empty());
    cb.run(["reset", "pay"]).code(0);
    cb.drain(&[]).code(0).stdout("pay: 1 done\n").stderr("");
    assert_eq!(cb.lines("ledger"), [format!("{id} 1 pay")]);
    assert_eq!(cb.state_of(id), "done");
}

#[test]
fn a_call_that_failed_is_queued_and_waits_like_any_that_failed() {
    let cb = manual();
    let options = ["--on-failure", "queue", "--attempt-delay", "20ms"];
    let ran = exec(&cb, &options, &["sh", "-c", "exit 3"]).code(76).stdout("");
    ran.one_line("cb: pay: failed (").stderr_has("; queued as ");
    let told = result(&cb);
    assert_eq!(told["outcome"], "failure", "{told}");
    assert_eq!(told["ran"], true, "{told}");
    assert_eq!(told["fallback"], "queue", "{told}");
    assert_eq!(told["job_id"], cb.jobs()[0]["id"]);
    assert_eq!(cb.jobs()[0]["attempts"], 0);
    let ran = exec(&cb, &["--on-failure", "queue", "--queued-exit-code", "9"], &["false"]);
    ran.code(9);
    // A success, and a call that is admitted and fails by itself, stay what they are.
    exec(&cb, &["--on-failure", "queue", "--on-open", "queue"], &["true"]).code(0).stderr("");
    exec(&cb, &["--on-open", "queue"], &["sh", "-c", "exit 3"]).code(3).stderr("");
    assert_eq!(cb.states(), ["pending"; 2]);
}

#[test]
fn the_id_of_an_added_job_is_all_that_is_printed() {
    let cb = manual();
    let id = cb.add(&[], ["true"]);
    assert_eq!(names_in(&cb.queue("pending")), [id.as_str()]);
    assert!(names_in(&cb.queue("tmp")).is_empty());
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&cb.queue("pending")), 0o700);
    assert_eq!(mode(&cb.queue("pending").join(id)), 0o600);
}

#[test]
fn words_and_stdin_of_any_bytes_reach_the_job() {
    let cb = manual();
    let odd = OsString::from_vec(b"\xff\xfe caf\xe9 'quoted' \"$HOME\" \n\t\x01-- *".to_vec());
    let script = "printf %s \"$1\" > word; printf %s \"$#\" > count; cat > stdin";
    let words = ["sh", "-c", script, "sh"].map(OsString::from).into_iter();
    let words = words.chain([odd.clone(), OsString::new(), "--".into()]);
    let stdin: Vec<u8> =
        (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    assert!(stdin.contains(&0));
    let id = id_of(&Ran::fed(cb.adding(&[], words), &stdin).code(0).stderr(""));
    cb.drain(&[]).code(0);
    assert_eq!(fs::read(cb.path("word")).expect("a word"), odd.as_bytes());
    assert_eq!(cb.lines("count"), ["3"]);
    assert!(fs::read(cb.path("stdin")).expect("its stdin") == stdin, "not the same bytes");
    assert_eq!(cb.shown(&id)["stdin_bytes"], 200_000);
}

#[test]
fn a_rejected_call_keeps_its_stdin_and_a_failed_one_what_it_had_read() {
    for (options, tripped) in [(["--on-open", "queue"], true), (["--on-failure", "queue"], false)] {
        let cb = manual();
        if tripped {
            cb.run(["trip", "pay"]).code(0);
        }
        // The first time it reads a line and fails; from the queue it takes all.
        let script = "[ -n \"$CB_JOB_ID\" ] || { head -c 3 > /dev/null; exit 1; }; cat > all";
        let mut exec = cb.sh(options, "pay", script);
        exec.current_dir(cb.path(""));
        Ran::fed(exec, b"one\0\xfftwo\n").code(76);
        cb.run(["reset", "pay"]).code(0);
        eventually("the job is done", || {
            cb.drain(&[]).code(0);
            cb.states() == ["done"]
        });
        assert_eq!(fs::read(cb.path("all")).expect("its stdin"), b"one\0\xfftwo\n");
    }
}

#[test]
fn the_job_has_the_directory_the_umask_and_the_named_variables_only() {
    let cb =
        Cb::new().config("[defaults]\ndrain = \"manual\"\nqueue_env = [\"ORDER\", \"ABSENT\"]\n");
    let script = "pwd > seen; umask >> seen; env | cut -d= -f1 | sort > names; env > env";
    let mut add = cb.adding(&[], ["sh", "-c", script]);
    let secret = "hunter2-never-on-disk";
    add.env("SECRET_TOKEN", secret).env("ORDER", "b\u{e4}r 17").env("PATH", "/usr/bin:/bin");
    // SAFETY: umask touches no memory.
    first(&mut add, || unsafe {
        libc::umask(0o027);
    });
    id_of(&bounded(add).code(0));
    // The drain's own environment, directory and umask are not the job's.
    let mut drain = cb.draining(&[]);
    drain.env("SECRET_TOKEN", secret).env("FOREIGN", "1").current_dir("/");
    bounded(drain).code(0).stderr("");
    let here = cb.path("").canonicalize().expect("a path").display().to_string();
    assert_eq!(cb.lines("seen"), [here, "0027".to_owned()]);
    let names: Vec<String> = cb.lines("names");
    let known = ["CB_ATTEMPT", "CB_BREAKER", "CB_JOB_ATTEMPT", "CB_JOB_ID", "CB_STATE", "CB_STORE"];
    let shells_own = |name: &&String| !["PWD", "OLDPWD", "SHLVL", "_"].contains(&name.as_str());
    let names: Vec<&String> = names.iter().filter(shells_own).collect();
    assert_eq!(names, [&known[..], &["HOME", "ORDER", "PATH"]].concat());
    assert!(cb.lines("env").contains(&"ORDER=b\u{e4}r 17".to_owned()));
    assert!(cb.lines("env").contains(&"PATH=/usr/bin:/bin".to_owned()));
    let files = files_below(&cb.store());
    assert!(files.len() > 3, "{files:?}");
    for file in files {
        let bytes = fs::read(&file).expect("a file");
        let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!found, "the secret is in {}", file.display());
    }
}

#[test]
fn stdin_over_the_bound_is_refused_and_nothing_is_stored() {
    let cb = manual();
    let max = ["--queue-stdin-max", "1000"];
    let id = id_of(&Ran::fed(cb.adding(&max, ["true"]), &[b'x'; 1000]).code(0));
    Ran::fed(cb.adding(&max, ["true"]), &[b'x'; 1001])
        .code(125)
        .stdout("")
        .one_line("its stdin is over 1000 bytes");
    Ran::fed(cb.adding(&[], ["true"]), &vec![b'x'; (1 << 20) + 1])
        .code(125)
        .one_line("over 1048576");
    cb.run(["trip", "pay"]).code(0);
    let mut exec = cb.command(["exec", "--on-open", "queue", "pay", "true"]);
    exec.args([] as [&str; 0]);
    Ran::fed(exec, &vec![b'x'; (1 << 20) + 1])
        .code(75)
        .stdout("")
        .one_line("not run: ")
        .stderr_has("not queued: its stdin is over 1048576 bytes");
    assert_eq!(names_in(&cb.queue("pending")), [id]);
    assert!(names_in(&cb.queue("tmp")).is_empty());
}

#[test]
fn jobs_run_in_the_order_in_which_they_were_added() {
    let cb = manual();
    let ids: Vec<String> = (0..12).map(|_| cb.add_sh(&[], "echo $CB_JOB_ID >> ledger")).collect();
    let listed: Vec<String> =
        cb.jobs().iter().map(|job| job["id"].as_str().expect("an id").to_owned()).collect();
    assert_eq!(listed, ids);
    cb.drain(&[]).code(0).stdout("pay: 12 done\n");
    assert_eq!(cb.lines("ledger"), ids);
}

#[test]
fn bad_words_are_told_and_nothing_is_stored() {
    let cb = manual();
    for (words, says) in [
        (&["queue", "add", "pay"][..], "COMMAND"),
        (&["queue", "add", "--key", "", "pay", "true"], "--key"),
        (&["queue", "add", "pay/../x", "true"], "pay/../x"),
        (&["queue", "add", "--max-attempts", "0", "pay", "true"], "max-attempts"),
        (&["queue", "run", "--rate", "0/s", "pay"], "--rate"),
        (&["queue", "run", "--rate", "fast", "pay"], "--rate"),
        (&["queue", "run", "--jobs", "0", "pay"], "--jobs"),
        (&["queue", "run", "--jobs", "65", "pay"], "--jobs"),
        (&["queue", "show", "nonsense"], "nonsense"),
        (&["queue", "drop", "01arz3ndektsv4rrffq69g5fav"], "01arz3ndektsv4rrffq69g5fav"),
        (&["queue", "list", "--state", "lost"], "lost"),
    ] {
        let ran = cb.run(words).code(125).stdout("");
        assert!(ran.stderr_text().contains(says), "{words:?}: {ran}");
    }
    cb.drain(&[]).code(0).stdout("pay: nothing is queued\n");
    assert!(!cb.store().exists(), "{:?}", files_below(&cb.store()));
}

#[test]
fn what_a_job_calls_of_cb_is_about_the_same_store() {
    let cb = manual();
    let script = "\"$0\" queue show --json $CB_JOB_ID >shown";
    let id = cb.add(&[], ["sh", "-c", script, crate::support::binary().to_str().expect("UTF-8")]);
    cb.drain(&[]).code(0).stdout("pay: 1 done\n").stderr("");
    assert!(std::fs::read_to_string(cb.path("shown")).expect("a file").contains(&id));
}

#[test]
fn the_claim_is_where_no_script_has_descriptors() {
    let cb = manual();
    cb.add_sh(
        &[],
        "ls -l /proc/self/fd >fds; exec 7>a 8>b 9>c; touch in; \
                    while [ ! -e go ] && [ -e $PWD ]; do sleep 0.02; done",
    );
    let live = crate::live::Live::start(cb.draining(&[]));
    eventually("it runs", || cb.path("in").exists());
    let fds = cb.lines("fds");
    let claims: Vec<&String> = fds.iter().filter(|line| line.contains("/pay/queue/")).collect();
    let number = |line: &String| line.split_whitespace().rev().nth(2)?.parse::<i32>().ok();
    assert!(matches!(claims.as_slice(), [claim] if number(claim) >= Some(100)), "{fds:?}");
    assert_eq!(cb.states(), ["running"]);
    cb.drain(&[]).code(0).stdout("pay: 1 still running\n");
    cb.touch("go");
    live.end().code(0).stdout("pay: 1 done\n");
}

#[test]
fn a_breaker_with_nothing_but_jobs_is_shown() {
    let cb = manual();
    cb.add_sh(&[], "true");
    cb.run(["status"]).code(0).stdout_has("pay").stderr("");
}
