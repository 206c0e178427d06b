//! Frame rules: header, command code, trailer, and the refusal of what cannot be run.

use super::{Frame, Slot};
use crate::Code;
use crate::context::Port;
use crate::wire::{from_ebcdic, to_ebcdic};
use smallvec::SmallVec;

/// Longest trailer behind X'19'.
const TRAILER_MAX: usize = 32;
const END_OF_MESSAGE: u8 = 0x19;

/// What is read of a frame before its command is known.
#[derive(Default)]
pub(crate) struct Head {
    pub(super) code: [u8; 2],
    trailer: SmallVec<[u8; 33]>,
}

impl Head {
    /// `None` when no reply can be made: shorter than header and code, or a code that is not printable.
    #[inline]
    pub(super) fn code_of(port: &Port, text: &[u8]) -> Option<[u8; 2]> {
        let code = text.get(port.header_length..)?.first_chunk::<2>()?;
        code.iter().all(u8::is_ascii_graphic).then_some(*code)
    }

    /// Of a frame that is looked at and not run.
    pub(super) fn read(port: &Port, text: &[u8]) -> Option<Self> {
        Self::code_of(port, text).map(|code| Self { code, ..Self::default() })
    }

    /// Begins with a code and without a trailer.
    #[inline]
    pub(super) fn begin(&mut self, code: [u8; 2]) {
        self.code = code;
        self.trailer.clear();
    }

    /// Mark and trailer as they came; empty when there was none.
    pub(super) fn trailer(&self) -> &[u8] {
        &self.trailer
    }

    #[inline]
    pub(super) fn keep_trailer(&mut self, trailer: &[u8]) {
        if !trailer.is_empty() {
            self.trailer = SmallVec::from_slice(trailer);
        }
    }

    /// Adds text to the trailer, in the character set of the port; the mark stands in front when there was none.
    pub(super) fn extend_trailer(&mut self, port: &Port, text: &[u8]) {
        if self.trailer.is_empty() && !text.is_empty() {
            self.trailer.push(END_OF_MESSAGE);
        }
        self.trailer.extend(text.iter().map(|c| if port.ebcdic { to_ebcdic(*c) } else { *c }));
    }

    /// The trailer of a frame that was refused before its end was found: the last mark behind the command
    /// code with at most 32 printable characters behind it.
    #[cold]
    pub(super) fn search_trailer(&mut self, port: &Port, frame: Frame<'_>) {
        let body = port.header_length.saturating_add(2);
        let from = frame.text.len().saturating_sub(TRAILER_MAX.saturating_add(1)).max(body);
        let tail = frame.text.get(from..).unwrap_or_default();
        let Some(at) = tail.iter().rposition(|c| *c == END_OF_MESSAGE) else { return };
        let behind = tail.get(at.saturating_add(1)..).unwrap_or_default();
        if behind.iter().all(|c| matches!(c, b' '..=b'~')) {
            self.keep_trailer(frame.raw.get(from.saturating_add(at)..).unwrap_or_default());
        }
    }
}

/// The frame in ASCII, for an EBCDIC port; untouched otherwise.
pub(super) fn to_text(port: &Port, frame: &[u8], text: &mut Vec<u8>) {
    if port.ebcdic {
        text.extend(frame.iter().map(|c| from_ebcdic(*c)));
    }
}

/// Reply code and error code behind the header.
#[inline]
pub(super) fn begin_reply(port: &Port, request: [u8; 2], code: Code, out: &mut Vec<u8>) {
    let ([a, b], [c, d]) = (request, code.0);
    let text = [a, b.wrapping_add(1), c, d];
    if port.ebcdic { put_ebcdic(text, out) } else { out.extend_from_slice(&text) }
}

#[cold]
#[inline(never)]
fn put_ebcdic(text: [u8; 4], out: &mut Vec<u8>) {
    out.extend_from_slice(&text.map(to_ebcdic));
}

/// A reply that is nothing but a code, whatever was written behind the header.
#[cold]
pub(super) fn refuse(port: &Port, slot: &mut Slot, code: Code) {
    slot.code = code;
    slot.reply.truncate(port.header_length);
    begin_reply(port, slot.head.code, code, &mut slot.reply);
}
