//! A connection that notes what came from the other side: how much, how it began,
//! and what broke it. So the first byte has a time, and an answer that is no HTTP
//! can be told.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::{Phase, Trace};

/// So many bytes of the beginning are kept.
const KEPT_BYTES_MAX: usize = 60;

/// After so many bytes others have their turn, such as the timer of the deadline: a
/// reader that always finds more would never let go.
const TURN_BYTES_MAX: u64 = 8 << 10;

/// A connection, of whatever kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What came.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Bytes>>);

#[derive(Default)]
struct Bytes {
    count: u64,
    first: Vec<u8>,
    fault: Option<rustls::Error>,
}

/// A connection that is listened to.
pub(super) struct Listened {
    stream: Box<dyn Stream>,
    heard: Heard,
    /// Told of the first byte.
    trace: Option<Trace>,
    /// How many bytes came since the last pause.
    in_turn: u64,
}

impl Heard {
    /// How many bytes came.
    pub(super) fn count(&self) -> u64 {
        self.bytes().count
    }

    /// The first of them.
    pub(super) fn first(&self) -> Vec<u8> {
        self.bytes().first.clone()
    }

    /// What TLS said when it broke. By HTTP/2 a request is told only that it did.
    pub(super) fn fault(&self) -> Option<rustls::Error> {
        self.bytes().fault.clone()
    }

    fn bytes(&self) -> MutexGuard<'_, Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_fault(&self, error: &io::Error) {
        let fault = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(fault) = fault {
            self.bytes().fault = Some(fault.clone());
        }
    }

    fn note(&self, bytes: &[u8]) -> bool {
        let mut heard = self.bytes();
        let is_first = heard.count == 0 && !bytes.is_empty();
        heard.count += bytes.len() as u64;
        let room = KEPT_BYTES_MAX.saturating_sub(heard.first.len());
        heard.first.extend(bytes.iter().take(room));
        is_first
    }
}

impl Listened {
    /// `trace` is told when the first byte comes.
    pub(super) fn new(stream: Box<dyn Stream>, trace: Option<Trace>) -> (Self, Heard) {
        let heard = Heard::default();
        (Listened { stream, heard: heard.clone(), trace, in_turn: 0 }, heard)
    }
}

impl AsyncRead for Listened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.in_turn >= TURN_BYTES_MAX {
            self.in_turn = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Poll::Ready(Err(error)) = &polled {
            self.heard.note_fault(error);
        }
        self.in_turn += (buffer.filled().len() - before) as u64;
        let is_first = self.heard.note(&buffer.filled()[before..]);
        if let Some(trace) = self.trace.as_ref().filter(|_| is_first) {
            trace.enter(Phase::Body);
        }
        polled
    }
}

impl AsyncWrite for Listened {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
