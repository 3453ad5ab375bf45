//! What help and man pages say beyond the options. A block of the sections is a
//! title without indent, ending in a colon, and its lines, indented by two.

/// The sections after the options of `cb`.
pub const ROOT: &str = "\
Examples:
  cb exec api -- curl -fsS https://api.example.com/v1   call through a breaker
  cb status                                             list the breakers
  cb trip api --for 10m --reason 'deploy'               stop the calls
  cb reset api                                          let them go again

Exit status:
  0        it worked; for 'cb exec', the command's own status
  75       the call was rejected: the breaker is open (try again later)
  76       the call was queued: it has not run yet
  124      the command timed out; 137 if it had to be killed
  125      cb itself failed: bad usage, bad config, or no store
  126,127  the command cannot be executed, or was not found

Environment:
  CB_STORE   the directory of the state, unless --store is given
  CB_CONFIG  the config file, unless --config is given
  NO_COLOR   if set, no colour

Files:
  ~/.config/cb/config.toml  your settings
  /etc/cb/config.toml       the settings of the machine, below yours
  ~/.local/state/cb/        the state, a folder for each breaker";

/// What `cb` is for.
pub const ROOT_LONG: &str = "\
A circuit breaker for commands. cb remembers, across processes, how the calls to a dependency \
went. When too many fail, the breaker opens, and the next call is stopped before it starts. After \
a while a trial call is let through; if it succeeds, the breaker closes again.

A breaker is a name. It needs no set-up: the first call makes it.";

/// What `cb exec` does.
pub const EXEC_LONG: &str = "\
Run COMMAND through the breaker NAME. If the breaker is closed, the command runs as if cb were not \
there: same input, output, terminal, signals and exit status. If it is open, the command is not \
started, and cb exits with 75.

Options may stand before or after NAME; everything from COMMAND on reaches the command byte for \
byte. No shell is involved: use 'sh -c' for a pipeline.

A call that is rejected can have a stand-in (--on-open), and so can one that failed (--on-failure). \
An ACTION is 'cache' or 'cache:TTL' (the last good output of the same command, not older than TTL), \
'queue' (keep the call for later; see 'cb queue --help'), 'run:COMMAND' (a shell command, told why \
by CB_REASON, CB_STATE, CB_RETRY_AFTER and CB_EXIT_CODE), 'exit:CODE', or 'fail', the default. \
Several are tried in their order until one serves.

'queue' keeps all of standard input: cb reads it to its end, after a rejection (--on-open queue) or \
a failure (--on-failure queue), and waits for that end. With --on-failure queue and with --retries \
cb also reads a pipe ahead of COMMAND. Give '</dev/null' to a call that needs no input, above all in \
a 'while read' loop.";

/// The sections after the options of `cb exec`.
pub const EXEC: &str = "\
Examples:
  cb exec api -- curl -fsS https://api.example.com/v1
  cb exec --timeout 10s --failures 3 --window 1m db pg_dump app
  cb exec mail --failure-codes 75 -- sendmail -t <letter
  cb exec api -- ./call; [ $? -eq 75 ] && echo 'not now'
  cb exec --on-open cache:10m --on-open 'run:./estimate' rates -- ./fetch-rates
  cb exec --on-open queue orders -- ./charge --order 7 </dev/null
  cb exec --retries 3 --retry-delay 500ms --hold-stdout api -- ./call

Exit status:
  COMMAND's   the command ran; if a signal killed it, cb ends by the same one
  75          rejected: the breaker is open, or as many as may run (see --open-exit-code)
  76          the call was queued, and has not run (see --queued-exit-code)
  124         the command timed out; 137 if it had to be killed
  125         cb itself failed: bad usage, bad config, or no store
  126         the command cannot be executed
  127         the command was not found

Environment:
  CB_STORE        the directory of the state, unless --store is given
  CB_CONFIG       the config file, unless --config is given
  NO_COLOR        if set, no colour
  CB_BREAKER      set for COMMAND and 'run:': the breaker's name
  CB_STATE        set for COMMAND and 'run:': the breaker's state
  CB_ATTEMPT      set for COMMAND: the number of the attempt, from 1
  CB_REASON       set for 'run:': open, bulkhead, failure or timeout
  CB_RETRY_AFTER  set for 'run:': the seconds until the next trial
  CB_EXIT_CODE    set for 'run:': the status of the call, where one failed";

/// What `cb probe` does.
pub const PROBE_LONG: &str = "\
Look at a server, or run a check, within one deadline, and say in one line whether it is well and \
why not. What to look at stands on the command line (--http, --tcp, ... or '-- COMMAND'), or in the \
config file below [breaker.NAME.probe], with the same names: http = \"https://api.example.com/up\".

With a NAME the breaker learns of it, unless --no-feed is given. A closed breaker counts it like a \
call, and a half-open one takes it as a trial. An open one lets the next call through as soon as \
--rise probes in a row were healthy. Without a NAME cb only looks.";

