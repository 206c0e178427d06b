//! The demo's client: plain blocking sockets, headers as correlation ids.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One connection.
pub struct Wire {
    stream: TcpStream,
    next: u16,
}

impl Wire {
    /// Connects; a server that does not answer within ten seconds is an error.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self { stream, next: 0 })
    }

    /// One command; gives the reply behind the header.
    pub fn exchange(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        self.next = self.next.wrapping_add(1);
        let header = format!("{:04X}", self.next);
        let mut frame = Vec::with_capacity(request.len() + 6);
        append(&mut frame, header.as_bytes(), request);
        self.stream.write_all(&frame)?;
        let reply = self.read_frame()?;
        match reply.strip_prefix(header.as_bytes()) {
            Some(body) => Ok(body.to_vec()),
            None => Err(io::Error::other("a reply came with another header")),
        }
    }

    /// Writes a batch of frames that were made by [`append`].
    pub fn send(&mut self, frames: &[u8]) -> io::Result<()> {
        self.stream.write_all(frames)
    }

    /// Reads exactly `length` bytes of replies.
    pub fn receive(&mut self, into: &mut [u8]) -> io::Result<()> {
        self.stream.read_exact(into)
    }

    fn read_frame(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 2];
        self.stream.read_exact(&mut length)?;
        let mut frame = vec![0; usize::from(u16::from_be_bytes(length))];
        self.stream.read_exact(&mut frame)?;
        Ok(frame)
    }
}

/// Appends a whole frame: length, header, command.
pub fn append(frames: &mut Vec<u8>, header: &[u8], command: &[u8]) {
    let length = u16::try_from(header.len() + command.len()).unwrap_or(u16::MAX);
    frames.extend(length.to_be_bytes());
    frames.extend(header);
    frames.extend(command);
}
