//! `cb exec` on a terminal: keys, job control, and who has the foreground.

use std::fs;
use std::process::Command;

use crate::live::{Live, alive, stat, state};
use crate::pty::{CTRL_BACKSLASH, CTRL_C, CTRL_D, CTRL_Z, Pty};
use crate::support::{Cb, binary, eventually};

/// Without a group of the child's own, with one, and with a limit but no group;
/// and the first two with its output through cb.
const ALL: [&str; 5] = [
    "",
    "--timeout 100",
    "--timeout 100 --foreground",
    "--on-open cache",
    "--timeout 100 --on-open cache",
];
/// Those of them where the command itself writes to the terminal.
const WRITERS: [&str; 3] = [ALL[0], ALL[1], ALL[2]];

/// The field of a process's stat that is its group.
const GROUP: usize = 5;

/// A program that says where it is, and runs until the test lets it end.
const LINGER: &str = "echo $$ > pid; read _ < go; exit 7";

#[track_caller]
fn counted(cb: &Cb, expected: [u64; 3]) {
    let totals = ["succeeded", "failed", "ignored"].map(|which| cb.total("x", which));
    assert_eq!(totals, expected, "succeeded, failed, ignored");
}

fn script(cb: &Cb, text: &str) {
    fs::write(cb.path("script"), text).expect("a script");
}

/// Makes [`LINGER`] the script.
fn lingers(cb: &Cb) {
    cb.gate("go");
    script(cb, LINGER);
}

#[test]
fn what_is_typed_ends_the_command_and_the_shell_goes_on() {
    for (key, status) in [(CTRL_C, "130"), (CTRL_BACKSLASH, "131")] {
        for options in ALL {
            let cb = Cb::new();
            script(&cb, "ulimit -c 0; echo $$ > pid; exec sleep 60");
            let mut bash = Pty::bash(&cb);
            bash.line(&format!("\"$CB\" exec {options} x -- sh script; echo st=$?"));
            let child = cb.pid("pid");
            if key == CTRL_BACKSLASH {
                bash.types(key);
            } else {
                bash.interrupt();
                // bash gives up the whole line, as it does without cb.
                bash.line("echo st=$?");
            }
            bash.sees(&format!("st={status}"));
            eventually("the child is gone", || !alive(child));
            counted(&cb, [0, 0, 1]);
            bash.line("exit 4");
            assert_eq!(bash.end().code(), Some(4));
        }
    }
}

#[test]
fn ctrl_c_reaches_the_command_once() {
    for options in ALL {
        let cb = Cb::new();
        let wait = "echo $$ > pid; while [ ! -e go ] && [ -e $PWD ]; do sleep 0.02; done; exit 7";
        script(&cb, &format!("trap 'echo got >> got' INT\n{wait}"));
        let mut command = Command::new("sh");
        cb.environ(&mut command);
        let outer = format!("trap : INT; \"$CB\" exec {options} x -- sh script; exit $?");
        command.args(["-c", &outer]).env("CB", binary()).current_dir(cb.path(""));
        let mut pty = Pty::start(command);
        cb.pid("pid");
        for sent in 1..=4 {
            pty.types(CTRL_C);
            eventually("it arrives", || cb.lines("got").len() >= sent);
        }
        cb.touch("go");
        assert_eq!(pty.end().code(), Some(7), "{options}");
        assert_eq!(cb.lines("got").len(), 4, "{options}");
        // It was asked to end, and left with a code of its own.
        counted(&cb, [0, 0, 1]);
    }
}

#[test]
fn ctrl_c_ends_a_script_together_with_its_command() {
    for options in ALL {
        let cb = Cb::new();
        script(&cb, "echo $$ > pid; exec sleep 60");
        let mut bash = Pty::bash(&cb);
        bash.line(&format!("sh -c '\"$CB\" exec {options} x -- sh script; touch after; exit 9'"));
        let child = cb.pid("pid");
        bash.interrupt();
        bash.line("echo st=$?");
        bash.sees("st=130");
        assert!(!alive(child) && !cb.path("after").exists(), "{options}");
        counted(&cb, [0, 0, 1]);
    }
}

