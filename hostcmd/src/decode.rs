//! Frames for people: a request or a reply field by field, read from the command table by the same walk
//! that the engine parses with, so that no command has a line here.
//!
//! What is secret, or leads to something secret, is shown by its length unless the caller asks for it: keys,
//! cryptograms, PIN blocks and PINs under an LMK. Of account numbers the first six and last four digits
//! are shown at most (PCI DSS 3.4), and six digits stay hidden however short the field is.

use crate::table::{self, Row, TABLE};
use crate::wire::{Reader, Show, Span, Step, Wire, from_ebcdic};
use crate::{Code, Port};
pub use hsm::LmkId;

/// Which way a frame travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the host.
    Request,
    /// To the host.
    Reply,
}

/// A field of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name from the layout of the command.
    pub name: &'static str,
    /// First byte, counted from the start of the frame (header included).
    pub start: usize,
    /// Length in bytes.
    pub length: usize,
    /// What people may see; bytes that do not print stand as `\xNN`.
    pub text: String,
    /// Some of it is hidden.
    pub masked: bool,
}

/// What a frame says.
#[derive(Debug)]
pub struct Decoded {
    /// Which way it travels.
    pub way: Way,
    /// Row of the command; `None` for an unknown code, or a frame too short to have one.
    pub row: Option<&'static Row>,
    /// All fields that were understood, in wire order, header and code included.
    pub fields: Vec<Field>,
    /// LMK selector.
    pub lmk: Option<LmkId>,
    /// Error code of a reply.
    pub code: Option<Code>,
    /// Bytes at the end that belong to no field.
    pub left_over: usize,
    /// The code with which parsing stopped: of a request, what the host would be told.
    pub stopped: Option<Code>,
}

impl Decoded {
    /// True when every byte belongs to a field.
    pub const fn is_whole(&self) -> bool {
        self.stopped.is_none() && self.left_over == 0
    }

    /// The first field of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }
}

/// Decodes frames of one listener.
#[derive(Clone, Copy, Debug)]
pub struct Decoder<'a> {
    /// Header length, character set and settings.
    pub port: &'a Port,
    /// Shows keys, cryptograms, PIN blocks and whole account numbers.
    pub reveal: bool,
}

impl Decoder<'_> {
    /// A request, without its length field.
    pub fn request(&self, frame: &[u8]) -> Decoded {
        self.frame(Way::Request, frame)
    }

    /// A reply, without its length field.
    pub fn reply(&self, frame: &[u8]) -> Decoded {
        self.frame(Way::Reply, frame)
    }

    /// The direction whose command code is in the table; a request when neither or both are.
    pub fn guess(&self, frame: &[u8]) -> Way {
        let text = self.text(frame);
        let code = text.get(self.port.header_length..).and_then(|rest| rest.first_chunk::<2>());
        match code {
            Some(code) if find(Way::Request, *code).is_none() && find(Way::Reply, *code).is_some() => {
                Way::Reply
            }
            _ => Way::Request,
        }
    }

    /// A frame of either direction, without its length field.
    pub fn frame(&self, way: Way, frame: &[u8]) -> Decoded {
        let text = self.text(frame);
        let mut spans = Vec::new();
        let mut walk = Walk { way, text: &text, raw: frame, port: self.port, spans: &mut spans };
        let read = walk.all();
        let end = spans.last().map_or(0, |s| s.start.saturating_add(s.length));
        Decoded {
            way,
            row: read.row,
            fields: spans.into_iter().map(|span| self.field(&span, &text, frame)).collect(),
            lmk: read.lmk,
            code: read.code,
            left_over: frame.len().saturating_sub(end),
            stopped: read.stopped,
        }
    }

    // Header and binary fields are never converted; the walk takes those from the raw frame.
    fn text(&self, frame: &[u8]) -> Vec<u8> {
        if self.port.ebcdic { frame.iter().map(|c| from_ebcdic(*c)).collect() } else { frame.to_vec() }
    }

    fn field(&self, span: &Span, text: &[u8], raw: &[u8]) -> Field {
        let end = span.start.saturating_add(span.length);
        let cut = |bytes: &[u8]| bytes.get(span.start..end).unwrap_or_default().to_vec();
        let converted = cut(text);
        // What is not text after conversion was binary, and is shown as it came.
        let is_text = converted.iter().all(|c| matches!(c, b' '..=b'~' | 0x19));
        let bytes = if span.name != HEADER && is_text { converted } else { cut(raw) };
        let (text, masked) = match span.show {
            _ if self.reveal => (escape(&bytes), false),
            Show::All => (escape(&bytes), false),
            Show::Pan => (mask_pan(&bytes), true),
            Show::Length => (format!("({} bytes)", span.length), true),
        };
        Field { name: span.name, start: span.start, length: span.length, text, masked }
    }
}

