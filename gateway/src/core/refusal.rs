//! Replies that need no engine.

use hostcmd::wire::{from_ebcdic, to_ebcdic};
use hostcmd::{Code, Port};

/// Header echoed, reply code, response code; `None` when the command code is not printable or ends with the last
/// character that is, so that no reply code can be made of it. `head` is header and command code.
pub(crate) fn refuse(port: &Port, head: &[u8], code: Code, out: &mut Vec<u8>) -> Option<()> {
    let (header, rest) = head.split_at_checked(port.header_length)?;
    let [a, b] = *rest.first_chunk::<2>()?;
    let [a, b] = if port.ebcdic { [from_ebcdic(a), from_ebcdic(b)] } else { [a, b] };
    let next = b.wrapping_add(1);
    if !(a.is_ascii_graphic() && b.is_ascii_graphic() && next.is_ascii_graphic()) {
        return None;
    }
    out.extend_from_slice(header);
    let [c, d] = code.0;
    let text = [a, next, c, d];
    out.extend(text.map(|c| if port.ebcdic { to_ebcdic(c) } else { c }));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostcmd::Settings;
    use hsm::LmkId;

    #[test]
    fn header_comes_back_untouched_and_the_code_is_the_next() {
        let mut port = Port::new(LmkId(0), Settings::STRICT);
        let mut out = Vec::new();
        assert_eq!(refuse(&port, b"\x00\xFFabCA", Code::INPUT, &mut out), Some(()));
        assert_eq!(out, b"\x00\xFFabCB15");
        assert_eq!(refuse(&port, b"HEAD\x01A", Code::INPUT, &mut out), None);
        assert_eq!(refuse(&port, b"HEADC", Code::INPUT, &mut out), None);
        assert_eq!(refuse(&port, b"HEADN~", Code::INPUT, &mut out), None);
        port.ebcdic = true;
        out.clear();
        let code = b"CA".map(to_ebcdic);
        assert_eq!(refuse(&port, &[b"HEAD", &code[..]].concat(), Code::INPUT, &mut out), Some(()));
        assert_eq!(out, [b"HEAD", &b"CB15".map(to_ebcdic)[..]].concat());
    }
}