#[test]
fn ctrl_z_stops_it_and_fg_goes_on() {
    for options in ALL {
        let cb = Cb::new();
        lingers(&cb);
        let mut bash = Pty::bash(&cb);
        bash.line(&format!("\"$CB\" exec {options} x -- sh script"));
        let child = cb.pid("pid");
        for _ in 0..2 {
            bash.types(CTRL_Z);
            bash.sees("Stopped");
            eventually("the child is stopped", || state(child) == Some('T'));
            eventually("bash has the terminal", || bash.foreground() == bash.pid());
            bash.line("echo st=$?");
            bash.sees("st=148");
            bash.line("fg");
            eventually("the child goes on", || state(child) != Some('T'));
        }
        cb.open_gate("go");
        // fg ends with the status of its job.
        bash.line("echo st=$?");
        bash.sees("st=7");
        counted(&cb, [0, 1, 0]);
    }
}

#[test]
fn a_stopped_job_goes_on_in_the_background() {
    for options in ALL {
        let cb = Cb::new();
        lingers(&cb);
        let mut bash = Pty::bash(&cb);
        bash.line(&format!("\"$CB\" exec {options} x -- sh script"));
        let child = cb.pid("pid");
        bash.types(CTRL_Z);
        bash.sees("Stopped");
        bash.line("bg");
        eventually("the child goes on", || matches!(state(child), Some('S' | 'R')));
        eventually("bash has the terminal", || bash.foreground() == bash.pid());
        cb.open_gate("go");
        bash.line("wait %1; echo st=$?");
        bash.sees("st=7");
        counted(&cb, [0, 1, 0]);
    }
}

#[test]
fn a_background_job_that_reads_the_terminal_waits_for_fg() {
    for options in ALL {
        let cb = Cb::new();
        script(&cb, "echo $$ > pid; read line; echo \"got=$line\" > got; exit 7");
        let mut bash = Pty::bash(&cb);
        bash.line(&format!("\"$CB\" exec {options} x -- sh script & echo $! > cb"));
        let (child, ours) = (cb.pid("pid"), cb.pid("cb"));
        eventually("it is stopped", || state(child) == Some('T') && state(ours) == Some('T'));
        assert_eq!(bash.foreground(), bash.pid());
        bash.line("fg");
        eventually("the child goes on", || state(child) != Some('T'));
        bash.line("hello");
        eventually("it read the line", || cb.lines("got") == ["got=hello"]);
        bash.line("echo st=$?");
        bash.sees("st=7");
    }
}

#[test]
fn a_command_reads_what_is_typed() {
    for options in ALL {
        let cb = Cb::new();
        script(&cb, "echo $$ > pid; cat > typed; exit 7");
        let mut bash = Pty::bash(&cb);
        bash.line(&format!("\"$CB\" exec {options} x -- sh script; echo st=$?"));
        cb.pid("pid");
        bash.line("one");
        bash.line("two");
        bash.types(CTRL_D);
        bash.sees("st=7");
        assert_eq!(cb.lines("typed"), ["one", "two"]);
    }
}

#[test]
fn with_a_timeout_the_childs_group_has_the_foreground() {
    let cb = Cb::new();
    lingers(&cb);
    let mut bash = Pty::bash(&cb);
    for (options, own) in
        [("", false), ("--timeout 100", true), ("--timeout 100 --foreground", false)]
    {
        bash.line(&format!("\"$CB\" exec {options} x -- sh script; echo st=$?"));
        let child = cb.pid("pid");
        assert_eq!(bash.foreground(), stat(child, GROUP), "{options}");
        assert_eq!(stat(child, GROUP) == child, own, "{options}");
        cb.open_gate("go");
        bash.sees("st=7");
        eventually("bash has the terminal", || bash.foreground() == bash.pid());
        fs::remove_file(cb.path("pid")).unwrap();
    }
}

#[test]
fn the_foreground_is_given_back_after_every_end() {
    for options in ["", "--timeout 100", "--timeout 0.1 -k 0.1"] {
        for command in ["true", "no-such-command", "sh -c \"kill -9 \\$\\$\"", "sleep 0.3"] {
            let cb = Cb::new();
            // A shell without job control does not take it back by itself. In
            // the background it would not be let to write to the file's owner.
            let text = format!(
                "\"$CB\" exec -q {options} x -- {command}\n\
                 cut -d' ' -f5,8 /proc/self/stat > groups\nread line\necho \"got=$line\" > got"
            );
            script(&cb, &text);
            let mut outer = Command::new("sh");
            cb.environ(&mut outer);
            outer.arg("script").env("CB", binary()).current_dir(cb.path(""));
            let mut pty = Pty::start(outer);
            pty.line("hello");
            eventually("it reads", || cb.lines("got") == ["got=hello"]);
            let groups = cb.lines("groups").join("");
            let (mine, foreground) = groups.split_once(' ').unwrap();
            assert_eq!(mine, foreground, "{options} {command}");
            assert!(pty.end().success());
        }
    }
}

