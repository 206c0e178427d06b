//! Both directions of a socket at once. Bytes to send gather in one buffer, so that a batch is one write; and
//! reading never waits for writing, so that two full socket buffers cannot block each other for ever.

use crate::frame::Frames;
use crate::stream::Stream;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

const READ_SIZE: usize = 16 * 1024;

/// A socket with what is to be sent and what was received.
pub(crate) struct Pump {
    input: ReadHalf<Stream>,
    output: WriteHalf<Stream>,
    /// Frames that came.
    pub(crate) frames: Frames,
    /// Frames to send.
    pub(crate) out: Vec<u8>,
    sent: usize,
    unflushed: bool,
    room: Box<[u8; READ_SIZE]>,
}

impl Pump {
    pub(crate) fn new(stream: Stream) -> Self {
        let (input, output) = tokio::io::split(stream);
        let room = Box::new([0; READ_SIZE]);
        Self { input, output, frames: Frames::default(), out: Vec::new(), sent: 0, unflushed: false, room }
    }

    /// Waits until something was sent or received. Dropping the future loses nothing.
    pub(crate) async fn turn(&mut self) -> io::Result<()> {
        let unsent = self.out.get(self.sent..).unwrap_or_default();
        tokio::select! {
            read = self.input.read(self.room.as_mut_slice()) => {
                let count = read?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.frames.extend(self.room.get(..count).unwrap_or_default());
                Ok(())
            }
            pushed = push(&mut self.output, unsent), if self.unflushed || !unsent.is_empty() => {
                self.unflushed = !unsent.is_empty();
                self.sent += pushed?;
                if self.sent == self.out.len() {
                    self.out.clear();
                    self.sent = 0;
                }
                Ok(())
            }
        }
    }
}

// TLS keeps records back until it is flushed; on a TCP socket flushing does nothing.
async fn push(output: &mut WriteHalf<Stream>, bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return output.flush().await.map(|()| 0);
    }
    match output.write(bytes).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        count => Ok(count),
    }
}
