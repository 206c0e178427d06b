//! CA: translate a PIN block from a TPK to a ZPK, or to the PIN key of a DUKPT transaction.

use super::cc_pin_zpk_to_zpk::Reply;
use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::dukpt::Destination;
use crate::service::keys::{self, Place, TPK, Use};
use crate::service::pins::{self, Side};
use crate::wire::{Account, Message, Number, PinBlockText, Step, Untagged, Wire};
use hsm::{KeyToken, join};

/// PIN block, TPK to ZPK or DUKPT.
#[derive(Debug)]
pub struct PinTpkToZpk;

/// Keys, block, formats, account.
#[derive(Debug, Default)]
pub struct Request {
    /// TPK of the block that came.
    pub source: KeyToken,
    /// Where the block goes.
    pub destination: Destination,
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
        wire.key("TPK", Untagged::Single, &mut self.source)?;
        self.destination.walk_key(wire)?;
        self.destination.walk_ksn(wire)?;
        wire.number("maximum PIN length", &mut self.maximum_pin_length)?;
        wire.pin_block("source PIN block", &self.source, &mut self.block)?;
        wire.digits("source format", &mut self.source_format)?;
        wire.digits("destination format", &mut self.destination_format)?;
        wire.account("account", &[self.source_format, self.destination_format], &mut self.account)
    }
}

impl Command for PinTpkToZpk {
    const ABOUT: About = About {
        code: *b"CA",
        title: "Translate a PIN from a TPK to a ZPK",
        audience: Audience::Traffic,
        class: Class::Pins,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request:
                b"CAU1B9A046FBE27BE46DA1F086DF0E7F6ECU291A194BFEAAD0C6DDE69E92AE6BB0D81245A441969907041D01\
                47455547785601",
            expect: Expect::Like(b"CB0005................47"),
            source: "wire-examples CA-0-00037",
        },
        Example {
            lmk: 1,
            request:
                b"CAS0007271TN00E0001E6382721025BD1916EB147DA35E2D2D6F729CD4F7B1635A4EAF6EC92S0007272TN00E\
                000118A7BD4C53468A667AC86EA3F03BEBC676ACBDD0651C296725549C3A12381BDFE2C870E03D4701659221\
                672071%01",
            expect: Expect::Reply(b"CB0004CC4EE86C6B449E3601"),
            source: "wire-examples CA-1-00038",
        },
        Example {
            lmk: 2,
            request:
                b"CAS10096P0TN00E0002DBF2E75BF7B92D1B0F38DE07F5222158B614E7575971CEAEC6F9A74929A979BA74BDD\
                4DF5FDA029DS1009672TN00E0002E7526A151766241ED13701A088F4059996CDFD5DFCB6FEA771EB12BD72E7\
                FCD4753E3AC7A8816C931269379487E0BA25994747010178557885",
            expect: Expect::Like(b"CB0006................47"),
            source: "wire-examples CA-2-00039",
        },
        Example {
            lmk: 0,
            request:
                b"CAU284333724A040F7CD8FA1C55229E4558*U8E3D3E2FD5919657F05A1AA90D32A014A05FFFF9876543210E0\
                0001124AD2290F784F5DC20101401234567890",
            expect: Expect::Reply(b"CB00041B9C1845EB993A7A01"),
            source: "ANSI X9.24-1 sample block of counter 1; CA layout with DUKPT: own vector",
        },
        Example {
            lmk: 1,
            request:
                b"CAS0007271TB00E0001DEFD91E95E75A14B1A5E7CAC72B8EE55A10A5EB6B18ACC8B3B76AAFC~S0007242TX00\
                E0001347AE810F4DC30E39755FF649AFD2F7C9D84F38F54BA5C8D60B319C7A05FFFF9876543210E00001124A\
                D2290F784F5DC20101401234567890",
            expect: Expect::Reply(b"CB00041B9C1845EB993A7A01"),
            source: "ANSI X9.24-1 sample block of counter 1; CA layout with DUKPT: own vector",
        },
        Example {
            lmk: 2,
            request:
                b"CAS1009671TB00E0002A6087AACCA77915FAED65886A3CC32D62814FDDC6A584656F70486375CD3FEE145C83\
                AF1658AB66E*S10096B0AX00E000286DE924D77AC96CD80D6375B4AD432F53C5ED47B1FF3F2BC933BD474DEF\
                BB2A9CF9D2DDAF4BB6DF2808123456789012345600000001124AD2290F784F5DC20148401234567890",
            expect: Expect::Like(b"CB0004................................48"),
            source: "own vector: to AES DUKPT and ISO format 4",
        },
        Example {
            lmk: 0,
            request:
                b"CAU3976B8AD088C33AD5D2F72B7D4D8EB49UBD359A27EE8A9872D7C9947496EF757A12369D7E2E58BAE0D301\
                05081022373011",
            expect: Expect::Code(b"23"),
            source: "wire-examples CA-0-00202",
        },
    ];
    type Request = Request;
    type Reply = Reply;

    async fn run(cx: Cx, r: Request) -> Answer<Reply> {
        let terms = pins::two_terms(r.source_format, r.destination_format, &r.account)
            .and_then(|terms| pins::judge_maximum(r.maximum_pin_length).map(|()| terms));
        let ksn = r.destination.read_ksn()?;
        let source = keys::open(&cx, &r.source, &TPK, Use::Decrypt, Place::Source);
        let (source, destination) = join(source, r.destination.open(&cx, ksn.as_ref())).await;
        let (source, destination) = (source?, destination?);
        let (from_format, to_format, account) = terms?;
        let from = Side { key: &source, format: from_format, account: &account };
        let to = Side { key: &destination, format: to_format, account: &account };
        let (length, block) = pins::translate(&cx, from, &r.block, to).await?;
        Ok(Reply { pin_length: Number(length.into()), block, format: r.destination_format }.into())
    }
}
