//! A plain or TLS stream, driven by polls: a connection is one small state machine, not a pair of tasks.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Reads once (TLS: all records that are there). 0 is the end of the stream. A plain read that does
    /// not fill the buffer tells tokio that nothing is left, so the next poll costs no system call.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(room);
        let stream = match self {
            Self::Plain(stream) => {
                ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
                return Poll::Ready(Ok(buffer.filled().len()));
            }
            Self::Tls(stream) => stream,
        };
        loop {
            let before = buffer.filled().len();
            if buffer.remaining() == 0 {
                return Poll::Ready(Ok(before));
            }
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().len() > before => {}
                // What was read before the end or the error is served first; it will show again.
                Poll::Ready(Ok(())) | Poll::Pending if before > 0 => return Poll::Ready(Ok(before)),
                Poll::Ready(Err(_)) if before > 0 => return Poll::Ready(Ok(before)),
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(0)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Writes some of the bytes.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    /// Pushes out what the TLS layer holds back.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    /// Tells the peer that nothing more comes.
    pub(crate) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
