//! The documentation is held to the program. What a fence means:
//!
//! | fence | what is done with it |
//! |---|---|
//! | `sh` | run by bash, in a place of its own; it must end with 0 |
//! | `text` right after `sh` | what that prints |
//! | `console` | commands after `$ `, each with what it prints, run in turn |
//! | `bash` | parsed: by bash, and what begins with `cb ` by cb |
//! | `toml` | a config file that cb accepts |
//! | `python` | run, where there is Python; it must end with 0 |
//! | `json` | a JSON value on each line |
//!
//! Times, tokens, ids, and the name of the user differ from run to run; what else
//! is printed must be what the page says. In these places `curl` is a program
//! that fails, so nothing here needs a network.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cb::cli::{self, Stop};
use cb::exit;
use cb::settings::probe::ProbeKey;
use cb::settings::{Key, Settings};

use crate::support::{Cb, Ran, binary, skipped};

/// A page of the documentation.
struct Page {
    path: PathBuf,
    text: String,
}

/// A fenced block of a page.
struct Block<'a> {
    fence: &'a str,
    body: String,
    /// Where it begins, for messages.
    place: String,
}

impl Page {
    fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let text = fs::read_to_string(&path).expect("a page");
        Page { path, text }
    }

    /// Every page: those at the top, and those in docs.
    fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut pages = Vec::new();
        for dir in ["", "docs"] {
            for entry in fs::read_dir(root.join(dir)).into_iter().flatten() {
                let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
                if name.ends_with(".md") {
                    pages.push(Page::read(&Path::new(dir).join(name).to_string_lossy()));
                }
            }
        }
        assert!(pages.len() >= 4, "the pages are not where they should be");
        pages
    }

    fn blocks(&self) -> Vec<Block<'_>> {
        let name = self.path.file_name().expect("a name").to_string_lossy();
        let mut blocks: Vec<Block<'_>> = Vec::new();
        let mut open = false;
        for (index, line) in self.text.lines().enumerate() {
            match line.strip_prefix("```") {
                Some("") if open => open = false,
                Some(fence) => {
                    open = true;
                    let place = format!("{name}:{}", index + 1);
                    blocks.push(Block { fence, body: String::new(), place });
                }
                None if open => {
                    let block = blocks.last_mut().expect("one is open");
                    block.body.push_str(line);
                    block.body.push('\n');
                }
                None => {}
            }
        }
        assert!(!open, "{name}: a block has no end");
        blocks
    }

    /// The cells of the tables whose first head is this: a row each, without
    /// the heads.
    #[track_caller]
    fn table(&self, head: &str) -> Vec<Vec<String>> {
        let begin = |line: &&str| cells(line).first().is_some_and(|cell| cell == head);
        let lines = self.text.lines().skip_while(|line| !begin(line)).skip(2);
        let rows: Vec<_> = lines.take_while(|line| line.starts_with('|')).map(cells).collect();
        assert!(!rows.is_empty(), "no table '{head}' in {}", self.path.display());
        rows
    }

    /// The anchors of its headings, as GitHub makes them.
    fn anchors(&self) -> BTreeSet<String> {
        let heading = |line: &str| line.strip_prefix('#').map(anchor);
        self.text.lines().filter_map(heading).collect()
    }
}

fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().replace(' ', "-")
}

fn cells(line: &str) -> Vec<String> {
    let Some(line) = line.strip_prefix('|') else { return Vec::new() };
    let line = line.trim_end().trim_end_matches('|');
    line.split('|').map(|cell| cell.trim().replace('`', "")).collect()
}

/// A cb with a folder to work in, and a PATH where it is and where curl fails.
struct Desk(Cb);

impl Desk {
    fn new() -> Self {
        let cb = Cb::new();
        for dir in ["bin", "work"] {
            fs::create_dir(cb.path(dir)).expect("a directory");
        }
        let curl = cb.path("bin/curl");
        fs::write(&curl, "#!/bin/sh\nexit 7\n").expect("a script");
        fs::set_permissions(&curl, fs::Permissions::from_mode(0o755)).expect("a mode");
        std::os::unix::fs::symlink(binary(), cb.path("bin/cb")).expect("a link");
        Desk(cb)
    }

