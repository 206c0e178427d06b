//! What can be said of a frame without an engine: for a gateway whose engine is in another process, which
//! judges roles itself and must answer when that process is gone.

use super::Frame;
use super::frame::{Head, begin_reply, to_text};
use crate::Code;
use crate::context::Port;
use crate::table::{self, TABLE};
use zeroize::Zeroize;

/// What may become of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// A command that this listener may serve; row of the table.
    Admitted(usize),
    /// Unknown, or not for this listener's role: 68. Row of the table when there is one.
    Refused(Option<usize>),
    /// No reply can be made of it: close the connection.
    Close,
}

/// Judges a frame, and appends to `out` the reply that refuses it: with 68 when it is refused, and with
/// `unreachable` when it is admitted, for the case that nobody can be asked to run it.
pub fn judge(port: &Port, frame: &[u8], unreachable: Code, out: &mut Vec<u8>) -> Judged {
    let mut text = Vec::new();
    to_text(port, frame, &mut text);
    let ascii = if port.ebcdic { text.as_slice() } else { frame };
    let judged = judge_text(port, Frame { raw: frame, text: ascii }, unreachable, out);
    text.zeroize();
    judged
}

fn judge_text(port: &Port, frame: Frame<'_>, unreachable: Code, out: &mut Vec<u8>) -> Judged {
    let Some(mut head) = Head::read(port, frame.text) else { return Judged::Close };
    head.search_trailer(port, frame);
    let row = table::find(head.code);
    let audience = row.and_then(|row| TABLE.get(row)).map(|row| row.about.audience);
    let admitted = row.filter(|_| audience.is_some_and(|audience| audience.admits(port.role)));
    let code = if admitted.is_some() { unreachable } else { Code::DISABLED };
    out.extend_from_slice(frame.raw.get(..port.header_length).unwrap_or_default());
    begin_reply(port, head.code, code, out);
    out.extend_from_slice(head.trailer());
    admitted.map_or(Judged::Refused(row), Judged::Admitted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::to_ebcdic;
    use crate::{Role, Settings};
    use hsm::LmkId;

    fn judged(port: &Port, frame: &[u8]) -> (Judged, Vec<u8>) {
        let mut out = Vec::new();
        let judged = judge(port, frame, Code::DEVICE, &mut out);
        (judged, out)
    }

    #[test]
    fn roles_unknown_codes_and_frames_without_a_code() {
        let mut port = Port::new(LmkId(0), Settings::STRICT);
        port.role = Role::Acquirer;
        let row = |code| table::find(code).unwrap();
        assert_eq!(judged(&port, b"HEADNC"), (Judged::Admitted(row(*b"NC")), b"HEADND42".to_vec()));
        assert_eq!(judged(&port, b"HEADA00"), (Judged::Refused(Some(row(*b"A0"))), b"HEADA168".to_vec()));
        assert_eq!(judged(&port, b"HEADzz"), (Judged::Refused(None), b"HEADz{68".to_vec()));
        assert_eq!(judged(&port, b"HEAD\x01A"), (Judged::Close, vec![]));
        assert_eq!(judged(&port, b"HEADA"), (Judged::Close, vec![]));
    }

    #[test]
    fn the_trailer_comes_back_and_ebcdic_ports_get_ebcdic() {
        let mut port = Port::new(LmkId(0), Settings::STRICT);
        assert_eq!(judged(&port, b"HEADNC\x19end").1, b"HEADND42\x19end");
        port.ebcdic = true;
        let code = b"NC".map(to_ebcdic);
        let reply = b"ND42".map(to_ebcdic);
        assert_eq!(
            judged(&port, &[b"\x00\xFFab", &code[..]].concat()).1,
            [b"\x00\xFFab", &reply[..]].concat()
        );
    }
}
