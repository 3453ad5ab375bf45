//! Many probes side by side, each once or again and again.
//!
//! The probes run on a thread of their own, so that nothing which the caller does
//! between them, such as waiting for a lock or for a slow terminal, takes from
//! their deadlines. What the caller does, it does on its own thread, one after the
//! other.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use super::{Process, Report, Spec, Stop, report, runtime};
use crate::error::Error;
use crate::net::Net;
use crate::process::Inherited;

/// What is done about each probe of a crowd, in the caller's thread. A probe that
/// has begun and not ended was cut short.
pub trait Crowd {
    /// One begins.
    fn begin(&mut self, at: usize);

    /// One has ended: after how long it is looked at again, if at all.
    fn end(&mut self, at: usize, report: Report) -> Option<Duration>;

    /// Whether it is enough: asked after each.
    fn is_over(&self) -> bool {
        false
    }

    /// How long from now something that was put off is due, if there is such.
    fn put_off(&self) -> Option<Duration> {
        None
    }

    /// Does what was put off, where nothing else comes first.
    fn catch_up(&mut self) {}
}

/// Why a crowd ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All were looked at as often as they were to be.
    Done,
    /// The time was up.
    TimeUp,
    /// A person wants cb to end.
    Wished,
}

/// How a crowd is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'a> {
    /// The most at once.
    pub at_once_max: usize,
    /// How long in all.
    pub time: Option<Duration>,
    /// Whose probes they are.
    pub process: Process<'a>,
}

/// Looks at all of them, at most so many at once, and at none of them twice at the
/// same time.
///
/// # Errors
///
/// Where nothing could be begun.
pub fn look_at_all(
    specs: &[Arc<Spec>],
    bounds: Bounds<'_>,
    crowd: &mut dyn Crowd,
) -> Result<Ended, Error> {
    let runtime = runtime()?;
    let (tell, told) = channel();
    let (enough, over) = oneshot::channel();
    thread::scope(|scope| {
        let looking = thread::Builder::new().name("probes".into()).spawn_scoped(scope, move || {
            let ended = runtime.block_on(look(specs, bounds, tell, over));
            // What a person or the time cut short is not waited for.
            runtime.shutdown_background();
            ended
        });
        let looking = looking.map_err(Error::Spawn)?;
        Desk { told, ends: VecDeque::new() }.attend(crowd);
        // Where all are done, nobody is left to hear it.
        let _ = enough.send(());
        looking.join().expect("the thread of the probes does not panic")
    })
}

/// What is asked of the caller's thread.
enum Event {
    Begin(usize, oneshot::Sender<()>),
    End(usize, Box<Report>, oneshot::Sender<Option<Duration>>),
}

/// Where the caller's thread answers. Who begins goes first: it waits for a server
/// next, and meanwhile there is time for those who have ended.
struct Desk {
    told: Receiver<Event>,
    ends: VecDeque<Event>,
}

impl Desk {
    /// Answers until nobody is left to ask, or it is enough.
    fn attend(mut self, crowd: &mut dyn Crowd) {
        while let Some(event) = self.next(crowd) {
            // Who was cut short meanwhile needs no answer.
            match event {
                Event::Begin(at, answer) => {
                    crowd.begin(at);
                    let _ = answer.send(());
                }
                Event::End(at, report, answer) => {
                    let again = crowd.end(at, *report);
                    let _ = answer.send(again);
                }
            }
            if crowd.is_over() {
                return;
            }
        }
    }

    /// What comes next; `None` where nobody is left to ask.
    fn next(&mut self, crowd: &mut dyn Crowd) -> Option<Event> {
        loop {
            match self.told.try_recv() {
                Ok(end @ Event::End(..)) => self.ends.push_back(end),
                Ok(begin) => return Some(begin),
                Err(_) => break,
            }
        }
        self.ends.pop_front().or_else(|| self.wait(crowd))
    }

    fn wait(&self, crowd: &mut dyn Crowd) -> Option<Event> {
        while let Some(time) = crowd.put_off() {
            match self.told.recv_timeout(time) {
                Ok(event) => return Some(event),
                Err(RecvTimeoutError::Timeout) => crowd.catch_up(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        self.told.recv().ok()
    }
}

async fn look(
    specs: &[Arc<Spec>],
    bounds: Bounds<'_>,
    tell: Sender<Event>,
    over: oneshot::Receiver<()>,
) -> Result<Ended, Error> {
    let stop = Stop::of(bounds.process.stop)?;
    let net = Arc::new(Net::default());
    let room = Arc::new(Semaphore::new(bounds.at_once_max.max(1)));
    let mut probes = JoinSet::new();
    for (at, spec) in specs.iter().enumerate() {
        let one = One {
            at,
            spec: Arc::clone(spec),
            net: Arc::clone(&net),
            inherited: bounds.process.inherited,
            room: Arc::clone(&room),
            tell: Mutex::new(tell.clone()),
        };
        probes.spawn(one.again_and_again());
    }
    drop(tell);
    let all = async { while probes.join_next().await.is_some() {} };
    let time_up = async {
        match bounds.time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = all => Ok(Ended::Done),
        _ = over => Ok(Ended::Done),
        () = time_up => Ok(Ended::TimeUp),
        () = stop.wished() => Ok(Ended::Wished),
    }
}

/// One of the crowd.
struct One {
    at: usize,
    spec: Arc<Spec>,
    net: Arc<Net>,
    inherited: Inherited,
    room: Arc<Semaphore>,
    tell: Mutex<Sender<Event>>,
}

impl One {
    async fn again_and_again(self) {
        while let Some(pause) = self.once().await {
            tokio::time::sleep(pause).await;
        }
    }

    /// `None` where it was the last time, or nobody listens any more.
    async fn once(&self) -> Option<Duration> {
        let place = self.room.acquire().await.ok()?;
        let (answer, began) = oneshot::channel();
        self.tell(Event::Begin(self.at, answer))?;
        began.await.ok()?;
        let report = Box::new(report(&self.spec, &self.net, self.inherited).await);
        drop(place);
        let (answer, again) = oneshot::channel();
        self.tell(Event::End(self.at, report, answer))?;
        again.await.ok()?
    }

    fn tell(&self, event: Event) -> Option<()> {
        self.tell.lock().unwrap_or_else(PoisonError::into_inner).send(event).ok()
    }
}
