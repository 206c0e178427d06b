//! Units to ask, and tokens of clear keys to ask with.

use hostcmd::{Authorised, Engine, Finished, Port, Settings, Unit};
use hsm::{BlockAttributes, Hsm, Key, KeyToken, KeyType, LmkId, Scheme, SealAs};
use hsm_sim::{LmkSet, Options, Simulator};
use paytypes::{
    Cipher, CipherKind, Exportability, KeyUsage, KeyVersion, ModeOfUse, hex, soft::Soft, soft::SoftKey,
};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tr31::Version;

pub struct Harness {
    engine: Engine,
    settings: Settings,
}

pub fn unit_of(set: &LmkSet, settings: Settings, authorised: Authorised) -> Harness {
    let simulator = Simulator::new(set, Options::default()).unwrap();
    Harness { engine: Engine::new(Box::new(simulator), Unit { authorised, ..Unit::default() }), settings }
}

pub fn unit(settings: Settings) -> Harness {
    unit_of(&LmkSet::public_test(), settings, Authorised::ALL)
}

impl Harness {
    /// Code and body of the reply.
    pub fn ask(&mut self, lmk: u8, request: &str) -> (String, String) {
        let port = Rc::new(Port::new(LmkId(lmk), self.settings));
        let ticket = self.engine.submit(&port, format!("HEAD{request}").as_bytes());
        self.engine.run();
        let mut reply = Vec::new();
        assert!(matches!(self.engine.finish(ticket, &mut reply), Finished::Reply { .. }));
        let reply = String::from_utf8(reply).unwrap();
        (reply[6..8].to_owned(), reply[8..].to_owned())
    }

    pub fn code(&mut self, lmk: u8, request: &str) -> String {
        let (code, body) = self.ask(lmk, request);
        assert!(body.is_empty() || matches!(code.as_str(), "00" | "01"), "{code} with a body");
        code
    }

    pub fn ok(&mut self, lmk: u8, request: &str) -> String {
        let (code, body) = self.ask(lmk, request);
        assert_eq!(code, "00", "{request}");
        body
    }
}

/// Runs operations on a simulator of its own, to make and to open tokens.
pub fn with<T>(task: impl AsyncFnOnce(Hsm) -> T) -> T {
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

pub fn text(token: &KeyToken) -> String {
    let mut out = Vec::new();
    token.write(&mut out);
    String::from_utf8(out).unwrap()
}

pub async fn load(hsm: &Hsm, kind: CipherKind, clear: &str) -> Key {
    hsm.load(kind, &hex::decode_vec(clear.as_bytes()).unwrap()).await.unwrap()
}

/// A clear TDES key under the variant LMK.
pub fn variant(key_type: &[u8; 3], clear: &str) -> String {
    let scheme = if clear.len() == 48 { Scheme::T } else { Scheme::U };
    let form = SealAs::Variant { scheme, key_type: KeyType::new(*key_type).unwrap() };
    text(&with(async |hsm| {
        let key = load(&hsm, CipherKind::Tdes, clear).await;
        hsm.seal(LmkId(0), &key, form).await.unwrap()
    }))
}

/// A clear key in an `S` block; `header` is usage, mode, version number and exportability.
pub fn block(lmk: u8, kind: CipherKind, header: &[u8; 6], clear: &str) -> String {
    let [a, b, mode, c, d, exportability] = *header;
    let attributes = BlockAttributes {
        usage: KeyUsage([a, b]),
        mode: ModeOfUse(mode),
        version: KeyVersion([c, d]),
        exportability: Exportability(exportability),
    };
    let form = SealAs::Block { attributes, optional_count: 0, optional: Vec::new() };
    text(&with(async |hsm| {
        let key = load(&hsm, kind, clear).await;
        hsm.seal(LmkId(lmk), &key, form).await.unwrap()
    }))
}

pub const ZMK: &str = "B5401F9B2CAE92E6AD4F8A1C16BFAB3E";
pub const ZMK3: &str = "B5401F9B2CAE92E6AD4F8A1C16BFAB3EF7AEB5689BB304EA";
pub const ZMK_AES: &str = "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F";
pub const KEY: &str = "9E76ABF426049E8FEFBFC292015EBC9E";
pub const KEY3: &str = "9E76ABF426049E8FEFBFC292015EBC9EB5401F9B2CAE92E6";

/// A clear key enciphered under the ZMK in ANSI X9.17 form, as a partner would send it.
pub fn x9_17(clear: &str) -> String {
    let zmk = SoftKey::new(CipherKind::Tdes, &hex::decode::<16>(ZMK.as_bytes()).unwrap()).unwrap();
    let mut key = hex::decode_vec(clear.as_bytes()).unwrap();
    zmk.ecb(paytypes::Direction::Encrypt, &mut key).unwrap();
    format!("X{}", hex::encode(&key))
}

/// A TR-31 block under the ZMK.
pub fn tr31_block(version: Version, header: &[u8; 6], clear: &str) -> String {
    let [a, b, mode, c, d, exportability] = *header;
    let attributes = tr31::Attributes {
        usage: KeyUsage([a, b]),
        algorithm: paytypes::Algorithm::TDES,
        mode: ModeOfUse(mode),
        key_version: KeyVersion([c, d]),
        exportability: Exportability(exportability),
    };
    let zmk = SoftKey::new(CipherKind::Tdes, &hex::decode::<16>(ZMK.as_bytes()).unwrap()).unwrap();
    let key = hex::decode_vec(clear.as_bytes()).unwrap();
    let made = paytypes::now(async {
        let kbpk = tr31::Kbpk::new(&Soft, &zmk, version).await.unwrap();
        let header = tr31::Header::new(version, attributes);
        let mut pad = |out: &mut [u8]| out.fill(0x5A);
        let policy = tr31::Policy::NONE;
        tr31::wrap(&Soft, &kbpk, &header, &key, tr31::Masking::None, &policy, &mut pad).await
    });
    format!("R{}", String::from_utf8(made.unwrap().unwrap()).unwrap())
}

pub fn check_value(kind: CipherKind, clear: &str) -> String {
    let key = SoftKey::new(kind, &hex::decode_vec(clear.as_bytes()).unwrap()).unwrap();
    let value = paytypes::now(tr31::kcv(&Soft, &key)).unwrap().unwrap();
    String::from_utf8(value.hex6().to_vec()).unwrap()
}

pub fn split(body: &str) -> (&str, &str) {
    body.split_at(body.len() - 6)
}