const HEADER: &str = "header";

/// Row of a command code; a reply carries the code with its second character one higher.
pub fn find(way: Way, code: [u8; 2]) -> Option<&'static Row> {
    let [a, b] = code;
    let code = match way {
        Way::Request => code,
        Way::Reply => [a, b.wrapping_sub(1)],
    };
    table::find(code).and_then(|row| TABLE.get(row))
}

struct Walk<'a> {
    way: Way,
    text: &'a [u8],
    raw: &'a [u8],
    port: &'a Port,
    spans: &'a mut Vec<Span>,
}

#[derive(Default)]
struct Read {
    row: Option<&'static Row>,
    lmk: Option<LmkId>,
    code: Option<Code>,
    stopped: Option<Code>,
}

impl Walk<'_> {
    fn all(&mut self) -> Read {
        let mut read = Read::default();
        read.stopped = self.parts(&mut read).err();
        read
    }

    fn parts(&mut self, read: &mut Read) -> Step {
        let header = self.port.header_length;
        if self.text.len() < header {
            return Err(Code::INPUT);
        }
        if header > 0 {
            self.spans.push(Span { name: HEADER, start: 0, length: header, show: Show::All });
        }
        let code = self.two(header, "command code")?;
        let mut body = header.saturating_add(2);
        if self.way == Way::Reply {
            read.code = Some(Code(self.two(body, "error code")?));
            body = body.saturating_add(2);
        }
        let row = find(self.way, code).ok_or(Code::DISABLED)?;
        read.row = Some(row);
        self.body(row, body, read)
    }

    fn two(&mut self, at: usize, name: &'static str) -> Result<[u8; 2], Code> {
        let two = self.text.get(at..).and_then(|rest| rest.first_chunk::<2>()).ok_or(Code::INPUT)?;
        self.spans.push(Span { name, start: at, length: 2, show: Show::All });
        Ok(*two)
    }

    fn body(&mut self, row: &Row, at: usize, read: &mut Read) -> Step {
        let walk = match self.way {
            Way::Request => row.walk_request,
            Way::Reply => row.walk_reply,
        };
        let mut reader = Reader::new(self.text, self.raw, at, &self.port.settings).traced(&mut *self.spans);
        // A refusal has no body; an advice code has one all the same.
        let bare = matches!(reader.ahead().first(), None | Some(&0x19));
        let refused = read.code.is_some_and(|code| code != Code::OK) && bare;
        if !refused {
            walk(&mut reader)?;
        }
        let end = reader.finish();
        read.lmk = reader.selected();
        end.map(|_| ())
    }
}

/// Bytes as text: printable characters as they are, a backslash doubled, all others as `\xNN`.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => out.push_str(&format!("\\x{byte:02X}")),
        }
    }
    out
}

