//! The order service: payments go down, customers are told that their order is
//! kept, payments come back, and each order is charged once, in order.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::{Cb, Ran, eventually};

/// Where the money is: it takes orders, one on a line, while it is up.
struct Payments {
    address: SocketAddr,
    is_up: Arc<AtomicBool>,
    ledger: Arc<Mutex<Vec<String>>>,
}

impl Payments {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (is_up, ledger) = (Arc::new(AtomicBool::new(true)), Arc::default());
        let payments = Payments { address, is_up, ledger };
        let (is_up, ledger) = (Arc::clone(&payments.is_up), Arc::clone(&payments.ledger));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                if serve(stream, &is_up, &ledger).is_none() {
                    return;
                }
            }
        });
        payments
    }

    fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, Ordering::SeqCst);
    }

    fn charged(&self) -> Vec<String> {
        self.ledger.lock().expect("no panic").clone()
    }
}

impl Drop for Payments {
    fn drop(&mut self) {
        if let Ok(mut stream) = TcpStream::connect(self.address) {
            let _ = stream.write_all(b"close\n");
        }
    }
}

/// Answers one request; `None` when the shop closes.
fn serve(mut stream: TcpStream, is_up: &AtomicBool, ledger: &Mutex<Vec<String>>) -> Option<()> {
    let mut line = String::new();
    if BufReader::new(&stream).read_line(&mut line).is_err() {
        return Some(());
    }
    let order = line.trim();
    if order == "close" {
        return None;
    }
    let answer = if is_up.load(Ordering::SeqCst) {
        ledger.lock().expect("no panic").push(order.to_owned());
        "charged\n"
    } else {
        "down\n"
    };
    let _ = stream.write_all(answer.as_bytes());
    Some(())
}

/// The client of the payment server: the order comes on stdin, or as a word. It
/// fails where the order is not charged.
const CHARGE: &str = "order=$(cat); exec 3<>/dev/tcp/127.0.0.1/$0; echo \"$order $1 as $CB_STATE\" >&3; \
                      read -r answer <&3; echo \"$answer\"; [ \"$answer\" = charged ]";

const CONFIG: &str = r#"
[breaker.payments]
consecutive_failures = 3
open_for = "250ms"
on_open = ["queue"]
attempt_delay = "50ms"
"#;

struct Shop {
    cb: Cb,
    payments: Payments,
}

impl Shop {
    /// One order of a customer, as the order service makes it.
    fn order(&self, number: usize) -> Ran {
        let key = format!("order-{number}");
        let mut exec = self.cb.command(["exec", "--key", &key, "payments", "--"]);
        let port = self.payments.address.port().to_string();
        exec.args(["bash", "-c", CHARGE, &port, "EUR"]);
        Ran::fed(exec, format!("{key}\n").as_bytes())
    }

    /// What of the orders was charged, without the state they were charged in.
    fn charged(&self) -> Vec<String> {
        let first = |line: String| line.split(' ').next().expect("a word").to_owned();
        self.payments.charged().into_iter().map(first).collect()
    }

    fn waiting(&self) -> u64 {
        self.cb.status("payments")["queue"]["pending"].as_u64().expect("a number")
    }
}

fn names(orders: impl IntoIterator<Item = usize>) -> Vec<String> {
    orders.into_iter().map(|number| format!("order-{number}")).collect()
}

