//! A node whose signature key is out of reach at any moment of a rotation: nothing advances without its receipts, nothing
//! is claimed, and what is tried again ends where it would have ended.

use crate::common::fleet::{SET, Side, begun, install, rotate, set, target};
use crate::common::{Centre, centre, evidence};
use keylink::action::{ActionClass, Grant};
use keylink::message::{
    Alarm, Command, Manifest, Order, Possession, PossessionMethod, ReceiptKind, RootKekConfirm, RootKekOffer,
    Step,
};
use keylink::node::{About, Agreed, Counts, Effects, KekRecord, Machine, Rules};
use keylink::wire::{Blob, Hex};
use keylink::{Body, CommandId, Generation, NotSigned, PublicKey, Sign, Signed, SoftSigner, TrySign};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Does not sign the calls from one number up to another.
struct Flaky {
    key: SoftSigner,
    calls: AtomicUsize,
    fails: core::ops::Range<usize>,
}

impl TrySign for Flaky {
    fn public(&self) -> PublicKey {
        self.key.key()
    }

    fn try_sign(&self, message: &[u8]) -> Result<[u8; 64], NotSigned> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if self.fails.contains(&call) { Err(NotSigned) } else { Ok(self.key.sign(message)) }
    }
}

struct Tried {
    side: Side,
    signer: Arc<Flaky>,
    failures: usize,
    told: Vec<ReceiptKind>,
}

impl Tried {
    fn begin(centre: &Centre, fails: core::ops::Range<usize>) -> Self {
        let mut side = begun(centre);
        let signer = Flaky { key: SoftSigner::new(&[40; 32]), calls: AtomicUsize::new(0), fails };
        let signer = Arc::new(signer);
        let (own, rules) = (signer.clone(), Rules::default());
        side.machine = Machine::from_bytes(&side.stored, own, rules, side.now).unwrap();
        side.machine.boot(side.now);
        Self { side, signer, failures: 0, told: Vec::new() }
    }

    /// Tries until it is signed; before that the machine is what it was.
    fn until_signed<T>(&mut self, mut work: impl FnMut(&mut Side) -> Result<T, NotSigned>) -> T {
        loop {
            let (before, installing) = (self.side.machine.to_bytes(), self.side.installs);
            match work(&mut self.side) {
                Ok(done) => return done,
                Err(NotSigned) => {
                    assert_eq!(self.side.machine.to_bytes(), before, "nothing is advanced");
                    assert_eq!(self.side.installs, installing);
                    self.failures += 1;
                    assert!(self.failures < 100, "it ends");
                }
            }
        }
    }

    fn follow(&mut self, effects: Effects) -> Vec<Signed> {
        if effects.persist {
            self.side.stored = self.side.machine.to_bytes();
        }
        if let Some(table) = &effects.publish {
            let number = table.number;
            for tell in [Machine::switched, Machine::released] {
                let next = self.until_signed(|side| tell(&mut side.machine, side.now, number));
                self.follow(next);
            }
        }
        effects.send
    }

    // A message whose keys are installed, and whose receipts are then not signed, comes again from its beginning.
    fn give(&mut self, signed: &Signed) -> Vec<Signed> {
        let (effects, said) = self.until_signed(|side| {
            let effects = side.machine.message(side.now, signed, [5; 16])?;
            if effects.install.is_empty() {
                return Ok((effects, Vec::new()));
            }
            let answers = effects.install.iter().map(install).collect();
            Ok((side.machine.installed(side.now, answers)?, effects.send))
        });
        let mut said = said;
        said.extend(self.follow(effects));
        said
    }

    fn manifest(&mut self, centre: &Centre, old: Step, new: Step) {
        let destroy = Grant::Destroy { key_set: SET, generation: Generation(1) };
        let approved = vec![rotate(centre, 2), evidence(centre, ActionClass::Destroy, &[destroy], &[1, 2])];
        let sets = vec![set(vec![target(1, old), target(2, new)])];
        let manifest: Manifest = self.side.manifest(centre, sets, approved);
        let signed = self.side.seal(centre, &manifest);
        let said = self.give(&signed);
        assert!(said.is_empty(), "{said:?}");
        self.told.extend(self.side.deliver());
    }

    fn kek(&mut self, centre: &Centre) {
        let grant = Grant::RootKek { node: self.side.node(), number: 2 };
        let offer = RootKekOffer {
            head: self.side.link.next_head(1, self.side.now.utc_ms + 60_000),
            number: 2,
            public: Blob(vec![1]),
            nonce: Hex([3; 32]),
            evidence: evidence(centre, ActionClass::RootKek, &[grant], &[1, 2]),
        };
        let (seq, offer) = (offer.head.seq, Signed::seal(&offer, &centre.manifest));
        self.side.link.sent(seq, &offer);
        let accept = self.until_signed(|side| {
            let effects = side.machine.message(side.now, &offer, [5; 16])?;
            let order = effects.agree.expect("an order, each time");
            let kek = KekRecord { number: 2, token: "Ssecond".into(), kcv: "0203040506".into() };
            let agreed = Agreed { public: Blob(vec![2]), confirm: Hex([1; 32]), expected: Hex([2; 32]), kek };
            side.machine.agreed(side.now, order.offer, Ok(agreed))
        });
        let accept = accept.send[0].hash();
        let head = self.side.link.next_head(1, self.side.now.utc_ms + 60_000);
        let seq = head.seq;
        let confirm = RootKekConfirm { head, accept, confirm: Hex([2; 32]) };
        let confirm = Signed::seal(&confirm, &centre.manifest);
        self.side.link.sent(seq, &confirm);
        self.give(&confirm);
        let kek = KekRecord { number: 3, token: "Sthird".into(), kcv: "0304050607".into() };
        let nonce = Hex([1; 32]);
        let proof = Possession { method: PossessionMethod::WrappedThrowAway, nonce, answer: "D".into() };
        let formed = self.until_signed(|side| side.machine.kek_formed(side.now, kek.clone(), proof.clone()));
        self.follow(formed);
        self.told.extend(self.side.deliver());
    }

