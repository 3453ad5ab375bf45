//! The files of `examples/`: each is read by who reads such files, as far as that can
//! be had here, and what it runs is run, with servers that are up and that are down.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;

use crate::live::Live;
use crate::servers::certs::{Kind, Pki};
use crate::servers::faults::closed_port;
use crate::servers::http::HttpServer;
use crate::support::{Cb, Ran, binary, eventually, skipped};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

#[track_caller]
fn example(name: &str) -> String {
    fs::read_to_string(root().join(name)).expect("an example")
}

/// A machine as the examples expect one: cb in the PATH, the config, and the servers
/// that it names.
struct Machine {
    cb: Cb,
    pki: Pki,
    payment: HttpServer,
    mail: HttpServer,
    /// Takes connections, as a database does.
    database: Option<TcpListener>,
    database_at: SocketAddr,
}

type Environment = BTreeMap<String, String>;

impl Machine {
    /// All is up.
    fn up() -> Self {
        let database = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = database.local_addr().expect("its address");
        Self::with("/json", Some(database), address)
    }

    /// All but the mail server is down.
    fn down() -> Self {
        Self::with("/status/503", None, closed_port())
    }

    fn with(page: &str, database: Option<TcpListener>, database_at: SocketAddr) -> Self {
        let (cb, pki) = (Cb::new(), Pki::new());
        let payment = HttpServer::tls(pki.server(Kind::Good));
        let mail = HttpServer::tls(pki.server(Kind::Good));
        let mut config = example("config.toml");
        for (from, to) in [
            ("https://payment.example/health", payment.url(page)),
            ("db.example:5432", database_at.to_string()),
            ("mail.example:465", mail.address().to_string()),
        ] {
            assert!(config.contains(from), "{from} is not in config.toml");
            config = config.replace(from, &to);
        }
        fs::write(cb.path("config.toml"), config).expect("a config");
        fs::create_dir(cb.path("bin")).expect("a directory");
        symlink(binary(), cb.path("bin/cb")).expect("a link");
        Machine { cb, pki, payment, mail, database, database_at }
    }

    /// Where cb is.
    fn program(&self) -> String {
        self.cb.path("bin/cb").display().to_string()
    }

    fn config(&self) -> String {
        self.cb.path("config.toml").display().to_string()
    }

    /// A command of an example, in the environment that the example gives it, with the
    /// paths of this machine.
    fn command(&self, program: &str, given: &Environment) -> Command {
        let mut command = Command::new(program);
        self.cb.environ(&mut command);
        for (name, value) in given {
            match name.as_str() {
                "CB_CONFIG" => {
                    assert!(["/etc/cb/config.toml", "examples/config.toml"].contains(&&**value));
                    command.env(name, self.config());
                }
                "CB_STORE" => assert_eq!(value, "/var/lib/cb"),
                _ => {
                    command.env(name, value);
                }
            }
        }
        let path = std::env::var("PATH").expect("a PATH");
        let bin = self.cb.path("bin");
        command.env("PATH", format!("{}:{path}", bin.display()));
        command.env("SSL_CERT_FILE", self.pki.ca()).current_dir(self.cb.path(""));
        command
    }

    /// Runs words.
    #[track_caller]
    fn run(&self, words: &[String], given: &Environment) -> Ran {
        let (program, args) = words.split_first().expect("a program");
        let program = if program == "cb" { self.program() } else { program.clone() };
        let mut command = self.command(&program, given);
        command.args(args);
        Ran::of(command)
    }

    /// Runs lines of a shell, until one fails.
    #[track_caller]
    fn shell(&self, lines: &str, given: &Environment) -> Ran {
        let mut command = self.command("sh", given);
        command.args(["-ec", lines]);
        Ran::of(command)
    }
}

fn yaml(text: &str) -> Yaml<'_> {
    let mut documents = Yaml::load_from_str(text).expect("YAML");
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

#[track_caller]
fn text<'a>(value: &'a Yaml<'_>) -> &'a str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value:?}"))
}