// Six digits stay hidden: a field of twelve shows its first two and last four.
fn mask_pan(digits: &[u8]) -> String {
    let first = digits.len().saturating_sub(10).min(6);
    let last = if digits.len() > 10 { digits.len().saturating_sub(4) } else { digits.len() };
    let shown = |(at, c): (usize, &u8)| if at < first || at >= last { char::from(*c) } else { '*' };
    digits.iter().enumerate().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::command::Expect;
    use crate::wire::to_ebcdic;

    fn port(ebcdic: bool) -> Port {
        Port { ebcdic, ..Port::new(LmkId(0), Settings::STRICT) }
    }

    fn decode(way: Way, frame: &[u8]) -> Decoded {
        Decoder { port: &port(false), reveal: false }.frame(way, frame)
    }

    fn names(decoded: &Decoded) -> Vec<&'static str> {
        decoded.fields.iter().map(|f| f.name).collect()
    }

    #[test]
    fn a_request_is_told_field_by_field_to_its_trailer() {
        let decoded = decode(Way::Request, b"HEADB20004ping%01\x19tail");
        assert!(decoded.is_whole(), "{decoded:?}");
        assert_eq!(
            names(&decoded),
            ["header", "command code", "data length", "data", "LMK identifier", "trailer"]
        );
        assert_eq!(decoded.lmk, Some(LmkId(1)));
        assert_eq!(decoded.field("trailer").unwrap().text, "\\x19tail");
        let data = decoded.field("data").unwrap();
        assert_eq!((data.start, data.length, data.text.as_str(), data.masked), (10, 4, "(4 bytes)", true));
    }

    #[test]
    fn revealing_is_a_choice() {
        let decoder = Decoder { port: &port(false), reveal: true };
        let decoded = decoder.request(b"HEADB20004p\\\x00g");
        assert_eq!(decoded.field("data").unwrap().text, "p\\\\\\x00g");
    }

    #[test]
    fn a_refused_frame_tells_where_it_stopped() {
        let short = decode(Way::Request, b"HEADB20004pin");
        assert_eq!((short.stopped, short.left_over), (Some(Code::DATA_LENGTH), 3));
        let long = decode(Way::Request, b"HEADB20004pingpong");
        assert_eq!((long.stopped, long.left_over), (Some(Code::INPUT), 4));
        let unknown = decode(Way::Request, b"HEAD~~xx");
        assert_eq!((unknown.stopped, unknown.left_over), (Some(Code::DISABLED), 2));
        assert!(unknown.row.is_none());
        assert_eq!(decode(Way::Request, b"HEA").stopped, Some(Code::INPUT));
        assert_eq!(decode(Way::Reply, b"HEADB30").stopped, Some(Code::INPUT));
    }

    #[test]
    fn replies_with_and_without_a_body() {
        let good = decode(Way::Reply, b"HEADB300ping");
        assert!(good.is_whole());
        assert_eq!((good.code, good.field("data").unwrap().length), (Some(Code::OK), 4));
        let refusal = decode(Way::Reply, b"HEADB380\x19tail");
        assert!(refusal.is_whole());
        assert_eq!((refusal.code, names(&refusal).pop()), (Some(Code::DATA_LENGTH), Some("trailer")));
        let advice = decode(Way::Reply, b"HEADB302ping");
        assert_eq!(advice.field("data").unwrap().length, 4);
    }

    #[test]
    fn direction_is_guessed_from_the_code() {
        let port = port(false);
        let decoder = Decoder { port: &port, reveal: false };
        assert_eq!(decoder.guess(b"HEADB20000"), Way::Request);
        assert_eq!(decoder.guess(b"HEADB300"), Way::Reply);
        assert_eq!(decoder.guess(b"HEAD~~"), Way::Request);
    }

    #[test]
    fn ebcdic_text_is_shown_in_ascii_and_the_header_as_it_came() {
        let frame: Vec<u8> = b"HEADB20004ping".iter().map(|c| to_ebcdic(*c)).collect();
        let decoded = Decoder { port: &port(true), reveal: false }.request(&frame);
        assert!(decoded.is_whole());
        assert_eq!(decoded.field("command code").unwrap().text, "B2");
        assert_eq!(decoded.field("header").unwrap().text, "\\xC8\\xC5\\xC1\\xC4");
    }

    #[test]
    fn six_digits_of_an_account_stay_hidden() {
        assert_eq!(mask_pan(b"4000001234562000"), "400000******2000");
        assert_eq!(mask_pan(b"4000001234562000123"), "400000*********0123");
        assert_eq!(mask_pan(b"000012345620"), "00******5620");
        assert_eq!(mask_pan(b"1234567890"), "**********");
    }

    #[test]
    fn every_example_of_the_table_decodes() {
        for row in TABLE {
            for example in row.examples {
                let settings = match example.expect {
                    Expect::Legacy(_) => Settings::LEGACY,
                    _ => Settings::STRICT,
                };
                let mut port = Port::new(LmkId(example.lmk), settings);
                port.header_length = 0;
                let decoder = Decoder { port: &port, reveal: false };
                let request = decoder.request(example.request);
                assert!(request.row.is_some(), "{row:?}");
                let (Expect::Reply(reply) | Expect::Like(reply) | Expect::Legacy(reply)) = example.expect
                else {
                    continue;
                };
                assert!(request.is_whole(), "{row:?} {request:?}");
                assert_eq!(decoder.guess(reply), Way::Reply, "{row:?}");
                // `.` stands for any byte, also for digits: only whole replies must decode.
                if !matches!(example.expect, Expect::Like(_)) {
                    assert!(decoder.reply(reply).is_whole(), "{row:?} {:?}", decoder.reply(reply));
                }
            }
        }
    }
}
