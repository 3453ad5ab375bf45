//! What drives a connection of hyper's: tasks that end with it.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a connection may take to end in order.
const FAREWELL: Duration = Duration::from_millis(20);

/// The tasks of a connection. When it is dropped, they end.
#[derive(Debug, Default)]
pub(super) struct Tasks(Spawner);

/// What starts them. Each task may have one, so none of them ends by itself when
/// it is dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct Spawner(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    /// For whoever starts more of them.
    pub(super) fn spawner(&self) -> Spawner {
        self.0.clone()
    }

    /// Drives a connection. What breaks it, its requests are told.
    pub(super) fn drive<T>(&self, connection: impl Future<Output = T> + Send + 'static) {
        self.0.execute(connection);
    }

    /// Lets them end in order, for a moment.
    pub(super) async fn farewell(self) {
        let mut tasks = mem::take(&mut *self.0.tasks());
        let _ = timeout(FAREWELL, async { while tasks.join_next().await.is_some() {} }).await;
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.tasks().abort_all();
    }
}

impl Spawner {
    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Future + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, task: F) {
        self.tasks().spawn(async {
            task.await;
        });
    }
}
