//! Framing: two bytes of length, big-endian, not counting themselves (host-commands.md section 1).

use crate::Error;
use bytes::{Buf, Bytes, BytesMut};
use std::io;
use tokio_util::codec::Decoder;

/// Longest frame behind its length field.
pub const FRAME_MAX: usize = 65_535;

/// Appends a frame made of several parts to `out`.
pub fn append(out: &mut Vec<u8>, parts: &[&[u8]]) -> Result<(), Error> {
    let length: usize = parts.iter().map(|p| p.len()).sum();
    let field = u16::try_from(length).map_err(|_| Error::Length(length))?;
    out.extend_from_slice(&field.to_be_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
    Ok(())
}

/// Takes whole frames off what was received, without their length fields.
#[derive(Clone, Copy, Debug, Default)]
pub struct Framing;

impl Decoder for Framing {
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, received: &mut BytesMut) -> io::Result<Option<Bytes>> {
        let Some((field, rest)) = received.split_first_chunk::<2>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*field));
        if rest.len() < length {
            return Ok(None);
        }
        received.advance(2);
        Ok(Some(received.split_to(length).freeze()))
    }
}

/// Bytes that were received and not yet taken as frames.
#[derive(Debug, Default)]
pub struct Frames(BytesMut);

impl Frames {
    /// Adds what one read gave.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole frame, without its length field.
    pub fn next_frame(&mut self) -> Option<Bytes> {
        // Framing knows no error: every length that the field can announce is a frame.
        Framing.decode(&mut self.0).ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let mut wire = Vec::new();
        append(&mut wire, &[b"HEAD", b"NC"]).unwrap();
        append(&mut wire, &[]).unwrap();
        append(&mut wire, &[b"0001", b"B2", b"0000"]).unwrap();
        assert_eq!(&wire[..8], b"\0\x06HEADNC");
        for step in 1..wire.len() {
            let (mut frames, mut seen) = (Frames::default(), Vec::new());
            for piece in wire.chunks(step) {
                frames.extend(piece);
                while let Some(frame) = frames.next_frame() {
                    seen.push(frame.to_vec());
                }
            }
            assert_eq!(seen, [b"HEADNC".to_vec(), Vec::new(), b"0001B20000".to_vec()]);
        }
    }

    #[test]
    fn too_long_is_refused() {
        assert!(matches!(append(&mut Vec::new(), &[&[0; FRAME_MAX + 1]]), Err(Error::Length(_))));
    }
}
