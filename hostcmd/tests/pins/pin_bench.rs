//! A unit with test LMKs, keys that the test knows in clear, and PIN blocks made outside of it.

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use hostcmd::{Authorised, Engine, Finished, Moment, Port, Role, Settings, Unit};
use hsm::{BlockAttributes, Hsm, KeyType, LmkId, Scheme, SealAs};
use hsm_sim::{LmkSet, Options, RandomSource, Simulator};
use paytypes::soft::{Soft, SoftKey};
use paytypes::{
    Algorithm, Cipher, CipherKind, Direction, Drawn, Exportability, KeyUsage, KeyVersion, ModeOfUse, Pin,
    hex, now,
};
use pinblock::{Account, Format};
use std::rc::Rc;
use tr31::sblock::{self, SHeader, SKeys};
use tr31::{Attributes, OptionalBlocks};

/// A key in clear and its token under the LMK of the bench.
pub struct Known {
    pub token: String,
    pub clear: SoftKey,
}

/// A unit with one listener.
pub struct Bench {
    engine: Engine,
    port: Rc<Port>,
    lmk: u8,
}

impl Bench {
    pub fn new(lmk: u8, role: Role, settings: Settings) -> Self {
        let random = RandomSource::seeded(7);
        let simulator = Simulator::new(&LmkSet::public_test(), Options { random }).unwrap();
        let unit = Unit {
            authorised: Authorised::ALL,
            decimalisation_tables: vec![*b"0123456789012345"],
            ..Unit::default()
        };
        let port = Rc::new(Port { role, ..Port::new(LmkId(lmk), settings) });
        Self { engine: Engine::new(Box::new(simulator), unit), port, lmk }
    }

    pub fn strict(lmk: u8) -> Self {
        Self::new(lmk, Role::Any, Settings::STRICT)
    }

    pub fn authorise(&mut self, authorised: Authorised) {
        self.engine.set_authorised(authorised);
    }

    /// Sets the clock of the unit: `YYMMDD` and `HHMMSS`.
    pub fn set_time(&mut self, date: &[u8; 6], time: &[u8; 6]) {
        self.engine.update_unit(|unit| unit.now = Moment { date: *date, time: *time });
    }

    /// Code and body of the reply.
    pub fn ask(&mut self, request: &str) -> (String, String) {
        let ticket = self.engine.submit(&self.port, format!("HEAD{request}").as_bytes());
        self.engine.run();
        let mut reply = Vec::new();
        assert!(matches!(self.engine.finish(ticket, &mut reply), Finished::Reply { .. }));
        let reply = String::from_utf8(reply).unwrap();
        (reply[6..8].to_owned(), reply[8..].to_owned())
    }

    /// The body of a reply that must be good.
    pub fn good(&mut self, request: &str) -> String {
        let (code, body) = self.ask(request);
        assert_eq!(code, "00", "{request}");
        body
    }

    /// The code of a reply.
    pub fn code(&mut self, request: &str) -> String {
        self.ask(request).0
    }

    pub fn key(&self, kind: CipherKind, clear: &str, key_type: &[u8; 3], usage: &[u8; 2]) -> Known {
        let clear = hex::decode_vec(clear.as_bytes()).unwrap();
        let form = if self.lmk == 0 {
            SealAs::Variant { scheme: Scheme::U, key_type: KeyType::new(*key_type).unwrap() }
        } else {
            let attributes = BlockAttributes {
                usage: KeyUsage(*usage),
                mode: ModeOfUse::ANY,
                version: KeyVersion::UNUSED,
                exportability: Exportability::NONE,
            };
            SealAs::Block { attributes, optional_count: 0, optional: Vec::new() }
        };
        let lmk = LmkId(self.lmk);
        let token = drive(async |hsm| {
            let key = hsm.load(kind, &clear).await.unwrap();
            hsm.seal(lmk, &key, form).await.unwrap()
        });
        let mut text = Vec::new();
        token.write(&mut text);
        Known { token: String::from_utf8(text).unwrap(), clear: SoftKey::new(kind, &clear).unwrap() }
    }

