//! Keys that the key management centre delivers: taking them, proving them, and naming them by index.

use hostcmd::key_table::{KeySet, KeyTable, Slot, TableError, Uses};
use hostcmd::managed::{
    Delivered, Delivery, DeliveryFault, ManagedKind, install, possession, run_alone, seal_kek,
};
use hostcmd::{Authorised, Engine, Finished, Port, Role, Settings, Unit};
use hsm::{Backend, Hsm, KeyToken, KeyType, LmkId, Scheme, SealAs};
use hsm_sim::{LmkSet, Options, RandomSource, Simulator};
use paytypes::soft::{Soft, SoftKey};
use paytypes::{
    Cipher, CipherKind, ClearKey, Direction, Exportability, KeyShape, KeyUsage, KeyVersion, ModeOfUse, hex,
    now,
};
use std::rc::Rc;
use std::sync::Arc;
use tr31::{Attributes, BlockId, Header, Kbpk, Masking, OptionalBlocks, Policy, Version};

const KEYS: [&str; 3] = [
    "3D8FE6C1BF20A87CBFA1D0B3CE16F4B5",
    "9E2A1C5B7F83D6E0460B29C87AD31E57",
    "C4AE0D23B6918F7A5BE0D94CA1256B13",
];

fn odd(text: &str) -> Vec<u8> {
    let mut clear = hex::decode_vec(text.as_bytes()).unwrap();
    paytypes::parity::make_odd(&mut clear);
    clear
}

fn simulator() -> Simulator {
    Simulator::new(&LmkSet::public_test(), Options { random: RandomSource::seeded(3) }).unwrap()
}

fn zpk(clear: &[u8]) -> KeyToken {
    let (hsm, mut sim) = (Hsm::new(), simulator());
    let made = run_alone(&hsm, &mut sim, async {
        let key = hsm.load(CipherKind::Tdes, clear).await.unwrap();
        hsm.seal(LmkId(0), &key, SealAs::Variant { scheme: Scheme::U, key_type: KeyType::ZPK }).await.unwrap()
    });
    made.unwrap()
}

fn slot(generation: u32, clear: &[u8]) -> Slot {
    Slot { generation, token: zpk(clear), uses: Uses::new(2) }
}

fn set(next: Option<Slot>, current: Option<Slot>, previous: Vec<Slot>) -> KeySet {
    KeySet { base: 0x100, odd: 0x101, even: 0x102, next, current, previous, ..KeySet::default() }
}

struct Unit1 {
    engine: Engine,
    port: Rc<Port>,
}

impl Unit1 {
    fn new(settings: Settings, trailer: bool) -> Self {
        let engine =
            Engine::new(Box::new(simulator()), Unit { authorised: Authorised::ALL, ..Unit::default() });
        let port = Port { role: Role::Any, generation_trailer: trailer, ..Port::new(LmkId(0), settings) };
        Self { engine, port: Rc::new(port) }
    }

    fn table(&mut self, number: u64, sets: Vec<KeySet>) -> Arc<KeyTable> {
        let table = Arc::new(KeyTable::new(number, LmkId(0), sets).unwrap());
        self.engine.set_key_table(Arc::clone(&table), 1);
        table
    }

    fn ask(&mut self, request: &str) -> String {
        let ticket = self.engine.submit(&self.port, format!("HEAD{request}").as_bytes());
        self.engine.run();
        let mut reply = Vec::new();
        assert!(matches!(self.engine.finish(ticket, &mut reply), Finished::Reply { .. }));
        String::from_utf8(reply).unwrap()[6..].to_owned()
    }
}

const ACCOUNT: &str = "501471610006";

// A format 0 block of PIN 1234, under a key.
fn block(key: &[u8]) -> String {
    let account = hex::decode::<8>(format!("0000{ACCOUNT}").as_bytes()).unwrap();
    let mut clear = hex::decode::<8>(b"041234FFFFFFFFFF").unwrap();
    clear.iter_mut().zip(account).for_each(|(a, b)| *a ^= b);
    let key = SoftKey::new(CipherKind::Tdes, key).unwrap();
    now(Soft.ecb(&key, Direction::Encrypt, &mut clear)).unwrap().unwrap();
    hex::encode(&clear)
}

fn cc(from: &str, to: &str, block: &str) -> String {
    format!("CC{from}{to}12{block}0101{ACCOUNT}")
}