    fn command(&self, program: &str) -> Command {
        let mut path = self.0.path("bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new(program);
        self.0.environ(&mut command);
        command.env("PATH", path).current_dir(self.0.path("work"));
        command.env("TMPDIR", self.0.path("work"));
        command
    }

    /// What bash makes of this, stderr among stdout.
    fn bash(&self, script: &str) -> Ran {
        let mut bash = self.command("bash");
        bash.args(["-c", &format!("exec 2>&1\n{script}")]);
        Ran::of(bash)
    }
}

#[test]
fn scripts_run_and_print_what_the_page_says() {
    for page in Page::all() {
        let blocks = page.blocks();
        for (index, block) in blocks.iter().enumerate().filter(|(_, block)| block.fence == "sh") {
            let ran = Desk::new().bash(&block.body);
            let (place, said) = (&block.place, ran.stdout_text());
            assert!(ran.status().success(), "{place}: {ran}");
            assert!(!said.contains("see 'cb"), "{place}: {said}");
            if let Some(expected) = blocks.get(index + 1).filter(|next| next.fence == "text") {
                assert_same(place, &block.body, &said, &expected.body);
            }
        }
    }
}

#[test]
fn sessions_print_what_the_page_says() {
    for page in Page::all() {
        for block in page.blocks().iter().filter(|block| block.fence == "console") {
            let (commands, expected) = session(&block.body);
            // Says where a command begins, and leaves $? as it was.
            let mut script = "mark() { local s=$?; echo \"@@ $1\"; return $s; }\n".to_owned();
            for (number, command) in commands.iter().enumerate() {
                script.push_str(&format!("mark {number}\n{command}\n"));
            }
            let said = Desk::new().bash(&script).stdout_text();
            for (number, (command, expected)) in commands.iter().zip(&expected).enumerate() {
                let mark = format!("@@ {number}\n");
                let (_, after) = said.split_once(&mark).expect("each command leaves its mark");
                let said = after.split("@@ ").next().unwrap_or_default();
                assert_same(&block.place, command, said, expected);
            }
        }
    }
}

/// The commands of a session, and what each prints.
fn session(body: &str) -> (Vec<&str>, Vec<String>) {
    let (mut commands, mut printed) = (Vec::new(), Vec::<String>::new());
    for line in body.lines() {
        match (line.strip_prefix("$ "), printed.last_mut()) {
            (Some(command), _) => {
                commands.push(command);
                printed.push(String::new());
            }
            (None, Some(printed)) => {
                printed.push_str(line);
                printed.push('\n');
            }
            (None, None) => panic!("a session begins with a command: {line}"),
        }
    }
    (commands, printed)
}

#[track_caller]
fn assert_same(place: &str, command: &str, said: &str, expected: &str) {
    // A simulation knows no clock: it is the same to the letter.
    let normal = |text: &str| match command.contains("cb simulate") {
        true => text.to_owned(),
        false => text.lines().map(normal_line).collect(),
    };
    assert_eq!(normal(said), normal(expected), "{place}: {command}\nprinted:\n{said}");
}

/// The line without what differs from run to run.
fn normal_line(line: &str) -> String {
    let mut normal = String::new();
    let mut before = "";
    // A user without a name is two words.
    let line = line.replace("by uid ", "by ");
    for word in line.split_whitespace() {
        let bare = word.trim_end_matches([',', ';', ':', ')']);
        let tail = &word[bare.len()..];
        normal.push_str(match bare {
            _ if is_time(bare) => "TIME",
            _ if before.ends_with("by") => "USER",
            _ if bare.starts_with("cb1-") => "TOKEN",
            _ if is_job(bare) => "JOB",
            _ => bare,
        });
        normal.push_str(tail);
        normal.push(' ');
        before = word;
    }
    for field in ["\"duration_ms\":", "\"retry_after_ms\":"] {
        if let Some((head, rest)) = normal.split_once(field) {
            normal = format!("{head}{field}{}", rest.trim_start_matches(|c: char| c.is_numeric()));
        }
    }
    normal.push('\n');
    normal
}

/// Whether a word is the id of a job.
fn is_job(word: &str) -> bool {
    word.len() == 26 && word.starts_with("01") && word.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Whether a word is a time as cb prints it: `250ms`, `1m30s`, `0.4ms`.
fn is_time(word: &str) -> bool {
    let unit = |c: char| "smhd".contains(c);
    word.starts_with(|c: char| c.is_ascii_digit())
        && word.ends_with(unit)
        && word.chars().all(|c| c.is_ascii_digit() || c == '.' || unit(c))
}

#[test]
fn commands_that_are_only_shown_are_understood() {
    for page in Page::all() {
        for block in page.blocks() {
            if block.fence == "bash" {
                let mut parse = Command::new("bash");
                parse.args(["-n", "-c", &block.body]).stdin(Stdio::null());
                assert!(Ran::of(parse).status().success(), "{}: bash", block.place);
                understood(&block.place, &block.body);
            }
        }
    }
}

#[test]
fn the_examples_of_help_are_understood() {
    let root = cli::command();
    for command in root.get_subcommands().chain([&root]) {
        understood(command.get_name(), &examples(command).expect("each command has examples"));
        for below in command.get_subcommands() {
            understood(below.get_name(), &examples(below).unwrap_or_default());
        }
    }
}

fn examples(command: &clap::Command) -> Option<String> {
    let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    help.split("\n\n").find(|section| section.starts_with("Examples:")).map(str::to_owned)
}

/// Every line that begins with `cb `: cb knows its words.
fn understood(place: &str, text: &str) {
    for line in text.lines().map(str::trim).filter(|line| line.starts_with("cb ")) {
        match cli::parse(words(line)) {
            Err(Stop::Usage(message)) => panic!("{place}: {line}: {message}"),
            Ok(_) | Err(Stop::Text(_)) => {}
        }
    }
}

/// The words of a plain command line, up to what is the shell's: a pipe, a
/// redirection, a comment, a remark after a wide gap.
fn words(line: &str) -> Vec<OsString> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let line = line.split("   ").next().unwrap_or_default();
    for c in line.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('|' | ';' | '&' | '<' | '>' | '#' | ')', None) => break,
            (' ', None) => words.extend(word.take().map(OsString::from)),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word.map(OsString::from));
    words
}