#[test]
fn a_script_of_a_shell_keeps_its_foreground() {
    // Here cb does not lead its group, so that group keeps the terminal: others
    // in it may need it. A child that asks for it gets it, and gives it back.
    let cb = Cb::new();
    let text = "\
        \"$CB\" exec --timeout 100 x -- sh -c 'read line; echo \"one=$line\" >> got; exit 3'\n\
        echo \"st=$?\" >> got; read line; echo \"two=$line\" >> got\n";
    script(&cb, text);
    let mut bash = Pty::bash(&cb);
    bash.line("sh script; echo st=$?");
    bash.line("hello");
    eventually("the command reads", || cb.lines("got").len() >= 2);
    bash.line("again");
    bash.sees("st=0");
    assert_eq!(cb.lines("got"), ["one=hello", "st=3", "two=again"]);
}

#[test]
fn it_works_in_a_pipeline() {
    let cb = Cb::new();
    fs::write(cb.path("file"), "one\ntwo\n").unwrap();
    let mut bash = Pty::bash(&cb);
    for options in ALL {
        bash.line(&format!("\"$CB\" exec {options} x -- cat file | cat | wc -l | sed s/^/n=/"));
        bash.sees("n=2");
        bash.line(&format!("cat file | \"$CB\" exec {options} x -- cat | wc -l | sed s/^/n=/"));
        bash.sees("n=2");
        bash.line(&format!("\"$CB\" exec {options} x -- cat < file | (read line; echo st=$line)"));
        bash.sees("st=one");
        bash.line(&format!("for i in 1 2 3; do \"$CB\" exec {options} x -- printf .$i; done"));
        bash.sees(".1.2.3");
    }
    bash.line("exit");
    assert!(bash.end().success());
    cb.is("x", "closed");
}

#[test]
fn ctrl_c_ends_a_pipeline() {
    for options in ALL {
        let cb = Cb::new();
        script(&cb, "echo $$ > pid; exec sleep 60");
        let mut bash = Pty::bash(&cb);
        bash.line(&format!("\"$CB\" exec {options} x -- sh script | cat"));
        let child = cb.pid("pid");
        bash.interrupt();
        bash.line("echo st=$?");
        bash.sees("st=130");
        eventually("the child is gone", || !alive(child));
        eventually("it is counted", || cb.total("x", "ignored") == 1);
    }
}

#[test]
fn ctrl_z_stops_pipelines_and_scripts_as_a_whole() {
    for options in ALL {
        for line in [
            format!("\"$CB\" exec {options} x -- sh script | cat"),
            format!("cat | \"$CB\" exec {options} x -- sh script"),
            format!("sh -c '\"$CB\" exec {options} x -- sh script; exit $?'"),
        ] {
            let cb = Cb::new();
            lingers(&cb);
            let mut bash = Pty::bash(&cb);
            bash.line("set -o pipefail");
            bash.line(&line);
            let child = cb.pid("pid");
            bash.types(CTRL_Z);
            bash.sees("Stopped");
            eventually("the child is stopped", || state(child) == Some('T'));
            bash.line("fg");
            eventually("the child goes on", || state(child) != Some('T'));
            cb.open_gate("go");
            eventually("the child is gone", || !alive(child));
            if line.starts_with("cat") {
                bash.types(CTRL_D);
            }
            bash.line("echo st=$?");
            bash.sees("st=7");
            counted(&cb, [0, 1, 0]);
        }
    }
}

#[test]
fn a_shell_in_a_breaker_has_job_control() {
    for options in ALL {
        let cb = Cb::new();
        lingers(&cb);
        let mut bash = Pty::bash(&cb);
        let inner = "bash --norc --noprofile --noediting -i";
        bash.line(&format!("\"$CB\" exec {options} x -- {inner}"));
        bash.line("sh script; echo st=$?");
        let child = cb.pid("pid");
        assert_eq!(bash.foreground(), child, "the inner shell gave it the terminal");
        bash.types(CTRL_Z);
        bash.sees("Stopped");
        eventually("the child is stopped", || state(child) == Some('T'));
        bash.line("fg");
        eventually("the child goes on", || state(child) != Some('T'));
        bash.interrupt();
        eventually("the child is gone", || !alive(child));
        bash.line("exit 5");
        bash.line("echo st=$?");
        bash.sees("st=5");
        eventually("bash has the terminal", || bash.foreground() == bash.pid());
        counted(&cb, [0, 1, 0]);
    }
}

