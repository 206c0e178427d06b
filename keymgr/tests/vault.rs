//! The vault over the simulator: keys are made, moved and exchanged, and every wrong block is refused.

use hsm::{Backend, BackendClass, HsmError, LmkId, LmkInfo, OpBatch};
use hsm_sim::{LmkSet, Options, Simulator};
use keymgr::vault::{
    ComponentKeys, KeySpec, ROOT_KEK, Receiver, SealedKey, Vault, VaultError, VaultThread, root_kek_label,
    seal_component,
};
use paytypes::soft::{Soft, SoftKey};
use paytypes::{CipherKind, ClearKey, KeyShape, KeyUsage, now};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tr31::{BlockId, Kbpk, KeyBlock, Policy, Version};

const MASTER: LmkId = LmkId(2);
const ZPK: KeySpec = spec(b"P0", CipherKind::Tdes, 16);
const KEK: KeySpec = spec(b"K1", CipherKind::Aes, 32);
const ZMK: KeySpec = spec(b"K0", CipherKind::Aes, 32);

const fn spec(usage: &[u8; 2], kind: CipherKind, length: usize) -> KeySpec {
    KeySpec { usage: KeyUsage(*usage), shape: KeyShape { kind, length } }
}

fn vault() -> Vault {
    let simulator = Simulator::new(&LmkSet::public_test(), Options::default()).unwrap();
    Vault::new(Box::new(simulator), MASTER).unwrap()
}

fn to<'a>(spec: KeySpec, key: &'a SealedKey, label: &'a str) -> Receiver<'a> {
    Receiver { spec, block: &key.block, label }
}

#[test]
fn only_an_aes_block_lmk_is_a_master_key() {
    for id in [LmkId(0), LmkId(1), LmkId(9)] {
        let simulator = Simulator::new(&LmkSet::public_test(), Options::default()).unwrap();
        assert!(matches!(Vault::new(Box::new(simulator), id), Err(VaultError::NoMasterKey)));
    }
}

#[test]
fn a_block_in_another_row_is_refused() {
    let mut vault = vault();
    let one = vault.generate(ZPK, "set-1/1").unwrap();
    let two = vault.generate(ZPK, "set-1/2").unwrap();
    assert_eq!(vault.check(ZPK, &one.block, "set-1/1").unwrap(), one.kcv);
    assert!(matches!(vault.check(ZPK, &two.block, "set-1/1"), Err(VaultError::Label { .. })));
    assert!(matches!(vault.check(KEK, &one.block, "set-1/1"), Err(VaultError::Kind)));
    let mut altered = one.block.clone();
    altered.replace_range(altered.len() - 1.., if one.block.ends_with('0') { "1" } else { "0" });
    assert!(matches!(vault.check(ZPK, &altered, "set-1/1"), Err(VaultError::Block(_))));
}

#[test]
fn a_delivery_opens_under_the_nodes_key_and_says_whose_it_is() {
    let mut vault = vault();
    let mut keys = ComponentKeys::default();
    let root = [0x42; 32];
    let kek = root_key(&mut vault, &mut keys, &root);
    let zpk = vault.generate(ZPK, "set-1/1").unwrap();
    let text = vault.deliver(ZPK, &zpk.block, "set-1/1", to(KEK, &kek, "node-1"), "k/s/1/n").unwrap();
    let block = KeyBlock::parse(text.as_bytes()).unwrap();
    let opened = now(async {
        let kek = SoftKey::new(CipherKind::Aes, &root).unwrap();
        let kbpk = Kbpk::new(&Soft, &kek, Version::D).await.unwrap();
        block.unwrap(&Soft, &kbpk, &Policy::X9_143_STRICT).await.unwrap()
    })
    .unwrap();
    assert_eq!(opened.header.blocks.get(BlockId::LB), Some(&b"k/s/1/n"[..]));
    assert_eq!(opened.material.len(), 16);
}

// A root key of known bytes, as two components make it.
fn root_key(vault: &mut Vault, keys: &mut ComponentKeys, clear: &[u8; 32]) -> SealedKey {
    let public = keys.begin(b"c");
    let one = ClearKey::new(&[0x5A; 32]).unwrap();
    let two: Vec<u8> = clear.iter().map(|b| b ^ 0x5A).collect();
    let two = ClearKey::new(&two).unwrap();
    let parts = [
        (b"c/1/anna".to_vec(), seal_component(&public, b"c/1/anna", &one).unwrap()),
        (b"c/2/bert".to_vec(), seal_component(&public, b"c/2/bert", &two).unwrap()),
    ];
    vault.form(keys, b"c", KEK, &parts, "node-1").unwrap()
}

