//! An engine over a simulator, keys for it under every LMK, and keys as requests name them.

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use hostcmd::{Authorised, Engine, Finished, Port, Settings, Unit};
use hsm::{BlockAttributes, Hsm, KeyType, LmkId, Scheme, SealAs};
use hsm_sim::{LmkSet, Options, Simulator};
use paytypes::{Cipher, CipherKind, Exportability, KeyUsage, KeyVersion, ModeOfUse};
use std::rc::Rc;

pub const VARIANT: u8 = 0;
pub const TDES_BLOCK: u8 = 1;
pub const AES_BLOCK: u8 = 2;

/// An engine, and a simulator with the same LMKs that makes key tokens for it.
pub struct Host {
    pub engine: Engine,
    officer: Simulator,
    settings: Settings,
}

pub fn simulator() -> Simulator {
    Simulator::new(&LmkSet::public_test(), Options::default()).unwrap()
}

impl Host {
    pub fn new(settings: Settings) -> Self {
        Self::with_unit(settings, Unit::default())
    }

    pub fn with_unit(settings: Settings, unit: Unit) -> Self {
        let unit = Unit { authorised: Authorised::ALL, ..unit };
        Self { engine: Engine::new(Box::new(simulator()), unit), officer: simulator(), settings }
    }

    /// Reply behind the header and the reply code.
    pub fn send(&mut self, lmk: u8, request: &[u8]) -> Vec<u8> {
        let port = Rc::new(Port::new(LmkId(lmk), self.settings));
        let ticket = self.engine.submit(&port, &[b"HEAD".as_slice(), request].concat());
        self.engine.run();
        let mut reply = Vec::new();
        assert!(matches!(self.engine.finish(ticket, &mut reply), Finished::Reply { .. }));
        assert_eq!(reply.get(..5), Some([b"HEAD".as_slice(), &request[..1]].concat().as_slice()));
        reply.split_off(6)
    }

    pub fn code(&mut self, lmk: u8, request: &[u8]) -> String {
        let reply = self.send(lmk, request);
        String::from_utf8(reply[..2].to_vec()).unwrap()
    }

    /// Body of a reply that must be good.
    pub fn body(&mut self, lmk: u8, request: &[u8]) -> Vec<u8> {
        let reply = self.send(lmk, request);
        let shown = String::from_utf8_lossy(request);
        assert_eq!(reply.get(..2), Some(b"00".as_slice()), "{} for {shown}", String::from_utf8_lossy(&reply));
        reply[2..].to_vec()
    }

    pub fn seal(&mut self, lmk: u8, kind: CipherKind, length: usize, form: SealAs) -> Vec<u8> {
        let hsm = Hsm::new();
        let mut clear: Vec<u8> = (0..length).map(|n| u8::try_from((n * 37 + 11) % 251).unwrap()).collect();
        if kind != CipherKind::Aes {
            paytypes::parity::make_odd(&mut clear);
        }
        let mut task = pin!(async {
            let key = hsm.load(kind, &clear).await.unwrap();
            hsm.seal(LmkId(lmk), &key, form).await.unwrap()
        });
        let token = loop {
            match task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(token) => break token,
                Poll::Pending => hsm.run(&mut self.officer),
            }
        };
        let mut text = Vec::new();
        token.write(&mut text);
        text
    }

    pub fn block(&mut self, lmk: u8, usage: [u8; 2], mode: u8, kind: CipherKind, length: usize) -> Vec<u8> {
        let attributes = BlockAttributes {
            usage: KeyUsage(usage),
            mode: ModeOfUse(mode),
            version: KeyVersion::UNUSED,
            exportability: Exportability::EXPORTABLE,
        };
        self.seal(lmk, kind, length, SealAs::Block { attributes, optional_count: 0, optional: Vec::new() })
    }

    pub fn variant(&mut self, key_type: [u8; 3], scheme: Scheme) -> Vec<u8> {
        let length = scheme.key_length().unwrap();
        let kind = if length == 8 { CipherKind::Des } else { CipherKind::Tdes };
        let key_type = KeyType::new(key_type).unwrap();
        self.seal(VARIANT, kind, length, SealAs::Variant { scheme, key_type })
    }
}

/// A key as a request names it: LMK, key type, token, block length.
pub struct Named {
    pub lmk: u8,
    pub key_type: &'static str,
    pub token: Vec<u8>,
    pub block: usize,
}

pub fn named(lmk: u8, key_type: &'static str, token: Vec<u8>, block: usize) -> Named {
    Named { lmk, key_type, token, block }
}

pub fn request(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}