#[test]
fn a_command_substitution_reads_what_is_typed() {
    for options in ALL {
        let cb = Cb::new();
        let mut bash = Pty::bash(&cb);
        script(&cb, "echo $$ > pid; read line; echo \"got=$line\"; exit 7");
        bash.line(&format!("v=$(\"$CB\" exec {options} x -- sh script); echo st=$?,$v"));
        cb.pid("pid");
        bash.line("hello");
        bash.sees("st=7,got=hello");
        eventually("bash has the terminal", || bash.foreground() == bash.pid());
        fs::remove_file(cb.path("pid")).unwrap();
        bash.line(&format!("v=$(\"$CB\" exec {options} x -- sh script); echo late"));
        cb.pid("pid");
        bash.interrupt();
        bash.line("echo st=$?");
        bash.sees("st=130");
        counted(&cb, [0, 1, 1]);
    }
}

#[test]
fn a_kill_of_the_job_is_a_persons_doing() {
    for options in ALL {
        let cb = Cb::new();
        script(&cb, "echo $$ > pid; exec sleep 60");
        let mut bash = Pty::bash(&cb);
        bash.line(&format!("\"$CB\" exec {options} x -- sh script &"));
        let child = cb.pid("pid");
        bash.line("kill %1; wait %1; echo st=$?");
        bash.sees("st=143");
        assert!(!alive(child));
        counted(&cb, [0, 0, 1]);
    }
}

#[test]
fn a_time_that_is_up_ends_a_command_on_a_terminal() {
    let cb = Cb::new();
    let mut bash = Pty::bash(&cb);
    for options in ["--timeout 0.2", "--timeout 0.2 --foreground"] {
        bash.line(&format!("\"$CB\" exec {options} x -- sleep 60; echo st=$?"));
        bash.sees("cb: x: timed out after 200ms");
        bash.sees("st=124");
        eventually("bash has the terminal", || bash.foreground() == bash.pid());
    }
    bash.line("\"$CB\" exec --timeout 0.2 x -- cat; echo st=$?");
    bash.sees("st=124");
    counted(&cb, [0, 3, 0]);
}

#[test]
fn a_hang_up_is_a_persons_doing_also_with_a_timeout() {
    for options in ALL {
        let cb = Cb::new();
        script(&cb, "echo $$ > pid; exec sleep 60");
        let mut bash = Pty::bash(&cb);
        bash.line(&format!("\"$CB\" exec {options} x -- sh script"));
        let child = cb.pid("pid");
        bash.hang_up();
        eventually("the child is gone", || !alive(child));
        eventually("it is counted", || cb.total("x", "ignored") + cb.total("x", "failed") > 0);
        counted(&cb, [0, 0, 1]);
    }
}

#[test]
fn cb_can_lead_the_session() {
    for options in ALL {
        let cb = Cb::new();
        script(&cb, "echo $$ > pid; read line; echo \"got=$line\"; exec sleep 60");
        let mut command = cb.command(["exec"]);
        command.args(options.split_whitespace()).args(["x", "--", "sh", "script"]);
        command.current_dir(cb.path(""));
        let mut pty = Pty::start(command);
        cb.pid("pid");
        pty.line("hello");
        pty.sees("got=hello");
        pty.types(CTRL_C);
        let status = pty.end();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGINT));
        counted(&cb, [0, 0, 1]);
    }
}

#[test]
fn output_of_a_background_job_under_tostop_waits_for_fg() {
    for options in WRITERS {
        let cb = Cb::new();
        script(&cb, "echo $$ > pid; echo out\"\"put; exit 7");
        let mut bash = Pty::bash(&cb);
        bash.line("stty tostop");
        bash.line(&format!("\"$CB\" exec {options} x -- sh script & echo $! > cb"));
        let (child, ours) = (cb.pid("pid"), cb.pid("cb"));
        eventually("it is stopped", || state(child) == Some('T') && state(ours) == Some('T'));
        bash.line("fg");
        bash.sees("output");
        bash.line("echo st=$?");
        bash.sees("st=7");
    }
}

#[test]
fn without_a_terminal_a_timeout_works_as_well() {
    let cb = Cb::new();
    let mut command = Command::new("setsid");
    cb.environ(&mut command);
    command.arg("--wait").arg(binary()).args(["exec", "--timeout", "0.2", "x", "sleep", "60"]);
    Live::start(command).end().code(124).one_line("timed out");
}