#[test]
fn a_weaker_wrapping_key_is_refused() {
    let mut vault = vault();
    let strong = spec(b"P0", CipherKind::Aes, 32);
    let weak = spec(b"K1", CipherKind::Aes, 16);
    let key = vault.generate(strong, "a").unwrap();
    let kek = vault.generate(weak, "b").unwrap();
    let refused = vault.deliver(strong, &key.block, "a", to(weak, &kek, "b"), "w");
    assert!(matches!(refused, Err(VaultError::Weaker { wrapping: 128, wrapped: 256 })));
}

#[test]
fn a_partners_key_comes_in_only_with_its_check_value() {
    let (mut ours, mut theirs) = (vault(), vault());
    let zmk = ours.generate(ZMK, "zmk").unwrap();
    let key = theirs.generate(ZPK, "theirs").unwrap();
    let text = theirs.export(ZPK, &key.block, "theirs", to(ZMK, &zmk, "zmk")).unwrap();
    assert!(text.starts_with('D'));
    let zmk = to(ZMK, &zmk, "zmk");
    let taken = ours.import(ZPK, zmk, &text, &key.kcv, "ours").unwrap();
    assert_eq!(taken.kcv, key.kcv);
    for wrong in ["000000", "", &key.kcv[..4]] {
        assert!(matches!(ours.import(ZPK, zmk, &text, wrong, "ours"), Err(VaultError::CheckValue)));
    }
    let other = spec(b"K0", CipherKind::Tdes, 16);
    assert!(matches!(ours.import(other, zmk, &text, &key.kcv, "ours"), Err(VaultError::Kind)));
    let altered = text.replace("P0", "D0");
    assert!(matches!(ours.import(ZPK, zmk, &altered, &key.kcv, "ours"), Err(VaultError::Exchange(_))));
}

#[test]
fn components_are_bound_to_ceremony_part_and_custodian() {
    let mut vault = vault();
    let mut keys = ComponentKeys::default();
    let public = keys.begin(b"c");
    let clear = ClearKey::new(&[0x5A; 32]).unwrap();
    let sealed = seal_component(&public, b"c/1/anna", &clear).unwrap();
    let check = vault.component_check(&keys, b"c", KEK, (b"c/1/anna", &sealed)).unwrap();
    assert_eq!(check.len(), 10);
    for (ceremony, context) in [(b"c", b"c/2/anna"), (b"d", b"c/1/anna")] {
        let refused = vault.component_check(&keys, ceremony, KEK, (context, &sealed));
        assert!(matches!(refused, Err(VaultError::Sealed)));
    }
    keys.end(b"c");
    let ended = vault.component_check(&keys, b"c", KEK, (b"c/1/anna", &sealed));
    assert!(matches!(ended, Err(VaultError::Sealed)));
}

#[test]
fn components_that_make_no_key_are_refused() {
    let mut vault = vault();
    let mut keys = ComponentKeys::default();
    let public = keys.begin(b"c");
    let sealed = |clear: &[u8], part: u8| {
        let context = vec![part];
        let clear = ClearKey::new(clear).unwrap();
        (context.clone(), seal_component(&public, &context, &clear).unwrap())
    };
    let cases = [
        vec![sealed(&[1; 32], 1)],
        vec![sealed(&[1; 32], 1), sealed(&[1; 32], 2)],
        vec![sealed(&[1; 32], 1), sealed(&[2; 16], 2)],
        vec![sealed(&[1; 32], 1), sealed(&[2; 32], 2), sealed(&[3; 32], 3)],
    ];
    for parts in cases {
        let refused = vault.form(&keys, b"c", ZMK, &parts, "zmk");
        assert!(matches!(refused, Err(VaultError::Components(_))), "{refused:?}");
    }
    // A custodian hears of it at once: zero, of another length; for TDES a parity that is not odd, equal or weak parts.
    let check = |vault: &mut Vault, spec, clear: &[u8]| {
        let (context, part) = sealed(clear, 7);
        vault.component_check(&keys, b"c", spec, (&context, &part)).map_err(|error| error.to_string())
    };
    let tdes = spec(b"P0", CipherKind::Tdes, 16);
    let good = *b"\x01\x23\x45\x67\x89\xAB\xCD\xEF\x10\x32\x54\x76\x98\xBA\xDC\xFE";
    assert_eq!(check(&mut vault, tdes, &good).unwrap().len(), 6);
    let (mut even, mut equal) = (good, good);
    even[3] ^= 1;
    equal.copy_within(..8, 8);
    for (spec, clear) in [
        (ZMK, &[0; 32][..]),
        (ZMK, &[1; 16]),
        (tdes, &[1; 24]),
        (tdes, &even),
        (tdes, &equal),
        (tdes, &[1; 16]),
    ] {
        assert!(check(&mut vault, spec, clear).unwrap_err().contains("component"), "{clear:?}");
    }
    let halves = vec![sealed(&[0x10; 16], 1), sealed(&[0x20; 16], 2)];
    let refused = vault.form(&keys, b"c", ZPK, &halves, "zpk");
    assert!(matches!(refused, Err(VaultError::Components(_))), "{refused:?}");
}

