//! What people see of the queue, and do with it.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// One job in each state but `running`; their ids in the order of [`STATES`].
fn one_of_each(cb: &Cb) -> [String; 4] {
    let done = cb.add(&["--key", "order-1"], ["true"]);
    let failed = cb.add_sh(&["--max-attempts", "1"], "exit 9");
    let doubt = cb.add_sh(&["--max-attempts", "1"], "kill -STOP $PPID; sleep 0.01");
    cb.run(["queue", "drop", &doubt]).code(0);
    let doubt = cb.add_sh(&[], "kill -9 $PPID");
    let killed = cb.drain(&[]);
    assert_eq!(killed.status().code(), None, "{killed}");
    eventually("the orphan has ended", || {
        cb.drain(&[]).code(0);
        cb.state_of(&doubt) == "doubt"
    });
    let pending = cb.add_sh(&["--key", "order-2"], "echo secret-argument");
    [pending, done, failed, doubt]
}

#[test]
fn the_list_has_every_job_in_the_schema() {
    let cb = manual();
    let [pending, done, failed, doubt] = one_of_each(&cb);
    assert_eq!(cb.states(), ["done", "failed", "doubt", "pending"]);
    let ran = cb.run(["queue", "list", "--json", "pay"]).code(0).stderr("");
    let listed: Value = serde_json::from_str(&ran.stdout_text()).expect("JSON");
    assert_eq!(listed["schema"], "cb.queue/1");
    let jobs = listed["jobs"].as_array().expect("a list");
    let ids: Vec<&Value> = jobs.iter().map(|job| &job["id"]).collect();
    assert_eq!(ids, [&failed, &doubt, &pending], "all but those that are done");
    for job in jobs {
        let fields = job.as_object().expect("an object");
        for field in ["id", "breaker", "state", "attempts", "enqueued_at", "key", "program"] {
            assert!(fields.contains_key(field), "{field}: {job}");
        }
        assert_eq!(job["breaker"], "pay");
        assert_eq!(job["program"], "sh");
        let at = job["enqueued_at"].as_str().expect("a time");
        assert!(at.starts_with("20") && at.contains('T') && at.ends_with('Z'), "{at}");
    }
    assert_eq!(jobs[0]["attempts"], 1);
    assert_eq!(jobs[0]["key"], Value::Null);
    assert_eq!(jobs[2]["key"], "order-2");
    assert!(!ran.stdout_text().contains("secret-argument"));

    let table = cb.run(["queue", "list"]).code(0).stderr("").stdout_text();
    assert!(table.contains(&pending) && !table.contains(&done), "{table}");
    assert!(!table.contains("secret-argument"), "{table}");
    assert!(table.starts_with("ID"), "{table}");
    let table = cb.run(["queue", "list", "--state", "done", "p*"]).code(0).stdout_text();
    assert!(table.contains(&done) && !table.contains(&failed), "{table}");
    cb.run(["queue", "list", "other"]).code(0).stdout("").one_line("no jobs");
    let none = cb.run(["queue", "list", "--json", "other"]).code(0).stdout_text();
    let none: Value = serde_json::from_str(&none).expect("JSON");
    assert_eq!(none["jobs"], Value::Array(Vec::new()));
}

#[test]
fn show_keeps_secrets_unless_it_is_asked_for_them() {
    let cb = manual();
    let mut add = cb.adding(&["--queue-env", "API_TOKEN"], ["curl", "--data", "card=4111"]);
    add.env("API_TOKEN", "hunter2");
    let id = id_of(&bounded(add).code(0));
    for json in [&[][..], &["--json"]] {
        let show = |more: &[&str]| {
            let words = [&["queue", "show", &id], json, more].concat();
            cb.run(words).code(0).stderr("").stdout_text()
        };
        let text = show(&[]);
        assert!(text.contains("curl") && text.contains("API_TOKEN"), "{text}");
        assert!(!text.contains("4111") && !text.contains("hunter2"), "{text}");
        assert!(
            text.contains("[2 arguments]") || text.contains("\"hidden_arguments\": 2"),
            "{text}"
        );
        let text = show(&["--reveal"]);
        assert!(text.contains("card=4111") && text.contains("hunter2"), "{text}");
    }
}

#[test]
fn status_tells_what_waits() {
    let cb = manual();
    one_of_each(&cb);
    let queue = cb.status("pay")["queue"].clone();
    for (state, count) in [("pending", 1), ("running", 0), ("failed", 1), ("doubt", 1)] {
        assert_eq!(queue[state], count, "{queue}");
    }
    let table = cb.run(["status"]).code(0).stdout_text();
    assert!(table.contains("QUEUE"), "{table}");
    let line = table.lines().nth(1).expect("a line");
    assert!(line.contains(" 1 +1 in doubt +1 failed "), "{table}");
}