#[test]
fn config_files_are_accepted() {
    for page in Page::all() {
        for block in page.blocks().iter().filter(|block| block.fence == "toml") {
            let ran = Cb::new().config(&block.body).run(["config", "check"]);
            assert!(ran.status().success(), "{}: {ran}", block.place);
            assert!(!ran.stdout_text().contains("warning"), "{}: {ran}", block.place);
        }
    }
}

#[test]
fn python_runs() {
    for page in Page::all() {
        for block in page.blocks().iter().filter(|block| block.fence == "python") {
            let desk = Desk::new();
            let mut there = desk.command("python3");
            if !there.args(["-c", ""]).output().is_ok_and(|output| output.status.success()) {
                return skipped("python3 is not installed");
            }
            let mut python = desk.command("python3");
            python.args(["-c", &block.body]);
            Ran::of(python).code(0).stderr("");
            assert_eq!(desk.0.status("api")["totals"]["succeeded"], 1, "{}", block.place);
        }
    }
}

#[test]
fn json_is_json() {
    for page in Page::all() {
        for block in page.blocks().iter().filter(|block| block.fence == "json") {
            for line in block.body.lines() {
                let value: Result<serde_json::Value, _> = serde_json::from_str(line);
                assert!(value.is_ok(), "{}: {line}", block.place);
            }
        }
    }
}

#[test]
fn the_policy_table_is_that_of_the_code() {
    let defaults = Settings::default();
    let code: Vec<_> = Key::ALL
        .map(|key| (key.name().to_owned(), defaults.value(key).to_string()))
        .into_iter()
        .collect();
    let rows = Page::read("README.md").table("key");
    let page: Vec<_> = rows.iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(page, code);
    let in_depth = Page::read("docs/policy.md").anchors();
    for (name, _) in code {
        assert!(in_depth.contains(&name), "docs/policy.md has no heading {name}");
    }
}

#[test]
fn the_table_of_probes_is_that_of_the_code() {
    let fits = |key: ProbeKey| {
        let kinds = || ProbeKey::kinds().filter(move |kind| key.fits(*kind));
        match kinds().count() == ProbeKey::kinds().count() {
            true => "all".to_owned(),
            false => kinds().map(ProbeKey::name).collect::<Vec<_>>().join(", "),
        }
    };
    let row = |key: ProbeKey| [key.name().into(), key.default_text().into(), fits(key)];
    let code: Vec<[String; 3]> = ProbeKey::ALL.map(row).into();
    let rows = Page::read("docs/probes.md").table("key");
    let page: Vec<_> =
        rows.iter().map(|row| [row[0].clone(), row[1].clone(), row[2].clone()]).collect();
    assert_eq!(page, code);
}