#[test]
fn a_root_kek_is_agreed_once_and_only_with_its_confirmation() {
    use keylink::ids::{Digest, KmcId, NodeId};
    use keylink::root_kek::{Ephemeral, Transcript, derive};
    let mut vault = vault();
    let node = NodeId([7; 32]);
    let own = Ephemeral::new(&mut [1; 66]).unwrap();
    let own_public = own.public();
    let transcript =
        Transcript { kmc: KmcId([1; 32]), node, number: 1, offer: Digest([2; 32]), node_public: &own_public };
    let public = vault.offer_root_kek(node).unwrap();
    let there = derive(&own, &public, &transcript).unwrap();
    let (sealed, of_manager) = vault.agree_root_kek(&transcript, &there.of_node).unwrap();
    assert_eq!(of_manager, there.of_manager);
    let label = root_kek_label(transcript.kmc, node, 1);
    assert_eq!(vault.check(ROOT_KEK, &sealed.block, &label).unwrap(), sealed.kcv);
    // The private key is gone: neither the same acceptance nor another one finds it.
    assert!(matches!(vault.agree_root_kek(&transcript, &there.of_node), Err(VaultError::Sealed)));
    let public = vault.offer_root_kek(node).unwrap();
    let there = derive(&own, &public, &transcript).unwrap();
    assert!(matches!(vault.agree_root_kek(&transcript, &there.of_manager), Err(VaultError::Sealed)));
}

/// The simulator as a token that can be away, or not return from a call.
struct Flaky {
    inner: Simulator,
    away: Arc<AtomicBool>,
    hangs: Arc<AtomicBool>,
}

impl Backend for Flaky {
    fn run(&mut self, ops: &mut OpBatch) {
        while self.hangs.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if !self.away.load(Ordering::Relaxed) {
            return self.inner.run(ops);
        }
        for index in 0..ops.len() {
            if let Some(view) = ops.view(index) {
                *view.outcome = Some(Err(HsmError::Backend));
            }
        }
    }

    fn lmks(&self) -> &[LmkInfo] {
        self.inner.lmks()
    }

    fn class(&self) -> BackendClass {
        BackendClass::B
    }
}