#[test]
fn orders_that_payments_cannot_take_are_kept_and_charged_once_each_in_order() {
    let has_bash = Command::new("bash").args(["-c", "true"]).output();
    if !has_bash.is_ok_and(|output| output.status.success()) {
        return crate::support::skipped("no bash");
    }
    let shop = Shop { cb: Cb::new().config(CONFIG), payments: Payments::open() };
    for number in 1..=2 {
        shop.order(number).code(0).stdout("charged\n").stderr("");
    }

    // Payments go down: three customers see it, and the breaker opens.
    shop.payments.set_up(false);
    for number in 3..=5 {
        shop.order(number).code(1).stdout("down\n").stderr("");
    }
    shop.cb.is("payments", "open");

    // The shop stays open: nobody waits for payments, and every order is kept.
    // It stays down while trials are due: each of them fails, and is not queued.
    let mut kept = Vec::new();
    let mut number = 6;
    while kept.len() < 8 {
        let ran = shop.order(number);
        match ran.status().code() {
            Some(76) => {
                let ran = ran.stdout("").one_line("cb: payments: not run: open");
                let ran = ran.stderr_has("; queued as ");
                assert!(!ran.stderr_text().contains("EUR"), "{ran}");
                kept.push(number);
                // The customer presses the button again.
                let again = shop.order(number);
                if again.status().code() == Some(76) {
                    let id =
                        |ran: &Ran| ran.stderr_text().split("queued as ").last().map(str::to_owned);
                    assert_eq!(id(&again), id(&ran), "one order, one job");
                }
            }
            // A trial: the customer sees it fail.
            Some(1) => {
                ran.stdout("down\n");
            }
            other => panic!("{other:?}: {ran}"),
        }
        assert_eq!(shop.waiting(), kept.len() as u64);
        number += 1;
    }
    assert_eq!(shop.charged(), names([1, 2]));
    let table = shop.cb.run(["status", "payments"]).code(0).stdout_text();
    assert!(table.contains("open") && table.contains(" 8 "), "{table}");
    let list = shop.cb.run(["queue", "list", "payments"]).code(0).stdout_text();
    for number in &kept {
        assert!(list.contains(&format!("order-{number} ")), "{list}");
    }

    // Payments come back. The next customer is the one trial, is charged, and all
    // that was kept follows by itself.
    shop.payments.set_up(true);
    let due = || shop.cb.status("payments")["trial_due"] == true;
    eventually("a trial is due", due);
    shop.order(100).code(0).stdout("charged\n").stderr("");
    eventually("nothing waits any more", || {
        let queue = shop.cb.status("payments")["queue"].clone();
        queue["pending"] == 0 && queue["running"] == 0
    });
    shop.cb.is("payments", "closed");
    let all = [names([1, 2]), names([100]), names(kept.iter().copied())].concat();
    assert_eq!(shop.charged(), all);
    let states: Vec<bool> =
        shop.payments.charged()[2..].iter().map(|line| line.ends_with("half-open")).collect();
    assert_eq!(states.iter().filter(|trial| **trial).count(), 1, "{:?}", shop.payments.charged());
    assert!(states[0], "the trial came first");
    let queue = shop.cb.status("payments")["queue"].clone();
    assert_eq!((&queue["failed"], &queue["doubt"]), (&0.into(), &0.into()), "{queue}");
    // The drain in the background leaves once there is nothing to wait for.
    shop.cb.rested("payments");
}

#[test]
fn a_drain_by_hand_is_the_trial_itself() {
    let config = CONFIG.replace("250ms", "1h") + "drain = \"manual\"\n";
    let shop = Shop { cb: Cb::new().config(&config), payments: Payments::open() };
    shop.payments.set_up(false);
    shop.cb.run(["trip", "payments"]).code(0);
    for number in 1..=5 {
        shop.order(number).code(76);
    }
    shop.cb.make_due("payments");
    // Still down: one trial, and no more.
    let run = ["queue", "run", "payments"];
    shop.cb.run(run).code(0).stdout_has("1 failed for now; 5 left: open");
    assert_eq!(shop.waiting(), 5);
    shop.cb.is("payments", "open");
    shop.payments.set_up(true);
    shop.cb.make_due("payments");
    eventually("all are charged", || {
        shop.cb.run(run).code(0);
        shop.waiting() == 0
    });
    // The one that was tried waited for its next time; the others kept their order.
    let charged = shop.charged();
    let rest: Vec<String> = charged.iter().filter(|order| *order != "order-1").cloned().collect();
    assert_eq!(rest, names(2..=5), "{charged:?}");
    assert_eq!(charged.len(), 5, "{charged:?}");
    assert!(shop.payments.charged()[0].ends_with("half-open"));
    assert!(shop.payments.charged()[1..].iter().all(|line| line.ends_with("closed")));
}