#[test]
fn both_directions_during_an_overlap() {
    let (one, two) = (odd(KEYS[0]), odd(KEYS[1]));
    let mut unit = Unit1::new(Settings::STRICT, false);
    // Before the switch: 1 protects, 2 is accepted.
    unit.table(1, vec![set(Some(slot(2, &two)), Some(slot(1, &one)), vec![])]);
    assert_eq!(unit.ask(&cc("K102", "K100", &block(&two))), format!("0004{}01", block(&one)));
    assert_eq!(unit.ask(&cc("K101", "K100", &block(&one))), format!("0004{}01", block(&one)));
    // After it: 2 protects, 1 is still processed.
    unit.table(2, vec![set(None, Some(slot(2, &two)), vec![slot(1, &one)])]);
    assert_eq!(unit.ask(&cc("K101", "K100", &block(&one))), format!("0004{}01", block(&two)));
    assert_eq!(unit.ask(&cc("K102", "K100", &block(&two))), format!("0004{}01", block(&two)));
    // By base, the current generation and no other: nothing is tried.
    assert_eq!(unit.ask(&cc("K100", "K100", &block(&two))), format!("0004{}01", block(&two)));
    assert_ne!(&unit.ask(&cc("K100", "K100", &block(&one)))[..2], "00");
    // A reference and a token of the host side by side.
    let mut token = Vec::new();
    zpk(&one).write(&mut token);
    let token = String::from_utf8(token).unwrap();
    assert_eq!(unit.ask(&cc("K102", &token, &block(&two))), format!("0004{}01", block(&one)));
    assert_eq!(unit.ask(&cc("UK102", "UK100", &block(&two))), format!("0004{}01", block(&two)));
}

#[test]
fn what_an_index_answers_when_it_gives_no_key() {
    let (one, two) = (odd(KEYS[0]), odd(KEYS[1]));
    let mut unit = Unit1::new(Settings::STRICT, false);
    let code = |unit: &mut Unit1, from: &str, to: &str| unit.ask(&cc(from, to, &block(&one)))[..2].to_owned();
    assert_eq!(code(&mut unit, "K101", "K100"), "12", "no table");
    let normal = || set(None, Some(slot(1, &one)), vec![]);
    unit.table(1, vec![normal()]);
    assert_eq!(code(&mut unit, "K101", "K100"), "00");
    assert_eq!(code(&mut unit, "K200", "K100"), "12");
    assert_eq!(code(&mut unit, "K102", "K100"), "K3");
    assert_eq!(code(&mut unit, "K101", "K101"), "K4");
    assert_eq!(code(&mut unit, "TK101", "K100"), "26");
    // A malformed request is refused as such, whatever its index.
    assert_eq!(&unit.ask(&format!("{}x", cc("K200", "K100", &block(&one))))[..2], "15");
    assert_eq!(&unit.ask(&format!("{}%01", cc("K101", "K100", &block(&one))))[..2], "A2");
    unit.table(2, vec![KeySet { suspended: true, ..normal() }]);
    assert_eq!(code(&mut unit, "K101", "K100"), "K1");
    unit.table(3, vec![KeySet { stale: true, ..normal() }]);
    assert_eq!(code(&mut unit, "K101", "K100"), "K2");
    let mut token = Vec::new();
    zpk(&two).write(&mut token);
    let token = String::from_utf8(token).unwrap();
    assert_eq!(code(&mut unit, "K101", &token), "00", "a stale key still processes");
    assert_eq!(code(&mut unit, "K100", &token), "00", "by its base index too");
    unit.table(4, vec![set(Some(slot(1, &one)), None, vec![])]);
    assert_eq!(code(&mut unit, "K101", "K100"), "K3", "accepted, and nothing protects yet");
    unit.table(5, vec![set(None, None, vec![])]);
    assert_eq!(code(&mut unit, "K101", "K100"), "12");
}

#[test]
fn a_managed_key_does_not_leave() {
    let one = odd(KEYS[0]);
    let mut unit = Unit1::new(Settings::LEGACY, false);
    unit.table(1, vec![set(None, Some(slot(1, &one)), vec![])]);
    let (hsm, mut sim) = (Hsm::new(), simulator());
    let zmk = run_alone(&hsm, &mut sim, async {
        let key = hsm.load(CipherKind::Tdes, &odd(KEYS[2])).await.unwrap();
        hsm.seal(LmkId(0), &key, SealAs::Variant { scheme: Scheme::U, key_type: KeyType::ZMK }).await.unwrap()
    });
    let mut text = Vec::new();
    zmk.unwrap().write(&mut text);
    let zmk = String::from_utf8(text).unwrap();
    for key in ["K100", "K101"] {
        assert_eq!(&unit.ask(&format!("GC{zmk}{key}"))[..2], "29", "{key}");
        assert_eq!(&unit.ask(&format!("A8001{zmk}{key}U"))[..2], "29", "{key}");
    }
    assert_eq!(&unit.ask("BUFF1K101;001")[..2], "00", "its check value may be asked");
}

