//! NO: status of the host port (mode 00) and of settings that matter to PCI HSM (mode 01).

use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::wire::{Message, Number, Step, Wire};
use crate::{Code, Cx};

/// Status.
#[derive(Debug)]
pub struct Status;

/// Which status.
#[derive(Debug, Default)]
pub struct Request {
    /// `00` or `01`.
    pub mode: [u8; 2],
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.choice("mode", &mut self.mode, &[b"00", b"01"], Code::INPUT)
    }
}

/// Host port, mode 00.
#[derive(Debug, Default)]
pub struct HostPort {
    /// Buffer class: `3` is 32 KiB.
    pub buffer: [u8; 1],
    /// `0` UDP, `1` TCP.
    pub transport: [u8; 1],
    /// Sockets that a client may open. Clients tell longer forms of this field of newer units by the
    /// length of the reply; two digits are read by all of them, and 99 stands for more.
    pub sockets: Number<2>,
    /// Firmware number.
    pub firmware: [u8; 9],
    /// Always zeros.
    pub reserved: [u8; 5],
}

/// One of the two.
#[derive(Debug)]
pub enum Reply {
    /// Mode 00.
    Port(HostPort),
    /// Mode 01: `0` says that settings are not those of a PCI HSM, the separation of key type 002 being one.
    Pci([u8; 1]),
}

impl Default for Reply {
    fn default() -> Self {
        Self::Port(HostPort::default())
    }
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        if wire.reading() && !wire.ahead().get(1).is_some_and(u8::is_ascii_digit) {
            *self = Self::Pci([0]);
        }
        match self {
            Self::Pci(flag) => wire.digits("PCI HSM flag", flag),
            Self::Port(port) => {
                wire.digits("buffer class", &mut port.buffer)?;
                wire.digits("transport", &mut port.transport)?;
                wire.number("sockets", &mut port.sockets)?;
                wire.text("firmware number", &mut port.firmware)?;
                wire.text("reserved", &mut port.reserved)
            }
        }
    }
}

impl Command for Status {
    const ABOUT: About =
        About { code: *b"NO", title: "Status", audience: Audience::Everyone, class: Class::Status };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"NO00",
            expect: Expect::Like(b"NP0031......-....00000"),
            source: "wire-examples NO-0-00159",
        },
        Example {
            lmk: 2,
            request: b"NO01",
            expect: Expect::Reply(b"NP000"),
            source: "wire-examples NO-0-00342",
        },
        Example { lmk: 1, request: b"NO97", expect: Expect::Code(b"15"), source: "wire-examples NO-1-00314" },
    ];
    type Request = Request;
    type Reply = Reply;

    async fn run(cx: Cx, request: Request) -> Answer<Reply> {
        if request.mode == *b"01" {
            // A software unit is no PCI HSM, and type 002 serves PVK, TPK and TMK under a variant LMK.
            return Ok(Reply::Pci(*b"0").into());
        }
        let (sockets, firmware) = cx.with_unit(|unit| (unit.sockets, unit.firmware));
        let sockets = Number(sockets.min(99));
        let (buffer, transport, reserved) = (*b"3", *b"1", *b"00000");
        Ok(Reply::Port(HostPort { buffer, transport, sockets, firmware, reserved }).into())
    }
}