#[test]
fn a_backend_that_is_away_is_said_to_be_and_is_there_again() {
    let away = Arc::new(AtomicBool::new(false));
    let own = away.clone();
    let vault = VaultThread::start(move || {
        let inner = Simulator::new(&LmkSet::public_test(), Options::default()).unwrap();
        Vault::new(Box::new(Flaky { inner, away: own, hangs: Arc::default() }), MASTER)
    })
    .unwrap();
    let until = |answers: bool| {
        let began = Instant::now();
        while vault.answers() != answers {
            assert!(began.elapsed() < Duration::from_secs(20), "answers: {answers}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    assert!(vault.answers() && vault.master().class == BackendClass::B && vault.master().lmk.id == MASTER);
    let zpk = vault.call_blocking(|vault| vault.generate(ZPK, "set-1/1")).unwrap();
    away.store(true, Ordering::Relaxed);
    // It is found without anybody asking for a key.
    until(false);
    let block = zpk.block.clone();
    let made = vault.call_blocking(|vault| vault.generate(ZPK, "set-1/2"));
    let opened = vault.call_blocking(move |vault| vault.check(ZPK, &block, "set-1/1"));
    assert!(matches!(made, Err(VaultError::Backend)) && matches!(opened, Err(VaultError::Backend)));
    away.store(false, Ordering::Relaxed);
    until(true);
    assert_eq!(vault.call_blocking(move |vault| vault.check(ZPK, &zpk.block, "set-1/1")).unwrap(), zpk.kcv);
}

#[test]
fn a_job_that_panics_is_one_that_was_not_done() {
    let vault = VaultThread::start(|| Ok(self::vault())).unwrap();
    for _ in 0..2 {
        let lost = vault.call_blocking(|_| -> Result<(), VaultError> { panic!("as a driver might") });
        assert!(matches!(lost, Err(VaultError::Backend)));
        let began = Instant::now();
        while !vault.answers() {
            assert!(began.elapsed() < Duration::from_secs(20), "it is asked again");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(vault.call_blocking(|vault| vault.generate(ZPK, "set-1/1")).is_ok());
    }
}

// A call into a token cannot be taken back: whoever asks is told in time, and at once when that is known. What nobody
// waits for any more is not done when the token returns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_hangs_keeps_nobody_waiting() {
    const PATIENCE: Duration = Duration::from_millis(400);
    let (hangs, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let own = hangs.clone();
    let vault = VaultThread::start_with(PATIENCE, move || {
        let inner = Simulator::new(&LmkSet::public_test(), Options::default()).unwrap();
        Vault::new(Box::new(Flaky { inner, away: Arc::default(), hangs: own }), MASTER)
    })
    .unwrap();
    let counted = |label: &'static str| {
        let done = done.clone();
        move |vault: &mut Vault| {
            done.fetch_add(1, Ordering::Relaxed);
            vault.generate(ZPK, label)
        }
    };
    let until = async |answers: bool| {
        let began = Instant::now();
        while vault.answers() != answers {
            assert!(began.elapsed() < Duration::from_secs(20), "answers: {answers}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    for _ in 0..2 {
        assert!(vault.call(counted("set-1/1")).await.is_ok() && vault.answers());
        done.store(0, Ordering::Relaxed);
        hangs.store(true, Ordering::Relaxed);
        // One is at work when it hangs, two wait behind it.
        let began = Instant::now();
        let (first, second, third) = tokio::join!(
            vault.call(counted("set-1/2")),
            vault.call(counted("set-1/3")),
            vault.call(counted("set-1/4"))
        );
        let waited = began.elapsed();
        for answer in [first, second, third] {
            assert!(matches!(answer, Err(VaultError::Backend)), "{answer:?}");
        }
        assert!(waited >= PATIENCE && waited < PATIENCE * 4, "{waited:?}");
        assert!(!vault.answers());
        // Known by now: nobody else waits at all.
        let began = Instant::now();
        assert!(matches!(vault.call(counted("set-1/5")).await, Err(VaultError::Backend)));
        assert!(began.elapsed() < PATIENCE / 2);
        // It returns: the one that was at work ends, the others are not begun.
        hangs.store(false, Ordering::Relaxed);
        until(true).await;
        assert!(vault.call(counted("set-1/6")).await.is_ok());
        assert_eq!(done.load(Ordering::Relaxed), 2);
    }
    // It is found when nobody asks for a key, too: the thread itself asks, and does not come back.
    hangs.store(true, Ordering::Relaxed);
    until(false).await;
    hangs.store(false, Ordering::Relaxed);
    until(true).await;
}

// A thread that works through a long queue is slow: who has waited too long is told so, and the backend answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_queue_is_no_hanging_token() {
    const PATIENCE: Duration = Duration::from_millis(400);
    let vault = VaultThread::start_with(PATIENCE, || Ok(self::vault())).unwrap();
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let vault = vault.clone();
            tokio::spawn(async move {
                vault
                    .call(|_| {
                        std::thread::sleep(Duration::from_millis(60));
                        Ok(())
                    })
                    .await
            })
        })
        .collect();
    let mut late = 0;
    for call in calls {
        late += usize::from(matches!(call.await.unwrap(), Err(VaultError::Backend)));
    }
    assert!((1..20).contains(&late), "{late}");
    assert!(vault.answers());
}