#[test]
fn replies_name_the_generations_where_the_listener_wants_it() {
    let (one, two) = (odd(KEYS[0]), odd(KEYS[1]));
    let mut unit = Unit1::new(Settings::STRICT, true);
    unit.table(1, vec![set(None, Some(slot(8, &two)), vec![slot(7, &one)])]);
    let request = cc("K101", "K100", &block(&one));
    let body = format!("0004{}01", block(&two));
    assert_eq!(unit.ask(&request), format!("{body}\x19#101:7,100:8"));
    assert_eq!(unit.ask(&format!("{request}\x19host")), format!("{body}\x19host#101:7,100:8"));
    assert_eq!(&unit.ask("B20004TEST\x19host"), "00TEST\x19host");
    assert_eq!(unit.ask("B20004TEST"), "00TEST");
}

#[test]
fn uses_are_counted_by_generation_and_kind_of_index() {
    let (one, two) = (odd(KEYS[0]), odd(KEYS[1]));
    let mut unit = Unit1::new(Settings::STRICT, false);
    let table = unit.table(1, vec![set(None, Some(slot(2, &two)), vec![slot(1, &one)])]);
    for _ in 0..5 {
        unit.ask(&cc("K101", "K100", &block(&one)));
    }
    let sums: Vec<_> = table.sets()[0].slots().map(|slot| slot.uses.sum()).collect();
    assert_eq!(sums, [(5, 0), (0, 5)]);
}

#[test]
fn a_command_keeps_the_table_with_which_it_was_read() {
    let (one, two) = (odd(KEYS[0]), odd(KEYS[1]));
    let mut unit = Unit1::new(Settings::STRICT, false);
    let old = Arc::downgrade(&unit.table(1, vec![set(None, Some(slot(1, &one)), vec![])]));
    let request = format!("HEAD{}", cc("K101", "K100", &block(&one)));
    let ticket = unit.engine.submit(&unit.port, request.as_bytes());
    let new = Arc::downgrade(&unit.table(2, vec![set(None, Some(slot(2, &two)), vec![])]));
    assert!(old.upgrade().is_some(), "a command in flight began with it");
    unit.engine.run();
    assert!(old.upgrade().is_none() && new.upgrade().is_some());
    let mut reply = Vec::new();
    unit.engine.finish(ticket, &mut reply);
    assert_eq!(reply[6..], *format!("0004{}01", block(&one)).as_bytes());
    let quiet = Arc::downgrade(&unit.table(3, vec![]));
    assert!(new.upgrade().is_none() && quiet.upgrade().is_some(), "at once when nothing is in flight");
}

#[test]
fn tables_that_cannot_be() {
    let one = odd(KEYS[0]);
    let table = |sets| KeyTable::new(1, LmkId(0), sets).map(|_| ()).unwrap_err();
    assert_eq!(table(vec![KeySet { even: 0x1000, ..set(None, None, vec![]) }]), TableError::Index);
    assert_eq!(table(vec![set(None, None, vec![]), set(None, None, vec![])]), TableError::Taken);
    assert_eq!(table(vec![KeySet { odd: 0x100, ..set(None, None, vec![]) }]), TableError::Taken);
    let twice = set(None, Some(slot(1, &one)), vec![slot(1, &one)]);
    assert_eq!(table(vec![twice]), TableError::Generations);
    let many = set(None, None, (1..=9).rev().map(|n| slot(n, &one)).collect());
    assert_eq!(table(vec![many]), TableError::Generations);
}

#[test]
fn reserved_accounts_are_refused_live_in_strict() {
    let one = odd(KEYS[0]);
    let mut strict = Unit1::new(Settings::STRICT, false);
    strict.table(1, vec![set(None, Some(slot(1, &one)), vec![])]);
    let request = |account: &str| format!("CCK101K10012{}0101{account}", block(&one));
    assert_eq!(&strict.ask(&request("999999990000"))[..2], "22");
    assert_eq!(&strict.ask(&request("999999991234"))[..2], "22");
    assert_ne!(&strict.ask(&request("999999890000"))[..2], "22");
    let mut legacy = Unit1::new(Settings::LEGACY, false);
    legacy.table(1, vec![set(None, Some(slot(1, &one)), vec![])]);
    assert_ne!(&legacy.ask(&request("999999990000"))[..2], "22");
}

