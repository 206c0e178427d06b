//! What the tests of the token backend share.

use cryptoki::context::Pkcs11;
use cryptoki::object::Attribute;
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use hostcmd::{Authorised, Engine, Finished, Port, Settings, Unit};
use hsm::{BlockAttributes, Hsm, LmkId, LmkScheme, SealAs};
use hsm_pkcs11::{Options, Pin, Token, TokenError, TokenUri, ceremony};
use hsm_sim::{LmkSecret, LmkSet, RandomSource, Simulator};
use paytypes::{CipherKind, ClearBytes, Exportability, KeyUsage, KeyVersion, ModeOfUse};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tests::softhsm::{PIN, inner_uri};

pub fn uri() -> TokenUri {
    TokenUri::parse(&inner_uri()).expect("URI")
}

pub fn pin_of(text: &str) -> Option<Pin> {
    Some(Pin::new(text.to_owned().into()))
}

pub fn open(options: Options) -> Token {
    Token::open(&uri(), pin_of(PIN), options).expect("opens")
}

// The public key-block test LMKs, as far as the token takes them.
pub fn with_test_lmks(options: Options) -> Token {
    let token = open(options);
    for secret in LmkSet::public_test().iter().filter(|lmk| lmk.id.0 > 0) {
        let scheme = if secret.id.0 == 1 { LmkScheme::TdesBlock } else { LmkScheme::AesBlock };
        match ceremony::import(&token, secret.id, scheme, &secret.clear) {
            Ok(info) => assert!(info.test, "a test LMK is known as one"),
            Err(TokenError::NotOffered(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    token.lmks().expect("LMKs");
    token
}

// With the LMKs that a token can have.
pub fn simulator() -> Simulator {
    let mut set = LmkSet::default();
    for lmk in LmkSet::public_test().iter().filter(|lmk| lmk.id.0 > 0) {
        let (comment, clear) = (lmk.comment.clone(), ClearBytes::new(lmk.clear.expose().to_vec()));
        set.add(LmkSecret { id: lmk.id, kind: lmk.kind, test: lmk.test, comment, clear }).expect("added");
    }
    let options = hsm_sim::Options { random: RandomSource::System };
    Simulator::new(&set, options).expect("simulator")
}

pub fn drive<T>(backend: &mut dyn hsm::Backend, task: impl AsyncFnOnce(Hsm) -> T) -> T {
    drive_with(backend, Hsm::new(), task)
}

pub fn drive_with<T>(backend: &mut dyn hsm::Backend, hsm: Hsm, task: impl AsyncFnOnce(Hsm) -> T) -> T {
    let mut future = pin!(task(hsm.clone()));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => return value,
            Poll::Pending => hsm.run(backend),
        }
    }
}

pub const ATTRIBUTES: BlockAttributes = BlockAttributes {
    usage: KeyUsage(*b"P0"),
    mode: ModeOfUse::BOTH,
    version: KeyVersion::UNUSED,
    exportability: Exportability::EXPORTABLE,
};

pub const FORM: SealAs = SealAs::Block { attributes: ATTRIBUTES, optional_count: 0, optional: Vec::new() };

pub const SHAPES: [(CipherKind, usize); 6] = [
    (CipherKind::Des, 8),
    (CipherKind::Tdes, 16),
    (CipherKind::Tdes, 24),
    (CipherKind::Aes, 16),
    (CipherKind::Aes, 24),
    (CipherKind::Aes, 32),
];

pub fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|n| (n as u8).wrapping_mul(73).wrapping_add(seed)).collect()
}

pub fn unit() -> Unit {
    let decimalisation_tables = vec![*b"0123456789012345"];
    Unit { authorised: Authorised::ALL, decimalisation_tables, ..Unit::default() }
}

pub fn engine(token: &Token) -> Engine {
    Engine::new(Box::new(token.backend()), unit())
}

pub fn ask(engine: &mut Engine, lmk: u8, request: &[u8]) -> String {
    ask_with(engine, lmk, Settings::LEGACY, request)
}

pub fn ask_with(engine: &mut Engine, lmk: u8, settings: Settings, request: &[u8]) -> String {
    let port = Rc::new(Port { header_length: 0, ..Port::new(LmkId(lmk), settings) });
    let ticket = engine.submit(&port, request);
    engine.run();
    let mut reply = Vec::new();
    match engine.finish(ticket, &mut reply) {
        Finished::Reply { .. } => tests::wire::text(&reply),
        Finished::Close => String::new(),
    }
}

// A session of the test's own, beside ours, in the same process: what an officer's tool would do.
pub fn raw_session() -> Session {
    let module = Pkcs11::new(uri().module().expect("module")).expect("loads");
    let slot = module.get_slots_with_initialized_token().expect("slots")[0];
    let session = module.open_rw_session(slot).expect("session");
    let _already = session.login(UserType::User, Some(&AuthPin::new(PIN.into())));
    session
}

pub fn labelled(session: &Session, label: &str) -> Vec<cryptoki::object::ObjectHandle> {
    session.find_objects(&[Attribute::Label(label.as_bytes().to_vec())]).expect("search")
}
