//! After a crash: each job to where its history says it belongs. And what is
//! kept for a while only: jobs that are done.

use std::time::Duration;

use rustix::fs::OFlags;

use super::claim::Hold;
use super::format::{Content, Wanted};
use super::{Folder, JobId, PolicyOf, Queue};
use crate::error::Error;
use crate::model::Ms;
use crate::model::backoff::millis;
use crate::model::job::{Fate, JobState};
use crate::store::lock;

/// So many jobs that are done are kept.
pub const DONE_KEPT_MAX: usize = 1000;
/// So many are removed at a time: the rest by the next one who looks.
const PRUNED_MAX: usize = 2000;

/// What was found and mended.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Jobs whose attempt is under way: somebody holds them.
    pub running: u64,
    /// Jobs whose drainer died, and what became of them.
    pub settled: Vec<(JobId, Fate)>,
    /// Jobs that cannot be read, put aside into doubt, and why.
    pub put_aside: Vec<(JobId, String)>,
    /// Jobs of a newer cb, left alone.
    pub newer: u64,
    /// What could not be done, and stopped nothing.
    pub errors: Vec<Error>,
}

impl<'q> Queue<'q> {
    /// Settles the jobs in running/ that nobody works on any more, sweeps tmp/,
    /// and lets go of jobs that are done: all but the latest
    /// [`DONE_KEPT_MAX`], and those that were done longer than `done_kept` ago.
    ///
    /// A job whose move to running/ was taken back by a power cut is in
    /// pending/: [`Queue::claim`] settles it.
    ///
    /// # Errors
    ///
    /// What cannot be listed.
    pub fn recover(
        &'q self,
        policy_of: PolicyOf<'_>,
        done_kept: Duration,
        now_ms: Ms,
    ) -> Result<Recovered, Error> {
        let mut recovered = Recovered::default();
        for id in self.ids(JobState::Running)? {
            if let Err(error) = self.recover_job(id, policy_of, now_ms, &mut recovered) {
                recovered.errors.push(error);
            }
        }
        for result in [self.sweep(), self.prune(done_kept, now_ms)] {
            recovered.errors.extend(result.err());
        }
        Ok(recovered)
    }

    fn recover_job(
        &'q self,
        id: JobId,
        policy_of: PolicyOf<'_>,
        now_ms: Ms,
        recovered: &mut Recovered,
    ) -> Result<(), Error> {
        match self.hold(JobState::Running, id)? {
            Hold::Busy => recovered.running += 1,
            Hold::Gone => {}
            Hold::Newer(_) => recovered.newer += 1,
            Hold::Broken(why, _file) => {
                self.put_aside(JobState::Running, id)?;
                recovered.put_aside.push((id, why));
            }
            Hold::Got(mut held) => {
                let fate = held.job.history.fate(&policy_of(&held.job), now_ms);
                held.move_to(fate.state())?;
                recovered.settled.push((id, fate));
            }
        }
        Ok(())
    }

    /// Removes what producers that died left in tmp/.
    fn sweep(&self) -> Result<(), Error> {
        let tmp = self.folder(Folder::Tmp)?;
        for name in tmp.entries()? {
            if JobId::parse(&name).is_none() {
                continue;
            }
            // A producer that is alive holds it, or finds it held and takes
            // another name.
            if let Ok(Some(file)) = tmp.open_file(&name, OFlags::RDWR)
                && lock::try_exclusive(&file.file).map_err(Error::io("lock", tmp.path_of(&name)))?
                && tmp.identity_of(&name)? == Some(file.identity)
            {
                tmp.unlink(&name)?;
            }
        }
        Ok(())
    }

    /// Jobs count as old by when they were done, not by when they were enqueued:
    /// a key is remembered for a time after its job ran, however long it waited.
    fn prune(&'q self, max_age: Duration, now_ms: Ms) -> Result<(), Error> {
        let done = self.ids(JobState::Done)?;
        let too_many = done.len().saturating_sub(DONE_KEPT_MAX);
        let is_old = |at_ms: Ms| now_ms.saturating_sub(at_ms) >= millis(max_age);
        // None was done before it was made: mostly no file needs to be read.
        let asked = done.into_iter().filter(|id| too_many > 0 || is_old(id.made_ms()));
        let mut asked: Vec<(Ms, JobId)> =
            asked.map(|id| Ok((self.done_ms(id)?, id))).collect::<Result<_, Error>>()?;
        asked.sort_unstable();
        let over = asked.into_iter().enumerate();
        let over = over.filter(|(place, (at_ms, _))| *place < too_many || is_old(*at_ms));
        for (_, (_, id)) in over.take(PRUNED_MAX) {
            self.remove(JobState::Done, id)?;
        }
        Ok(())
    }

    /// When a job had its last result, as far as that is known.
    fn done_ms(&self, id: JobId) -> Result<Ms, Error> {
        let found = match self.read(JobState::Done, id, Wanted::WithoutStdin) {
            // What cannot be believed is as old as its name.
            Err(Error::Unsafe { .. }) | Ok(None) => None,
            found => found?,
        };
        let ended = match &found {
            Some(Content::Job(job, _)) => job.attempts.last().and_then(|last| last.ended.as_ref()),
            _ => None,
        };
        Ok(ended.map_or(id.made_ms(), |(at_ms, _)| *at_ms))
    }
}
