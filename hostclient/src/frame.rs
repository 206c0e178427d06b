//! Framing: two bytes of length, big-endian, not counting themselves (host-commands.md section 1).

use crate::Error;

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

/// Bytes that were received and not yet taken as frames.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    taken: usize,
}

impl Frames {
    /// Adds what one read gave.
    pub fn extend(&mut self, bytes: &[u8]) {
        if self.taken == self.bytes.len() {
            self.bytes.clear();
        } else {
            self.bytes.drain(..self.taken);
        }
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, without its length field.
    pub fn next_frame(&mut self) -> Option<&[u8]> {
        let rest = self.bytes.get(self.taken..)?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let frame = rest.get(..length)?;
        self.taken += 2 + length;
        Some(frame)
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