// Delivery.

const LABEL: &str = "kmc/set/1/node";
const CHALLENGE: [u8; 32] = [0x5C; 32];

fn attributes(kind: ManagedKind, shape: KeyShape) -> Attributes {
    let usage = match kind {
        ManagedKind::Zmk | ManagedKind::Tmk => *b"K0",
        ManagedKind::Zpk | ManagedKind::Tpk => *b"P0",
    };
    let algorithm =
        if shape.kind == CipherKind::Aes { paytypes::Algorithm::AES } else { paytypes::Algorithm::TDES };
    Attributes {
        usage: KeyUsage(usage),
        algorithm,
        mode: ModeOfUse::BOTH,
        key_version: KeyVersion::UNUSED,
        exportability: Exportability::NONE,
    }
}

struct Case {
    kind: ManagedKind,
    shape: KeyShape,
    clear: Vec<u8>,
    kek: Vec<u8>,
    wrapping: Vec<u8>,
    label: &'static str,
    stated: Option<Attributes>,
    kcv: Option<&'static str>,
    lmk: usize,
    challenge: [u8; 32],
    kcv_only: bool,
}

impl Case {
    fn new(kind: ManagedKind, cipher: CipherKind, length: usize, lmk: usize) -> Self {
        let shape = KeyShape { kind: cipher, length };
        let mut clear: Vec<u8> = (0..length).map(|n| (n * 37 + 11) as u8).collect();
        if cipher == CipherKind::Tdes {
            paytypes::parity::make_odd(&mut clear);
        }
        let kek = vec![0x42; 32];
        Self {
            kind,
            shape,
            clear,
            wrapping: kek.clone(),
            kek,
            label: LABEL,
            stated: None,
            kcv: None,
            lmk,
            challenge: CHALLENGE,
            kcv_only: false,
        }
    }

    fn run(&self) -> Result<(Delivered, String), DeliveryFault> {
        let mut random = |out: &mut [u8]| out.fill(0x31);
        let (delivered, throw_away, answer, kcv) = {
            let made = now(async {
                let kek = SoftKey::new(CipherKind::Aes, &self.wrapping).unwrap();
                let kbpk = Kbpk::new(&Soft, &kek, Version::D).await.unwrap();
                let mut blocks = OptionalBlocks::none();
                blocks.push(BlockId::LB, self.label.as_bytes()).unwrap();
                let stated = self.stated.unwrap_or(attributes(self.kind, self.shape));
                let header = Header { blocks, ..Header::new(Version::D, stated) };
                let policy = Policy { strength: false, weak_keys: false, ..Policy::X9_143_STRICT };
                let block =
                    tr31::wrap(&Soft, &kbpk, &header, &self.clear, Masking::Standard, &policy, &mut random)
                        .await
                        .unwrap();
                let key = SoftKey::new(self.shape.kind, &self.clear).unwrap();
                let (throw_away, answer) = match self.kind {
                    ManagedKind::Zpk | ManagedKind::Tpk => {
                        (None, possession::pin_block(&Soft, &key, &CHALLENGE).await.unwrap())
                    }
                    _ => {
                        let mut n = 0u8;
                        let mut random = |out: &mut [u8]| {
                            out.iter_mut().for_each(|o| {
                                n = n.wrapping_mul(5).wrapping_add(77);
                                *o = n;
                            });
                        };
                        let (block, answer) =
                            possession::make_throw_away(&Soft, &key, &CHALLENGE, &mut random).await.unwrap();
                        (Some(block), answer)
                    }
                };
                let kcv = String::from_utf8(tr31::kcv(&Soft, &key).await.unwrap().hex6().to_vec()).unwrap();
                (block, throw_away, answer, kcv)
            });
            made.unwrap()
        };
        let (hsm, mut sim) = (Hsm::new(), simulator());
        let lmk = sim.lmks()[self.lmk].clone();
        let done = run_alone(&hsm, &mut sim, async {
            let (kek, _) = seal_kek(&hsm, LmkId(2), &ClearKey::new(&self.kek).unwrap()).await.unwrap();
            let order = Delivery {
                kek: &kek,
                kek_lmk: LmkId(2),
                lmk: &lmk,
                block: &delivered,
                label: LABEL,
                kind: self.kind,
                attributes: attributes(self.kind, self.shape),
                shape: self.shape,
                kcv: self.kcv.unwrap_or(&kcv),
                challenge: &self.challenge,
                throw_away: throw_away.as_ref().map(String::as_bytes),
                kcv_only: self.kcv_only,
                version_b: false,
            };
            let delivered = install(&hsm, &order).await?;
            let again = hsm.open(lmk.id, self.kind.key_type(), &delivered.token).await.unwrap();
            assert_eq!(hsm.reveal(&again).await.unwrap().expose(), self.clear);
            Ok(delivered)
        });
        done.unwrap().map(|delivered| (delivered, answer))
    }
}