    pub fn zpk(&self) -> Known {
        self.key(CipherKind::Tdes, "9823A4D0E55B76C1ABF2400D6E3BCD19", b"001", b"72")
    }

    pub fn tpk(&self) -> Known {
        self.key(CipherKind::Tdes, "0BB5F2E36D7C91A8C4DF08133BA7629E", b"002", b"71")
    }

    pub fn aes(&self, usage: &[u8; 2]) -> Known {
        self.key(CipherKind::Aes, "C1D2E3F405162738495A6B7C8D9EAFB0", b"001", usage)
    }

    pub fn pvk(&self, usage: &[u8; 2]) -> Known {
        self.key(CipherKind::Tdes, "5EA7193BC85DF20101EC7FAB3480D6CE", b"002", usage)
    }
}

fn drive<T>(task: impl AsyncFnOnce(Hsm) -> T) -> T {
    let mut simulator = Simulator::new(&LmkSet::public_test(), Options::default()).unwrap();
    let hsm = Hsm::new();
    let mut future = pin!(task(hsm.clone()));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => return value,
            Poll::Pending => hsm.run(&mut simulator),
        }
    }
}

pub fn format(code: &str) -> Format {
    Format::from_code(code.as_bytes().try_into().unwrap()).unwrap()
}

/// A PIN block made outside of the unit; zeros for formats that nobody makes there.
pub fn block(key: &Known, code: &str, pin: &str, account: &Account) -> String {
    let pin = Pin::from_ascii(pin.as_bytes()).unwrap();
    let mut random = Drawn::new(&[0xA5, 0xBC, 0xDE, 0xF1, 0x23, 0xCD, 0xEF, 0xAB]);
    let made = pinblock::encipher::encode_under(&Soft, &key.clear, format(code), &pin, account, &mut random);
    match now(made).unwrap() {
        Ok(made) => hex::encode(made.as_bytes()),
        Err(_) => "0".repeat(format(code).block_length() * 2),
    }
}

/// The PIN of a block that the unit made.
pub fn pin_of(key: &Known, code: &str, block: &str, account: &Account) -> String {
    pin_if_any(key, code, block, account).unwrap()
}

/// The PIN of a block, when it is one of the account.
pub fn pin_if_any(key: &Known, code: &str, block: &str, account: &Account) -> Option<String> {
    let block = hex::decode_vec(block.as_bytes()).unwrap();
    let pin = pinblock::encipher::decode_under(&Soft, &key.clear, format(code), &block, account);
    let pin = now(pin).unwrap().ok()?;
    Some(pin.expose().iter().map(|digit| char::from(digit | b'0')).collect())
}

/// A double-length TDES key in an `S` block with whatever optional blocks, under any key.
pub fn in_block(under: &SoftKey, lmk: sblock::LmkId, usage: &[u8; 2], optional: &str) -> String {
    let keys = now(SKeys::new(&Soft, under)).unwrap().unwrap();
    let attributes = Attributes {
        usage: KeyUsage(*usage),
        algorithm: Algorithm::TDES,
        mode: ModeOfUse::ANY,
        key_version: KeyVersion::UNUSED,
        exportability: Exportability::EXPORTABLE,
    };
    let count = u8::from(!optional.is_empty());
    let blocks = OptionalBlocks::parse(optional.as_bytes(), count, 1).unwrap();
    let header = SHeader { blocks, ..SHeader::new(keys.version(), attributes, lmk) };
    let clear = hex::decode_vec(b"9823A4D0E55B76C1ABF2400D6E3BCD19").unwrap();
    let mut text = b"S".to_vec();
    let mut pad = Drawn::new(&[0x5A; 16]);
    now(sblock::seal(&Soft, &keys, &header, &clear, &mut pad, &mut text)).unwrap().unwrap();
    String::from_utf8(text).unwrap()
}

/// Any eight clear bytes under a key.
pub fn encrypted(key: &Known, mut clear: [u8; 8]) -> String {
    key.clear.ecb(Direction::Encrypt, &mut clear).unwrap();
    hex::encode(&clear)
}
