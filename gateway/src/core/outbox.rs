//! Replies on their way to one peer. Empty, and without memory, as long as the peer takes what it gets.

use super::stream::Stream;
use std::io;
use std::task::{Context, Poll, ready};
use zeroize::Zeroize;

use paytypes::bytes::grow;

/// What the peer has not taken yet.
#[derive(Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
    /// The TLS layer may hold records back.
    held: bool,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.held
    }

    /// Sends `bytes` at once when nothing waits, and keeps what the peer does not take. The owner of the
    /// connection has to poll what is kept.
    pub(crate) fn send(&mut self, stream: &mut Stream, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        if self.is_empty() && !rest.is_empty() {
            self.held = true;
            while let Poll::Ready(sent) = stream.poll_send(cx, rest) {
                let (_, left) = rest.split_at_checked(progress(sent?)?).unwrap_or_default();
                rest = left;
                if rest.is_empty() {
                    break;
                }
            }
        }
        // What waits may carry a clear PIN.
        if !rest.is_empty() {
            grow(&mut self.bytes, rest.len());
            self.bytes.extend_from_slice(rest);
        }
        match self.poll(stream, cx) {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Goes on with what is kept; ready when nothing is left. [`Outbox::waiting`] tells progress.
    pub(crate) fn poll(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.bytes.get(self.sent..).filter(|rest| !rest.is_empty()) {
            self.held = true;
            let sent = progress(ready!(stream.poll_send(cx, rest))?)?;
            self.sent = self.sent.saturating_add(sent);
        }
        self.release();
        ready!(stream.poll_flush(cx))?;
        self.held = false;
        Poll::Ready(Ok(()))
    }

    /// Bytes that the peer has not taken.
    pub(crate) fn waiting(&self) -> usize {
        self.bytes.len().saturating_sub(self.sent)
    }

    fn release(&mut self) {
        self.sent = 0;
        if self.bytes.capacity() > 0 {
            self.bytes.zeroize();
            self.bytes = Vec::new();
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.release();
    }
}

fn progress(sent: usize) -> io::Result<usize> {
    if sent == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(sent) }
}
