//! CC: translate a PIN block from one ZPK to another. The busiest command of a switch.

use crate::command::{About, Answer, Audience, Class, Command, Example, Expect, Stepped, step};
use crate::engine::{Runner, stepped};
use crate::service::keys::{Use, Wanted, ZPK};
use crate::service::translation::Translation;
use crate::wire::{Account, Message, Number, PinBlockText, Step, Untagged, Wire};
use crate::{Code, Cx};
use core::task::{Poll, ready};
use hsm::{Hsm, KeyToken};

/// PIN block, ZPK to ZPK.
#[derive(Debug)]
pub struct PinZpkToZpk;

/// Keys, block, formats, account.
#[derive(Debug, Default)]
pub struct Request {
    /// ZPK of the block that came.
    pub source: KeyToken,
    /// ZPK of the block to make.
    pub destination: KeyToken,
    /// Always `12`.
    pub maximum_pin_length: Number<2>,
    /// The block that came.
    pub block: PinBlockText,
    /// Its format.
    pub source_format: [u8; 2],
    /// Format of the block to make.
    pub destination_format: [u8; 2],
    /// Account of both.
    pub account: Account,
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.key("source ZPK", Untagged::Single, &mut self.source)?;
        wire.key("destination ZPK", Untagged::Single, &mut self.destination)?;
        wire.number("maximum PIN length", &mut self.maximum_pin_length)?;
        wire.pin_block("source PIN block", &self.source, &mut self.block)?;
        wire.digits("source format", &mut self.source_format)?;
        wire.digits("destination format", &mut self.destination_format)?;
        wire.account("account", &[self.source_format, self.destination_format], &mut self.account)
    }
}

/// PIN length, block and format.
#[derive(Debug, Default)]
pub struct Reply {
    /// Length of the PIN.
    pub pin_length: Number<2>,
    /// The block that was made.
    pub block: PinBlockText,
    /// Its format.
    pub format: [u8; 2],
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.number("PIN length", &mut self.pin_length)?;
        wire.reply_pin_block("PIN block", &mut self.block)?;
        wire.digits("format", &mut self.format)
    }
}

impl Command for PinZpkToZpk {
    const ABOUT: About = About {
        code: *b"CC",
        title: "Translate a PIN from one ZPK to another",
        audience: Audience::Traffic,
        class: Class::Pins,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"CCU4F2E0FFE78C277771B15A5434BD03188U908933434BF4AC9473952D615C535905\
                12B4FACE42D28DC39E0501471610006884",
            expect: Expect::Reply(b"CD0006D04B70B919CB882101"),
            source: "wire-examples CC-0-00040",
        },
        Example {
            lmk: 1,
            request: b"CCS00072P0TB00E0001EA421618B34F5FA1A77F7CF6480111B97CF0FAE7BD77D589EC921EF9\
                S00072P0TB00E00010D869FE84C1F77AE64E0019151533363D4CCE7E1C3F89F3D86115EE8\
                12AD72F973446E84E70101850103093936%01",
            expect: Expect::Reply(b"CD0006E614D4AFD47BD3BF01"),
            source: "s-blocks kb-CC, request of an open client",
        },
        Example {
            lmk: 0,
            request: b"CCU4EE02708EF6E43FFE6B80E86CE8959FCU0BD883FE1C0C45282A40FB2F2F762E29\
                12BCE75A6BD613D91C0105838748559544",
            expect: Expect::Code(b"23"),
            source: "security.md 1.1: ISO 0 never becomes ISO 1",
        },
    ];
    type Request = Request;
    type Reply = Reply;

    fn run(cx: Cx, r: Request) -> impl Future<Output = Answer<Reply>> {
        step::<Self>(cx, r)
    }

    fn runner() -> Box<dyn Runner> {
        stepped::<Self>()
    }
}

impl Stepped for PinZpkToZpk {
    type State = Translation;

    // Every field is written, whatever was there.
    #[inline]
    fn renew(_: &mut Request) {}

    #[inline]
    fn begin(state: &mut Translation, cx: &Cx, r: &Request) -> Result<(), Code> {
        state.of(cx, r.source_format, r.destination_format, &r.account, r.maximum_pin_length);
        let source = Wanted { token: &r.source, rule: &ZPK, how: Use::Decrypt };
        let destination = Wanted { token: &r.destination, rule: &ZPK, how: Use::Encrypt };
        state.with(cx, source, destination, &r.block)
    }

    #[inline]
    fn go_on(state: &mut Translation, hsm: &Hsm, reply: &mut Reply) -> Poll<Result<(), Code>> {
        let length = ready!(state.go_on(hsm, &mut reply.block))?;
        reply.pin_length = Number(length.into());
        reply.format = state.new_format();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::wire::{Reader, Writer};

    // What a frame says, as it would be written.
    fn read(request: &mut Request, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut reader = Reader::new(text, text, 2, &Settings::STRICT);
        if request.walk(&mut reader).is_ok() {
            request.walk(&mut Writer::new(&mut out, &Settings::STRICT, false, None)).unwrap();
        }
        out
    }

    #[test]
    fn a_request_is_what_was_read_last() {
        let block = |cipher: &str| format!("S10096P0{cipher}B00N0000{}", "5".repeat(80));
        let (aes, tdes) = (block("A"), block("T"));
        let wide = format!("CC{aes}{tdes}12{}4801401234567890;", "9".repeat(32));
        let pan = format!("CC{tdes}{aes}120123456789ABCDEF01484000001234562;");
        let triple =
            format!("CCU{}T{}12FEDCBA98765432100404123456789012345678", "1".repeat(32), "2".repeat(48));
        let cut = b"CCU0000000000000000000000000000";
        let examples = PinZpkToZpk::EXAMPLES.iter().map(|example| example.request);
        let made = [&wide, &pan, &triple].map(|text| text.as_bytes());
        let texts: Vec<&[u8]> = examples.chain(made).chain([cut.as_slice()]).collect();
        let mut again = Request::default();
        for first in &texts {
            for second in &texts {
                read(&mut again, first);
                let fresh = read(&mut Request::default(), second);
                assert_eq!(read(&mut again, second), fresh);
                assert_eq!(fresh.is_empty(), *second == cut, "{}", String::from_utf8_lossy(second));
            }
        }
    }
}