#[test]
fn jobs_are_sent_back_dropped_and_purged() {
    let cb = manual();
    let [pending, done, failed, doubt] = one_of_each(&cb);
    for (id, state) in [(&pending, "pending"), (&done, "done")] {
        cb.run(["queue", "retry", id])
            .code(125)
            .stdout("")
            .one_line(&format!("job {id} is {state}"));
    }
    let told =
        format!("{failed}: waits for its next attempt\n{doubt}: waits for its next attempt\n");
    cb.run(["queue", "retry", &failed, &doubt]).code(0).stdout(&told).stderr("");
    assert_eq!(cb.states(), ["done", "pending", "pending", "pending"]);
    cb.run(["queue", "drop", &doubt, &pending]).code(0).stderr("");
    assert_eq!(cb.states(), ["done", "pending"]);
    cb.run(["queue", "drop", &doubt]).code(125).stdout("").one_line(&format!("no job {doubt}"));
    cb.drain(&[]).code(0).stdout("pay: 1 given up\n");
    assert_eq!(cb.shown(&failed)["attempts"], 2);
    cb.run(["queue", "purge", "pay"]).code(0).stdout("pay: 1 job removed\n");
    cb.run(["queue", "purge", "--state", "failed", "--state", "doubt", "pay"])
        .code(0)
        .stdout("pay: 1 job removed\n");
    assert!(cb.jobs().is_empty());
    for folder in ["tmp", "pending", "running", "done", "failed", "doubt", "keys", "log"] {
        assert_eq!(names_in(&cb.queue(folder)), [""; 0], "{folder}");
    }
}

#[test]
fn what_is_wrong_with_one_id_takes_nothing_from_those_before_it() {
    let cb = Cb::new();
    cb.run(["trip", "pay"]).code(0);
    let id = cb.add_sh(&["--max-attempts", "1"], "test -e up");
    cb.run(["reset", "pay"]).code(0);
    eventually("it has failed", || cb.states() == ["failed"]);
    cb.rested("pay");
    cb.touch("up");
    let absent = "01arz3ndektsv4rrffq69g5fav";
    cb.run(["queue", "retry", &id, absent])
        .code(125)
        .stdout(&format!("{id}: waits for its next attempt\n"))
        .one_line(&format!("no job {absent}"));
    eventually("it is done", || cb.states() == ["done"]);
    cb.rested("pay");
    let told = format!("{id}: dropped\n");
    cb.run(["queue", "drop", &id, absent]).code(125).stdout(&told).one_line(absent);
}

#[test]
fn a_breaker_that_cannot_be_used_hides_no_job_of_another() {
    let cb = manual();
    let id = cb.add_sh(&["--max-attempts", "1"], "exit 3");
    cb.drain(&[]).code(0);
    cb.run(["queue", "add", "a-bad-one", "true"]).code(0);
    let bad = cb.store().join("a-bad-one");
    fs::set_permissions(&bad, fs::Permissions::from_mode(0o777)).expect("a mode");
    cb.run(["queue", "show", &id]).code(0).stdout_has(&id).stderr("");
    cb.run(["queue", "retry", &id]).code(0).stderr("");
    cb.run(["queue", "retry", &id]).code(125).one_line(&format!("job {id} is pending"));
    cb.run(["queue", "drop", &id]).code(0).stderr("");
    // It may have been in the one that cannot be looked into.
    cb.run(["queue", "drop", &id]).code(125).one_line("a-bad-one");
}

#[test]
fn the_list_says_what_a_job_waits_for() {
    let cb = manual();
    let id = cb.add_sh(&["--attempt-delay", "1h"], "exit 1");
    let next = || {
        let table = cb.run(["queue", "list"]).code(0).stdout_text();
        let at = table.find("NEXT").expect("a column");
        table.lines().nth(1).expect("a line")[at..].to_owned()
    };
    assert_eq!(next(), "due");
    cb.run(["trip", "pay"]).code(0);
    assert_eq!(next(), "when the breaker admits it");
    cb.run(["reset", "pay"]).code(0);
    assert_eq!(next(), "due");
    cb.drain(&[]).code(0);
    assert!(next().starts_with("in "), "{}", next());
    cb.run(["trip", "pay"]).code(0);
    assert!(next().starts_with("in "), "{}", next());
    assert_eq!(cb.state_of(&id), "pending");
}

#[test]
fn a_breaker_with_jobs_is_not_removed() {
    let cb = manual();
    let id = cb.add(&[], ["true"]);
    cb.exec("pay", ["true"]).code(0);
    cb.run(["rm", "pay"]).code(125).stdout("").one_line("pay has 1 queued job (1 pending)");
    assert_eq!(cb.state_of(&id), "pending");
    cb.drain(&[]).code(0).stdout("pay: 1 done\n");
    cb.run(["rm", "pay"]).code(0).stderr("");
    assert!(!cb.store().join("pay").exists());
    cb.add(&[], ["true"]);
    cb.drain(&[]).code(0).stdout("pay: 1 done\n");
}