    fn suspend(&mut self, centre: &Centre, order: Order, grant: Grant, class: ActionClass) {
        let head = self.side.link.next_head(1, self.side.now.utc_ms + 1000);
        let evidence = vec![evidence(centre, class, &[grant], &[1, 2])];
        let seq = head.seq;
        let command = Command { head, command: CommandId([1; 16]), order, evidence };
        let command = Signed::seal(&command, &centre.manifest);
        self.side.link.sent(seq, &command);
        self.give(&command);
        self.told.extend(self.side.deliver());
    }

    /// Everything that is signed in the life of a node.
    fn live(&mut self, centre: &Centre) {
        let about = About { software: "test".into(), backend_class: "B".into() };
        self.until_signed(|side| side.machine.hello(side.now, &about, None));
        self.until_signed(|side| side.machine.pull(side.now, 25));
        for (old, new) in [
            (Step::Protect, Step::Stage),
            (Step::Protect, Step::Accept),
            (Step::Accept, Step::Protect),
            (Step::Retire, Step::Protect),
            (Step::Retire, Step::Protect),
            (Step::Destroy, Step::Protect),
        ] {
            self.manifest(centre, old, new);
        }
        self.kek(centre);
        let node = self.side.node();
        self.suspend(centre, Order::Suspend, Grant::SuspendNode(node), ActionClass::SuspendNode);
        self.suspend(centre, Order::Zeroise, Grant::ZeroiseNode(node), ActionClass::Revoke);
        self.until_signed(|side| side.machine.beat(side.now, &Counts::default()));
    }
}

#[test]
fn a_key_that_is_away_at_any_moment_loses_nothing() {
    use ReceiptKind::*;
    let centre = centre();
    let mut whole = Tried::begin(&centre, 0..0);
    whole.live(&centre);
    let told = [
        Proven,
        Accepting,
        Activated,
        Retired,
        Applied,
        Destroyed,
        KekInstalled,
        KekInstalled,
        Applied,
        Retired,
        Destroyed,
        Zeroised,
    ];
    assert_eq!(whole.told, told);
    let calls = whole.signer.calls.load(Ordering::Relaxed);
    assert!(calls >= told.len() + 4, "{calls}");
    for call in 0..calls {
        for long in [1, 3] {
            let mut tried = Tried::begin(&centre, call..call + long);
            tried.live(&centre);
            assert!((1..=long).contains(&tried.failures), "call {call}: {}", tried.failures);
            assert_eq!(tried.told, told, "call {call}");
            assert_eq!(
                tried.side.stored, whole.side.stored,
                "call {call}: the same receipts, the same state"
            );
        }
    }
}

#[test]
fn a_crash_while_the_key_is_away_finds_what_was_stored() {
    let centre = centre();
    let mut tried = Tried::begin(&centre, 0..usize::MAX);
    let (manifest, before) = {
        let sets = vec![set(vec![target(1, Step::Protect), target(2, Step::Stage)])];
        let manifest = tried.side.manifest(&centre, sets, vec![rotate(&centre, 2)]);
        (tried.side.seal(&centre, &manifest), tried.side.stored.clone())
    };
    let side = &mut tried.side;
    let effects = side.machine.message(side.now, &manifest, [5; 16]).unwrap();
    let answers = effects.install.iter().map(install).collect();
    assert_eq!(side.machine.installed(side.now, answers), Err(NotSigned));
    assert_eq!(side.machine.to_bytes(), before);
    side.crash();
    side.give(&manifest);
    assert_eq!(side.deliver(), [ReceiptKind::Proven], "with a key that signs it goes on");
}

#[test]
fn who_intrudes_is_told_of_at_once_and_refused_when_that_is_signed() {
    let centre = centre();
    let mut tried = Tried::begin(&centre, 0..1);
    let manifest = tried.side.manifest(&centre, Vec::new(), Vec::new());
    let stranger = Signed::seal(&manifest, &SoftSigner::new(&[99; 32]));
    let side = &mut tried.side;
    let before = side.machine.to_bytes();
    let unsaid = side.machine.message(side.now, &stranger, [5; 16]).unwrap();
    assert_eq!((unsaid.alarms, unsaid.send.len(), unsaid.persist), (vec![Alarm::Intrusion], 0, false));
    let said = side.machine.message(side.now, &stranger, [5; 16]).unwrap();
    assert_eq!(said.send.iter().map(|one| one.kind.as_str()).collect::<Vec<_>>(), ["refused"]);
    assert_eq!(side.machine.to_bytes(), before);
    assert_eq!(Manifest::KIND, stranger.kind);
}