#[test]
fn every_kind_is_taken_and_proved_by_its_own_use() {
    use ManagedKind::{Tmk, Tpk, Zmk, Zpk};
    for kind in [Zmk, Zpk, Tmk, Tpk] {
        for lmk in 0..3 {
            for (cipher, length) in
                [(CipherKind::Tdes, 16), (CipherKind::Tdes, 24), (CipherKind::Aes, 16), (CipherKind::Aes, 32)]
            {
                let made = Case::new(kind, cipher, length, lmk).run();
                if cipher == CipherKind::Aes && lmk < 2 {
                    assert_eq!(made.unwrap_err(), DeliveryFault::Lmk);
                    continue;
                }
                let (delivered, answer) = made.unwrap();
                assert_eq!(delivered.proof, Some(answer), "{kind:?} {cipher:?} {length}");
            }
        }
    }
}

#[test]
fn answers_depend_on_key_and_challenge() {
    let answer = |key: &[u8], challenge: [u8; 32]| {
        let key = SoftKey::new(CipherKind::Tdes, key).unwrap();
        now(possession::pin_block(&Soft, &key, &challenge)).unwrap().unwrap()
    };
    let (one, two) = (odd(KEYS[0]), odd(KEYS[1]));
    assert_eq!(answer(&one, CHALLENGE), answer(&one, CHALLENGE));
    assert_ne!(answer(&one, CHALLENGE), answer(&two, CHALLENGE));
    assert_ne!(answer(&one, CHALLENGE), answer(&one, [9; 32]));
}

#[test]
fn keys_that_are_not_taken() {
    let zpk = || Case::new(ManagedKind::Zpk, CipherKind::Tdes, 16, 0);
    let fault = |case: Case| case.run().unwrap_err();
    assert_eq!(fault(Case { label: "kmc/set/2/node", ..zpk() }), DeliveryFault::Label);
    assert_eq!(fault(Case { label: "kmc/set/1", ..zpk() }), DeliveryFault::Label);
    assert_eq!(fault(Case { wrapping: vec![0x43; 32], ..zpk() }), DeliveryFault::Block);
    assert_eq!(fault(Case { kcv: Some("000000"), ..zpk() }), DeliveryFault::CheckValue);
    assert_eq!(fault(Case { kcv: Some(""), ..zpk() }), DeliveryFault::CheckValue);
    let exportable =
        Attributes { exportability: Exportability::EXPORTABLE, ..attributes(ManagedKind::Zpk, zpk().shape) };
    assert_eq!(fault(Case { stated: Some(exportable), ..zpk() }), DeliveryFault::Attributes);
    let other = attributes(ManagedKind::Zmk, zpk().shape);
    assert_eq!(fault(Case { stated: Some(other), ..zpk() }), DeliveryFault::Attributes);
    let weak = odd(&"01".repeat(8).as_str().repeat(2));
    assert_eq!(fault(Case { clear: weak, ..zpk() }), DeliveryFault::WeakKey);
    // KEK weaker than the key.
    let short = vec![0x42; 16];
    let strong = Case::new(ManagedKind::Zpk, CipherKind::Aes, 32, 2);
    assert_eq!(fault(Case { kek: short.clone(), wrapping: short, ..strong }), DeliveryFault::Strength);
    // A throw-away key for another challenge.
    let zmk = Case::new(ManagedKind::Zmk, CipherKind::Tdes, 16, 0);
    assert_eq!(fault(Case { challenge: [1; 32], ..zmk }), DeliveryFault::Challenge);
    let named = Case { kcv_only: true, ..zpk() };
    assert_eq!(named.run().unwrap().0.proof, None);
}
