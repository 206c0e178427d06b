//! Frame rules on bytes alone: two bytes of length, big-endian and not counting themselves, then the
//! message (host-commands.md section 1). No sockets here, so that a fuzzer can drive it.

use paytypes::bytes::grow;

/// Bytes of the length field.
pub const LENGTH_FIELD: usize = 2;
const CODE: usize = 2;

/// What stands at the front of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut<'a> {
    /// A whole message, without its length field.
    Frame(&'a [u8]),
    /// The length field announces less than header and command code: nothing can be answered.
    Short,
    /// The length field announces more than is allowed: header and command code, for the refusal.
    Long(&'a [u8]),
}

/// The rules of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRules {
    /// Length of the message header in bytes.
    pub header_length: usize,
    /// Longest message in bytes.
    pub longest: usize,
}

impl FrameRules {
    const fn shortest(&self) -> usize {
        self.header_length.saturating_add(CODE)
    }

    /// How many bytes from the front of the frame are needed before [`FrameRules::cut`] can say what it is.
    pub fn wanted(&self, bytes: &[u8]) -> usize {
        match announced(bytes) {
            None => LENGTH_FIELD,
            Some(length) if length < self.shortest() => LENGTH_FIELD,
            Some(length) if length > self.longest => LENGTH_FIELD.saturating_add(self.shortest()),
            Some(length) => LENGTH_FIELD.saturating_add(length),
        }
    }

    /// Takes one frame off the front of `bytes`; `None` when more bytes are needed. After
    /// [`Cut::Short`] and [`Cut::Long`] the stream has no further meaning and must be closed.
    pub fn cut<'a>(&self, bytes: &mut &'a [u8]) -> Option<Cut<'a>> {
        let length = announced(bytes)?;
        if length < self.shortest() {
            return Some(Cut::Short);
        }
        let (whole, rest) = bytes.split_at_checked(self.wanted(bytes))?;
        let (_, message) = whole.split_at_checked(LENGTH_FIELD)?;
        *bytes = rest;
        Some(if length > self.longest { Cut::Long(message) } else { Cut::Frame(message) })
    }
}

fn announced(bytes: &[u8]) -> Option<usize> {
    bytes.first_chunk::<LENGTH_FIELD>().map(|field| usize::from(u16::from_be_bytes(*field)))
}

/// Appends a frame whose message `write` makes, and says how long the message is. A message that no length
/// field can announce is taken back and `None` is returned. Memory that `out` grows out of is wiped, here and by
/// `write`: there may be clear PINs in it.
pub fn write_frame<T>(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> T) -> (T, Option<usize>) {
    let start = out.len();
    grow(out, LENGTH_FIELD);
    out.extend_from_slice(&[0; LENGTH_FIELD]);
    let body = out.len();
    let given = write(out);
    let length = out.len().saturating_sub(body);
    let field = u16::try_from(length).ok();
    match field.zip(out.get_mut(start..body)) {
        Some((field, place)) => place.copy_from_slice(&field.to_be_bytes()),
        None => out.truncate(start),
    }
    (given, field.map(usize::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: FrameRules = FrameRules { header_length: 4, longest: 32 };

    fn cut_all(mut bytes: &[u8]) -> (Vec<Cut<'_>>, &[u8]) {
        let mut cuts = Vec::new();
        while let Some(cut) = RULES.cut(&mut bytes) {
            cuts.push(cut);
            if !matches!(cut, Cut::Frame(_)) {
                break;
            }
        }
        (cuts, bytes)
    }

    #[test]
    fn many_frames_in_one_piece_and_a_rest() {
        let (cuts, rest) = cut_all(b"\0\x06HEADNC\0\x08HEADB2xy\0\x09HEA");
        assert_eq!(cuts, [Cut::Frame(b"HEADNC"), Cut::Frame(b"HEADB2xy")]);
        assert_eq!(rest, b"\0\x09HEA");
    }

    #[test]
    fn every_split_waits_for_the_rest() {
        let whole = b"\0\x06HEADNC";
        for end in 0..whole.len() {
            let mut part = &whole[..end];
            assert_eq!(RULES.cut(&mut part), None, "{end}");
            assert_eq!(part.len(), end, "nothing is taken");
            assert!(RULES.wanted(part) > end);
        }
        assert_eq!(RULES.wanted(whole), whole.len());
    }

    #[test]
    fn short_frames_are_known_by_their_length_field_alone() {
        for length in 0..6_u8 {
            assert_eq!(cut_all(&[0, length]).0, [Cut::Short], "{length}");
            assert_eq!(RULES.wanted(&[0, length]), 2);
        }
    }

    #[test]
    fn long_frames_give_header_and_code_as_soon_as_these_are_there() {
        assert_eq!(cut_all(b"\0\x21HEADB").0, []);
        assert_eq!(cut_all(b"\0\x21HEADB2").0, [Cut::Long(b"HEADB2")]);
        assert_eq!(cut_all(b"\xFF\xFFHEADB2more").0, [Cut::Long(b"HEADB2")]);
        let longest = [&[0, 32][..], &[b'x'; 32]].concat();
        assert_eq!(cut_all(&longest).0, [Cut::Frame(&[b'x'; 32])]);
    }

    #[test]
    fn headers_of_no_length_and_of_the_greatest() {
        let none = FrameRules { header_length: 0, longest: 32 };
        assert_eq!(none.cut(&mut &b"\0\x02NC"[..]), Some(Cut::Frame(b"NC")));
        let greatest = FrameRules { header_length: 255, longest: 300 };
        assert_eq!(greatest.cut(&mut &b"\x01\0"[..]), Some(Cut::Short));
        assert_eq!(greatest.wanted(&[1, 1]), 259);
    }

    #[test]
    fn frames_are_written_with_their_length_and_impossible_ones_taken_back() {
        let mut out = b"before".to_vec();
        let (given, length) = write_frame(&mut out, |out| {
            out.extend_from_slice(b"HEADND00");
            7
        });
        assert_eq!((given, length, out.as_slice()), (7, Some(8), &b"before\0\x08HEADND00"[..]));
        assert_eq!(write_frame(&mut out, |out| out.resize(70_000, 0)).1, None);
        assert_eq!(out, b"before\0\x08HEADND00");
    }
}