fn list<'a, 'b>(value: &'a Yaml<'b>) -> &'a [Yaml<'b>] {
    value.as_vec().map(Vec::as_slice).unwrap_or_default()
}

/// What a mapping of names to texts says; what is a secret elsewhere is one here.
fn variables(mapping: &Yaml<'_>) -> Environment {
    let pairs = mapping.as_mapping().expect("variables");
    pairs.iter().map(|(name, value)| (text(name).to_owned(), text(value).to_owned())).collect()
}

#[test]
fn the_page_lists_every_file() {
    let page = example("README.md");
    let mut directories = vec![root()];
    let mut count = 0;
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(root()).expect("below it").display().to_string();
            if path.is_dir() {
                directories.push(path);
            } else if name != "README.md" {
                count += 1;
                assert!(page.contains(&format!("| [{name}]({name})")), "{name} is not listed");
            }
        }
    }
    assert_eq!(page.matches("\n| [").count(), count, "a file that is listed is not there");
}

#[test]
fn the_config_is_one() {
    let path = root().join("config.toml").display().to_string();
    let cb = Cb::new();
    cb.run(["config", "check", "--config", &path]).code(0).stderr("");
    let shown = cb.run(["config", "show", "payment", "--config", &path]).code(0).stdout_text();
    assert!(shown.contains("https://payment.example/health"), "{shown}");
    // It reaches what it names.
    let (up, down) = (Machine::up(), Machine::down());
    let given: Environment =
        [("PAYMENT_TOKEN", "Bearer sesame"), ("CB_CONFIG", "/etc/cb/config.toml")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    let all = ["cb", "probe", "--all"].map(str::to_owned);
    up.run(&all, &given).code(0).stderr("").stdout_has("3 probed: 3 healthy");
    assert_eq!(up.payment.last().headers["authorization"], "Bearer sesame");
    assert!(up.database.is_some() && up.mail.address() != up.database_at);
    down.run(&all, &given).code(1).stderr("").stdout_has("3 probed: 1 healthy, 2 unhealthy");
}

#[test]
fn kubernetes() {
    let file = example("kubernetes/orders.yaml");
    let pod = yaml(&file);
    assert_eq!((text(&pod["apiVersion"]), text(&pod["kind"])), ("v1", "Pod"));
    let container = &pod["spec"]["containers"][0];
    let mut given = Environment::new();
    for variable in list(&container["env"]) {
        let value = match variable.as_mapping_get("value") {
            Some(value) => text(value),
            None => text(&variable["valueFrom"]["secretKeyRef"]["key"]),
        };
        given.insert(text(&variable["name"]).to_owned(), value.to_owned());
    }
    let (up, down) = (Machine::up(), Machine::down());
    for (machine, code) in [(&up, 0), (&down, 1)] {
        for probe in ["readinessProbe", "livenessProbe"] {
            let probe = &container[probe];
            let words: Vec<String> = list(&probe["exec"]["command"])
                .iter()
                .map(|word| text(word).replace("127.0.0.1:8080", &machine.database_at.to_string()))
                .collect();
            assert!(words.len() > 2);
            // kubelet shows what it reads.
            let how = if code == 0 { "healthy: " } else { "unhealthy: " };
            machine.run(&words, &given).code(code).stdout_has(how).stderr("");
            // kubelet's own limit comes later than that of the probe.
            assert!(probe["timeoutSeconds"].as_integer().is_some_and(|limit| limit >= 2));
        }
        assert_eq!(machine.cb.status("payment")["totals"]["admitted"], 1);
    }
}

/// Lines of a pipeline, where nobody waits for minutes.
fn hurried(lines: &str) -> String {
    assert!(lines.contains("--timeout 5m"), "{lines}");
    lines.replace("--timeout 5m", "--timeout 400ms")
}

#[test]
fn github() {
    let file = example("github/deploy.yml");
    let workflow = yaml(&file);
    assert_eq!(text(&workflow["on"]["push"]["branches"][0]), "main");
    let job = &workflow["jobs"]["deploy"];
    let given = variables(&job["env"]);
    assert_eq!(given["PAYMENT_TOKEN"], "${{ secrets.PAYMENT_TOKEN }}");
    let (up, down) = (Machine::up(), Machine::down());
    let mut steps = Vec::new();
    for step in list(&job["steps"]) {
        match (step.as_mapping_get("uses"), step.as_mapping_get("run")) {
            (Some(uses), None) => assert!(text(uses).contains("@v")),
            (None, Some(run)) => steps.push(text(run)),
            _ => panic!("no step: {step:?}"),
        }
    }
    let [install, wait, smoke] = steps[..] else { panic!("other steps: {steps:?}") };
    assert!(install.starts_with("cargo install --path . --locked"), "{install}");
    up.shell(wait, &given).code(0).stdout("").stderr("");
    let ran = up.shell(smoke, &given).code(0).stderr("");
    let found: Value = serde_json::from_str(&ran.stdout_text()).expect("JSON");
    assert_eq!((&found["health"], &found["fed"]), (&"healthy".into(), &Value::Null));
    let ran = down.shell(&hurried(wait), &given).code(124).stdout("");
    ran.one_line("cb: payment: ").stderr_has("waiting for: healthy").stderr_has("HTTP 503");
    down.shell(smoke, &given).code(1).stderr("").stdout_has("\"health\":\"unhealthy\"");
}

#[test]
fn gitlab() {
    let file = example("gitlab/.gitlab-ci.yml");
    let pipeline = yaml(&file);
    let job = &pipeline["deploy"];
    let mut given = variables(&job["variables"]);
    given.insert("PAYMENT_TOKEN".to_owned(), "sesame".to_owned());
    let lines: Vec<&str> = list(&job["script"]).iter().map(text).collect();
    let script = lines.join("\n");
    let machine = |mut of: Machine, deploy: &str| {
        let path = of.cb.path("deploy.sh");
        fs::write(&path, format!("#!/bin/sh\n{deploy}\n")).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        of.database = None;
        of
    };
    let up = machine(Machine::up(), "echo deployed");
    up.shell(&script, &given).code(0).stdout("deployed\n").stderr("");
    // What the script says is what the job says.
    machine(Machine::up(), "exit 7").shell(&script, &given).code(7).stdout("");
    // Down: it is not deployed.
    let down = machine(Machine::down(), "echo deployed");
    let ran = down.shell(&hurried(&script), &given).code(124).stdout("");
    ran.one_line("cb: payment: ").stderr_has("waiting for: healthy");
    // Healthy, and held by a person: the job is run again.
    up.cb.run(["hold", "payment", "forced-open"]).code(0);
    let ran = up.shell(lines[1], &given).code(75).stdout("");
    ran.one_line("cb: payment: ");
    assert_eq!(job["retry"]["exit_codes"][0].as_integer(), Some(75));
    assert_eq!(job["retry"]["max"].as_integer(), Some(2));
}

/// The settings of a unit, in their order.
fn settings(unit: &str) -> Vec<(&str, &str)> {
    let lines = unit.lines().filter(|line| !line.starts_with(['#', '[']) && !line.is_empty());
    lines.map(|line| line.split_once('=').expect("a setting")).collect()
}

const UNITS: [&str; 2] = ["orders.service", "cb-probe.service"];

#[test]
fn systemd_takes_the_units() {
    let found = Command::new("systemd-analyze").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        return skipped("systemd-analyze is not installed");
    }
    let machine = Machine::up();
    let verify = |name: &str, unit: &str| {
        let path = machine.cb.path(name);
        fs::write(&path, unit).expect("a unit");
        let mut command = Command::new("systemd-analyze");
        machine.cb.environ(&mut command);
        Ran::of({
            command.args(["verify", "--man=no"]).arg(path);
            command
        })
    };
    for name in UNITS {
        let unit = example(&format!("systemd/{name}"));
        let unit = unit.replace("/usr/local/bin/cb", &binary().display().to_string());
        let about = |ran: &Ran| ran.stderr_text().lines().any(|line| line.contains(name));
        let ran = verify(name, &unit).code(0);
        assert!(!about(&ran), "{ran}");
        // Whether it would say so if something was wrong.
        let ran = verify(name, &unit.replace("StateDirectory=", "StateDirectorium="));
        assert!(about(&ran), "{ran}");
    }
}

