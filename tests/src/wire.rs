//! A blocking client, as small as one can be.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Characters of the example files are bytes.
pub fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).expect("a character of one byte")).collect()
}

/// Bytes as such characters.
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// Appends a frame with its length field.
pub fn append(out: &mut Vec<u8>, frame: &[u8]) {
    out.extend_from_slice(&u16::try_from(frame.len()).expect("frame length").to_be_bytes());
    out.extend_from_slice(frame);
}

/// A connection.
pub struct Wire {
    stream: TcpStream,
    number: u32,
}

impl Wire {
    /// Connects; reads give up after 20 seconds.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_write_timeout(Some(Duration::from_secs(20)))?;
        Ok(Self { stream, number: 0 })
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Writes bytes as they stand.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads one frame; `None` when the server has closed before its first byte.
    pub fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut length = [0; 2];
        match self.stream.read(&mut length)? {
            0 => return Ok(None),
            1 => self.stream.read_exact(&mut length[1..])?,
            _ => {}
        }
        let mut frame = vec![0; usize::from(u16::from_be_bytes(length))];
        self.stream.read_exact(&mut frame)?;
        Ok(Some(frame))
    }

    /// One message with a header of four bytes that is not used twice, and the reply behind that header.
    pub fn exchange(&mut self, message: &[u8]) -> io::Result<Vec<u8>> {
        self.number = self.number.wrapping_add(1);
        let header = self.number.to_be_bytes();
        let mut out = Vec::new();
        append(&mut out, &[&header, message].concat());
        self.write(&out)?;
        let reply = self.read()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        match reply.strip_prefix(&header) {
            Some(rest) => Ok(rest.to_vec()),
            None => Err(io::Error::new(io::ErrorKind::InvalidData, "header of another message")),
        }
    }
}