/// The sections of `cb probe`.
pub const PROBE: &str = "\
Examples:
  cb probe --http https://api.example.com/up
  cb probe payment --http https://pay.example.com/up --expect-json /status=ok
  cb probe payment --http http://localhost/up --header-env 'Authorization: TOKEN'
  cb probe --tls mail.example.com:465 --min-days 14
  cb probe db --tcp db.example.com:5432 --timeout 2s
  cb probe users --grpc localhost:50051/users.Users
  cb probe --dns www.example.com@192.0.2.53 --record AAAA
  cb probe disk --nagios-in -- /usr/lib/nagios/plugins/check_disk -w 10% -c 5%
  cb probe payment
  cb probe --all 'pay*' --json
  cb probe --all --watch --interval 30s --output /run/cb/probes.json

Exit status:
  0    healthy; with --all or several: all of them
  1    unhealthy: at least one
  125  cb itself failed, or nothing is known: bad usage, a missing file, no such command
  0-3  with --nagios: OK, WARNING, CRITICAL, UNKNOWN

Environment:
  SSL_CERT_FILE  the certificates to trust, as a file, unless --ca is given
  SSL_CERT_DIR   the same, as a directory";

/// What `cb wait` does.
pub const WAIT_LONG: &str = "\
Wait until all of the breakers NAME are as --until says: 'closed', 'admitting' (a call would be let \
through now, be it as a trial), or 'healthy' (the last probe was). With --probe cb looks meanwhile, \
as 'cb probe NAME' does; without, somebody else has to.";

/// The sections of `cb wait`.
pub const WAIT: &str = "\
Examples:
  cb wait payment --timeout 5m && ./deploy
  cb wait db cache --probe --timeout 60
  cb wait payment --until closed

Exit status:
  0    they are
  124  the time is up; a line says what is still waited for
  125  cb itself failed: bad usage, bad config, or no store";

/// The sections of `cb status`.
pub const STATUS: &str = "\
Examples:
  cb status
  cb status 'pay*' --json
  cb status --check api || echo 'api is not well'

Exit status:
  0    the breakers were listed; with --check: closed
  1    with --check: half-open, or a trial is due
  2    with --check: open
  3    with --check: no such breaker
  125  cb itself failed";

/// The sections of `cb check`.
pub const CHECK: &str = "\
Examples:
  cb check -q api && start-the-batch

Exit status:
  0    a call would be admitted now
  75   it would be rejected
  125  cb itself failed";

/// What `cb allow` does.
pub const ALLOW_LONG: &str = "\
Ask the breaker NAME for a permit to make one call, and print the permit's token. Make the call, \
then tell how it went with 'cb report NAME TOKEN OUTCOME'. With this pair any program can use a \
breaker without being run by 'cb exec'.";

/// The sections of `cb allow`.
pub const ALLOW: &str = "\
Examples:
  if token=$(cb allow api); then
    if call-it; then cb report api \"$token\" success
    else cb report api \"$token\" failure; fi
  fi

Exit status:
  0    a permit was given
  75   rejected: the breaker is open
  125  cb itself failed";

/// The sections of `cb report`.
pub const REPORT: &str = "\
Examples:
  cb report api \"$token\" success --duration 1.5s

Exit status:
  0    recorded; or too late to count, as a line on stderr says
  125  cb itself failed, or there is no such permit";

/// The sections of `cb trip`.
pub const TRIP: &str = "\
Examples:
  cb trip api --for 10m --reason 'deploy'";

/// The sections of `cb reset`.
pub const RESET: &str = "\
Examples:
  cb reset api --reason 'fixed the certificate'";

/// What `cb hold` does.
pub const HOLD_LONG: &str = "\
Set a state that no outcome changes, until 'cb release' or until --for has passed: 'forced-open' \
rejects every call, 'disabled' admits every call and records nothing in the window, 'metrics-only' \
admits every call, records it, and tells what would have opened the breaker.";

/// The sections of `cb hold`.
pub const HOLD: &str = "\
Examples:
  cb hold api forced-open --for 2h --reason 'maintenance'
  cb hold api metrics-only";

/// The sections of `cb release`.
pub const RELEASE: &str = "\
Examples:
  cb release api";

/// The sections of `cb rm`.
pub const RM: &str = "\
Examples:
  cb rm api";

/// What `cb simulate` does.
pub const SIMULATE_LONG: &str = "\
Run a policy against a trace of calls, in virtual time and without touching any state: what would \
this policy have done? TRACE (or standard input) is JSON lines with times in milliseconds:

{\"t\":0,\"op\":\"call\",\"outcome\":\"failure\",\"duration_ms\":20}";

/// The sections of `cb simulate`.
pub const SIMULATE: &str = "\
Examples:
  cb simulate --policy api trace.jsonl
  cb simulate --set failures=3 --set window=1m --json <trace.jsonl

Exit status:
  0    the trace was run
  125  a line is not understood, or a setting is not allowed";

/// What `cb queue` does.
pub const QUEUE_LONG: &str = "\
Look at the calls that are kept for later, run them, and keep more. A call is kept by the action \
'queue' of 'cb exec' (--on-open queue) or by 'cb queue add', and is run when the breaker closes, or \
by 'cb queue run'.";

/// The sections of `cb queue`.
pub const QUEUE: &str = "\
Examples:
  cb queue list
  cb queue add orders -- ./charge --order 7
  cb queue run orders";

/// What `cb queue add` does.
pub const QUEUE_ADD_LONG: &str = "\
Keep COMMAND for later, with its arguments, working directory, umask, standard input and the \
variables that --queue-env names, and print its id. Once the id is printed, the call is on the disk.

Standard input is read to its end first: give '</dev/null' to a call that needs none.

It is run until it succeeds, or is given up after --max-attempts or --max-age. An attempt that \
began and has no result, because cb or the machine went down meanwhile, is not repeated: nobody \
knows whether it ran, and the call is put aside as doubtful. With --idempotent it is then run \
again.";

/// The sections of `cb queue add`.
pub const QUEUE_ADD: &str = "\
Examples:
  cb queue add orders -- ./charge --order 7
  cb queue add --key order-7 --idempotent orders -- ./charge <order.json

Exit status:
  0    the call is kept
  125  it is not: bad usage, a full disk, a full queue, or too much standard input";

/// The sections of `cb queue list`.
pub const QUEUE_LIST: &str = "\
Examples:
  cb queue list
  cb queue list 'order*' --state failed --state doubt --json";

/// What `cb queue show` does.
pub const QUEUE_SHOW_LONG: &str = "\
Show a call that is kept: its state, its attempts and how each ended. Arguments and environment \
may hold secrets; they are shown with --reveal only.";

/// The sections of `cb queue show`.
pub const QUEUE_SHOW: &str = "\
Examples:
  cb queue show 01k8x7c4q2v9m3n5p6r7s8t9va --reveal";

/// What `cb queue run` does.
pub const QUEUE_RUN_LONG: &str = "\
Run the calls that the breaker NAME keeps, in the order in which they came, through the breaker: \
while it is half-open one trial first, then the rest. It stops when the breaker opens, and the rest \
stays. A call that fails is tried again later, and given up after --max-attempts or --max-age.";

/// The sections of `cb queue run`.
pub const QUEUE_RUN: &str = "\
Examples:
  cb queue run orders
  cb queue run orders --rate 10/s --jobs 4
  cb queue run orders --watch

Exit status:
  0    nothing is left that could run now: what is left waits for its time, or for the breaker
  125  cb itself failed: bad usage, bad config, or no store";

/// What `cb queue retry` does.
pub const QUEUE_RETRY_LONG: &str = "\
Let calls run again that have failed, or that are in doubt: those that may have run without \
anybody knowing how it went.";

/// The sections of `cb queue retry`.
pub const QUEUE_RETRY: &str = "\
Examples:
  cb queue retry 01k8x7c4q2v9m3n5p6r7s8t9va";

/// The sections of `cb queue drop`.
pub const QUEUE_DROP: &str = "\
Examples:
  cb queue drop 01k8x7c4q2v9m3n5p6r7s8t9va";

/// The sections of `cb queue purge`.
pub const QUEUE_PURGE: &str = "\
Examples:
  cb queue purge orders
  cb queue purge orders --state done --state failed";

/// What `cb cache` does.
pub const CACHE_LONG: &str = "\
Look at the outputs that are kept. Where 'cache' is among the actions of 'cb exec' (--on-open \
cache), the standard output of each call that succeeds is kept, and stands in for the same command \
when it cannot run.";

/// The sections of `cb cache`.
pub const CACHE: &str = "\
Examples:
  cb cache list
  cb cache show rates 3f2a
  cb cache drop rates";

/// The sections of `cb cache list`.
pub const CACHE_LIST: &str = "\
Examples:
  cb cache list 'rate*' --json";

/// The sections of `cb cache show`.
pub const CACHE_SHOW: &str = "\
Examples:
  cb cache show rates 3f2a

Exit status:
  0    the output was printed
  125  there is none with this key, or cb itself failed";

/// The sections of `cb cache drop`.
pub const CACHE_DROP: &str = "\
Examples:
  cb cache drop rates 3f2a
  cb cache drop rates";

/// The sections of `cb config`.
pub const CONFIG: &str = "\
Examples:
  cb config check
  cb config show api
  cb config path

Files:
  ~/.config/cb/config.toml  your settings
  /etc/cb/config.toml       the settings of the machine, below yours";

/// What `cb config` says about the file.
pub const CONFIG_LONG: &str = "\
Look at the settings. A config file is TOML with a section [defaults], a section [breaker.NAME] \
for a breaker, and sections [breaker.\"PATTERN\"] for several (with * and ?). The keys are the \
policy flags of 'cb exec' with underscores: open_for = \"30s\". The more specific section wins, \
key by key; a flag wins over all of them. What 'cb probe' looks at stands in [breaker.NAME.probe].";

/// The sections of `cb completions`.
pub const COMPLETIONS: &str = "\
Examples:
  cb completions bash >~/.local/share/bash-completion/completions/cb
  cb completions zsh >~/.zfunc/_cb       (a folder of $fpath)
  cb completions fish >~/.config/fish/completions/cb.fish";

/// The sections of `cb man`.
pub const MAN: &str = "\
Examples:
  cb man exec
  cb man --dir ~/.local/share/man/man1";