/// The line that decides whether a unit is started: as systemd gives it to a shell.
fn check_condition(machine: &Machine, line: &str, given: &Environment) {
    let script = line.strip_prefix("/bin/sh -c '").and_then(|rest| rest.strip_suffix('\''));
    let script = script.expect("a script for a shell").replace("$$", "$");
    let script = script.replace("/usr/local/bin/cb", "cb");
    let words = ["sh", "-c", &script].map(str::to_owned);
    // Nothing is held back yet: what is down was not seen.
    machine.run(&words, given).code(0);
    machine.cb.run(["trip", "payment"]).code(0);
    machine.run(&words, given).code(1).stdout_has("payment: open");
    machine.cb.run(["reset", "payment"]).code(0);
    // What is cb's own error, and no answer, skips nothing unnoticed.
    let wrong = script.replace("check payment", "check --nonsense");
    let words = ["sh", "-c", &wrong].map(str::to_owned);
    machine.run(&words, given).code(0).stderr_has("--nonsense");
}

#[test]
fn what_the_units_of_systemd_run() {
    let token = [("PAYMENT_TOKEN".to_owned(), "sesame".to_owned())];
    for (machine, code) in [(Machine::up(), 0), (Machine::down(), 124)] {
        let mut ran = Vec::new();
        for name in UNITS {
            let unit = example(&format!("systemd/{name}"));
            let unit = settings(&unit);
            let mut given = Environment::new();
            for (key, value) in &unit {
                let one = |word: &str| word.split_once('=').map(|(a, b)| (a.into(), b.into()));
                match *key {
                    "Environment" => given.extend(value.split(' ').filter_map(one)),
                    "EnvironmentFile" => given.extend(token.clone()),
                    _ => {}
                }
            }
            for (key, line) in unit.iter().filter(|(key, _)| key.starts_with("Exec")) {
                let line = line.replace("--timeout 60s", "--timeout 400ms");
                let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
                if *key == "ExecCondition" {
                    ran.push("check".to_owned());
                    check_condition(&machine, &line, &given);
                    continue;
                }
                if words[0] != "/usr/local/bin/cb" {
                    assert_eq!(line, "/bin/sleep infinity");
                    continue;
                }
                let words = [&["cb".to_owned()], &words[1..]].concat();
                ran.push(words[1].clone());
                match (words[1].as_str(), *key) {
                    ("wait", "ExecStartPre") => {
                        let waited = machine.run(&words, &given).code(code).stdout("");
                        if code != 0 {
                            waited.one_line("cb: database: ").stderr_has("connection refused");
                        }
                    }
                    ("probe", "ExecStart") => check_watch(&machine, &words, &given, code == 0),
                    other => panic!("not known here: {other:?}"),
                }
            }
        }
        assert_eq!(ran, ["check", "wait", "probe"]);
    }
}