#[test]
fn the_exit_statuses_are_those_of_the_code() {
    let page = Page::read("README.md");
    let mut tables = page.text.split("| status |").skip(1).map(|table| {
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|')).map(cells);
        rows.map(|row| row[0].parse().expect("a number")).collect::<Vec<i32>>()
    });
    let own = [
        exit::REJECTED.into(),
        exit::QUEUED.into(),
        exit::TIMED_OUT,
        exit::OWN_ERROR,
        exit::NOT_EXECUTABLE,
        exit::NOT_FOUND,
        exit::KILLED,
    ];
    assert_eq!(tables.next().expect("the table of cb exec"), own);
    let check =
        [exit::OK, exit::CHECK_TRIAL, exit::CHECK_OPEN, exit::CHECK_UNKNOWN, exit::OWN_ERROR];
    assert_eq!(tables.next().expect("the table of status --check"), check);
}

#[test]
fn where_standard_input_is_read_to_its_end_it_says_how_to_give_none() {
    let cb = Cb::new();
    for words in [&["exec", "--help"][..], &["queue", "add", "--help"]] {
        cb.run(words).code(0).stdout_has("'</dev/null'").stdout_has("to its end");
    }
    for page in ["README.md", "docs/policy.md", "docs/queue.md"] {
        assert!(Page::read(page).text.contains("</dev/null"), "{page}");
    }
}

#[test]
fn the_variables_that_a_job_finds_are_named() {
    let cb = Cb::new().config("[defaults]\ndrain = \"manual\"\n");
    cb.run(["queue", "add", "pay", "env"]).code(0);
    cb.run(["queue", "run", "pay"]).code(0);
    let logs = fs::read_dir(cb.store().join("pay/queue/log")).expect("logs");
    let log = logs.map(|log| fs::read_to_string(log.expect("a log").path()).expect("text"));
    let found: String = log.collect();
    let text = Page::read("docs/queue.md").text;
    for name in found.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name) {
        assert!(text.contains(&format!("`{name}`")), "{name} is not named");
    }
    assert!(found.contains("CB_JOB_ID="), "{found}");
}

#[test]
fn each_promise_names_a_test_that_there_is() {
    let text = Page::read("docs/guarantees.md").text;
    let named: Vec<&str> = text.split('`').filter(|word| word.contains("::")).collect();
    assert!(named.len() > 20, "the promises are not where they should be");
    for name in named {
        let (module, test) = name.rsplit_once("::").expect("a module");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = |dir: &str| root.join(dir).join(module.replace("::", "/")).with_extension("rs");
        let found = ["tests/it", "src"].iter().find_map(|dir| fs::read_to_string(file(dir)).ok());
        let source = found.unwrap_or_else(|| panic!("no module {module}"));
        assert!(source.contains(&format!("#[test]\nfn {test}() {{")), "no test {name}");
    }
}

#[test]
fn every_command_is_named() {
    let readme = Page::read("README.md").text;
    for command in cli::command().get_subcommands() {
        let name = command.get_name();
        let named = readme.contains(&format!("cb {name}")) || readme.contains(&format!("`{name}`"));
        assert!(named, "README.md does not name {name}");
    }
}

#[test]
fn the_changelog_knows_this_version() {
    let heading = format!("## [{}]", env!("CARGO_PKG_VERSION"));
    assert!(Page::read("CHANGELOG.md").text.contains(&heading));
}

#[test]
fn links_lead_somewhere() {
    for page in Page::all() {
        let dir = page.path.parent().expect("a directory");
        for link in page.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let place = page.path.display();
            let target = if file.is_empty() { page.path.clone() } else { dir.join(file) };
            assert!(target.exists(), "{place}: {link}");
            if !anchor.is_empty() {
                let target =
                    Page { text: fs::read_to_string(&target).expect("text"), path: target };
                assert!(target.anchors().contains(anchor), "{place}: {link}");
            }
        }
    }
}

#[test]
fn tables_are_aligned_in_the_source() {
    for page in Page::all() {
        let lines = || page.text.lines();
        for (index, (line, next)) in lines().zip(lines().skip(1)).enumerate() {
            if line.starts_with('|') && next.starts_with('|') {
                let width = |line: &str| line.chars().count();
                let place = page.path.display();
                assert_eq!(width(line), width(next), "{place}:{}: {next}", index + 2);
            }
        }
    }
}