/// The probes of a service: the results are in the file, and systemd's signal ends it.
#[track_caller]
fn check_watch(machine: &Machine, words: &[String], given: &Environment, is_up: bool) {
    let file = machine.cb.path("probes.json");
    let mut command = machine.command(&machine.program(), given);
    command.args(words[1..].iter().map(|word| match word.as_str() {
        "/run/cb/probes.json" => file.display().to_string(),
        other => other.to_owned(),
    }));
    let watch = Live::start(command);
    let healths = || -> Option<Vec<Value>> {
        let found: Value = serde_json::from_slice(&fs::read(&file).ok()?).expect("whole");
        Some(found["probes"].as_array()?.iter().map(|one| one["healthy"].clone()).collect())
    };
    let expected: Vec<Value> = [is_up, true, is_up].map(Value::from).into();
    eventually("all results are there", || healths().as_ref() == Some(&expected));
    watch.send(libc::SIGTERM);
    watch.end().signal(libc::SIGTERM).stderr("");
}

/// The definitions of a file of Nagios: their kind, and their settings.
fn definitions(file: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut found = Vec::new();
    for line in file.lines().map(str::trim).filter(|line| !line.starts_with(';')) {
        if let Some(kind) = line.strip_prefix("define ") {
            let kind = kind.strip_suffix(" {").expect("a definition begins");
            found.push((kind.to_owned(), BTreeMap::new()));
        } else if let Some((key, value)) = line.split_once(' ') {
            let (_, settings) = found.last_mut().expect("within a definition");
            settings.insert(key.to_owned(), value.trim().to_owned());
        } else {
            assert!(line.is_empty() || line == "}", "{line}");
        }
    }
    found
}

/// Runs the command of a service as Nagios does; its word, its figures and its code.
#[track_caller]
fn nagios_check(machine: &Machine, line: &str) -> (String, i32) {
    let ran = machine.shell(line, &Environment::new());
    let said = ran.stdout_text();
    let (words, figures) = said.trim_end().split_once(" | ").unwrap_or((said.trim_end(), ""));
    let word = words.strip_prefix("PROBE ").and_then(|rest| rest.split(':').next());
    let word = word.unwrap_or_else(|| panic!("no line of a plugin: {ran}")).to_owned();
    for figure in figures.split(' ').filter(|figure| !figure.is_empty()) {
        let (label, value) = figure.split_once('=').expect("a label and a value");
        let number = value.split(';').next().map(|value| value.trim_end_matches(['s', 'B']));
        assert!(!label.is_empty() && number.is_some_and(|it| it.parse::<f64>().is_ok()), "{ran}");
    }
    assert_eq!(figures.is_empty(), word == "UNKNOWN" && !said.contains('|'), "{ran}");
    let code = ran.status().code().expect("an exit status");
    (word, code)
}

#[test]
fn nagios() {
    let file = example("nagios/cb.cfg");
    let definitions = definitions(&file);
    let lines: BTreeMap<&str, &str> = definitions
        .iter()
        .filter(|(kind, _)| kind == "command")
        .map(|(_, of)| (of["command_name"].as_str(), of["command_line"].as_str()))
        .collect();
    let (up, down) = (Machine::up(), Machine::down());
    let mut seen = Vec::new();
    for (_, service) in definitions.iter().filter(|(kind, _)| kind == "service") {
        let mut parts = service["check_command"].split('!');
        let name = parts.next().expect("a name");
        let mut template = lines[name].to_owned();
        for (index, value) in parts.enumerate() {
            let macro_name = format!("$ARG{}$", index + 1);
            assert!(template.contains(&macro_name), "{value} goes nowhere");
            template = template.replace(&macro_name, value);
        }
        assert!(!template.contains('$'), "{template}");
        let on = |machine: &Machine, page: &str| {
            template
                .replace("/usr/local/bin/cb", &machine.program())
                .replace("/etc/cb/config.toml", &machine.config())
                .replace("/var/lib/cb", &machine.cb.store().display().to_string())
                .replace("https://shop.example/health", &machine.payment.url(page))
        };
        assert_eq!(nagios_check(&up, &on(&up, "/")), ("OK".to_owned(), 0), "{template}");
        let critical = ("CRITICAL".to_owned(), 2);
        assert_eq!(nagios_check(&down, &on(&down, "/status/500")), critical, "{template}");
        let slow = match on(&up, "/") {
            line if line.contains(" --slow-call 1s") => line.replace(" 1s", " 1ns"),
            line => line + " --slow-call 1ns",
        };
        assert_eq!(nagios_check(&up, &slow), ("WARNING".to_owned(), 1), "{slow}");
        let unknown = on(&up, "/") + " --ip-version 5";
        assert_eq!(nagios_check(&up, &unknown), ("UNKNOWN".to_owned(), 3), "{unknown}");
        seen.push(name.to_owned());
    }
    assert_eq!(seen, ["check_cb_probe", "check_cb_http"]);
    assert_eq!(lines.len(), seen.len());
}
