//! Messages that a node takes nothing from.

use crate::common::centre;
use crate::common::fleet::{begun, install, rotate, set, target};
use keylink::manager::Said;
use keylink::message::ReceiptKind::{Applied, Proven};
use keylink::message::{Audience, Checkpoint, Manifest, Reason, Resync, Step};
use keylink::wire::{Blob, Hex, U64};
use keylink::{Digest, Instant3, KmcId, NodeId, Sign, Signed, SoftSigner};

#[test]
fn what_is_not_from_our_manager_for_us_and_now() {
    let centre = centre();
    let mut side = begun(&centre);
    let manifest = side.manifest(&centre, vec![set(vec![target(1, Step::Protect)])], vec![]);
    let with = |change: &dyn Fn(&mut Manifest)| {
        let mut changed = manifest.clone();
        change(&mut changed);
        Signed::seal(&changed, &centre.manifest)
    };
    let thief = Signed::seal(&manifest, &SoftSigner::new(&[66; 32]));
    assert_eq!(side.refused(&thief), Reason::Signature);
    let mut flipped = with(&|_| {});
    flipped.signature[3] ^= 1;
    assert_eq!(side.refused(&flipped), Reason::Signature);
    assert_eq!(side.refused(&with(&|m| m.head.kmc = KmcId([1; 32]))), Reason::Kmc);
    assert_eq!(side.refused(&with(&|m| m.head.audience = Audience::Node(NodeId([1; 32])))), Reason::Audience);
    assert_eq!(side.refused(&with(&|m| m.head.audience = Audience::Kmc)), Reason::Audience);
    assert_eq!(side.refused(&with(&|m| m.head.not_after = U64(1))), Reason::Expired);
    assert_eq!(side.refused(&with(&|m| m.head.version = 2)), Reason::Version);
    assert_eq!(side.refused(&with(&|m| m.head.epoch = U64(0))), Reason::Epoch);
    assert_eq!(side.refused(&with(&|m| m.root = Digest([1; 32]))), Reason::Root);
    let mut other_kind = with(&|_| {});
    other_kind.kind = "receipt".into();
    assert_eq!(side.refused(&other_kind), Reason::Kind);
    let nonsense = Signed::seal_bytes("manifest", b"{}".to_vec(), &centre.manifest);
    assert_eq!(side.refused(&nonsense), Reason::Malformed);
}

#[test]
fn repeated_reordered_and_rolled_back_messages() {
    let centre = centre();
    let mut side = begun(&centre);
    let stage = vec![set(vec![target(1, Step::Protect), target(2, Step::Stage)])];
    let first = side.manifest(&centre, stage.clone(), vec![rotate(&centre, 2)]);
    let first = side.seal(&centre, &first);
    let second = side.manifest(&centre, stage, vec![rotate(&centre, 2)]);
    let second = side.seal(&centre, &second);
    side.give(&first);
    let receipts = side.machine.outbox().to_vec();
    let installs = side.installs;
    // Byte for byte the same: the stored receipt, and nothing else happens. Also when it has expired meanwhile.
    for later in [0, 10_000_000] {
        side.now = side.now.after(later);
        let again = side.give(&first);
        assert_eq!(again, receipts[receipts.len() - 1..]);
        assert_eq!((side.machine.outbox(), side.installs), (&receipts[..], installs));
    }
    side.now = Instant3 { utc_ms: 1_000_000, mono_ms: 1_000, boot_id: 1 };
    // The same number with other bytes.
    let mut conflict: Manifest = first.peek().unwrap();
    conflict.head.not_after = U64(conflict.head.not_after.0 + 1);
    let conflict = Signed::seal(&conflict, &centre.manifest);
    assert_eq!(side.refused(&conflict), Reason::Conflict);
    // Out of order: the later one first, then the earlier.
    side.deliver();
    side.give(&second);
    assert_eq!(side.refused(&first), Reason::Replayed);
}

#[test]
fn an_unknown_previous_asks_for_the_full_state() {
    let centre = centre();
    let mut side = begun(&centre);
    let targets = vec![set(vec![target(1, Step::Protect), target(2, Step::Stage)])];
    let mut manifest = side.manifest(&centre, targets.clone(), vec![rotate(&centre, 2)]);
    manifest.previous = Some(Digest([3; 32]));
    let signed = side.seal(&centre, &manifest);
    let said = side.give(&signed);
    let resync: Resync = said[0].peek().unwrap();
    assert_eq!((resync.held.len(), resync.nonce), (1, Hex([5; 16])));
    assert!(matches!(side.link.receive(side.now.utc_ms, &said[0]), Ok(Said::Resync(_))));
    let mut guessed = side.manifest(&centre, targets.clone(), vec![rotate(&centre, 2)]);
    guessed.resync = Some(Hex([6; 16]));
    let signed = side.seal(&centre, &guessed);
    assert_eq!(side.give(&signed)[0].kind, "resync", "a nonce that was not asked for");
    let mut answer = side.manifest(&centre, targets.clone(), vec![rotate(&centre, 2)]);
    (answer.resync, answer.previous) = (Some(resync.nonce), None);
    let signed = side.seal(&centre, &answer);
    side.give(&signed);
    assert!(!side.link.is_overtaken(&resync), "its answer may still be lost");
    assert_eq!(side.deliver(), [Proven]);
    // What a node said that it held is not what it holds: the key came since.
    assert!(side.link.is_overtaken(&resync));
    // The wish was repeated before the answer came, and each of them is answered: nothing more is wished for, or
    // manager and node would answer each other for ever.
    let mut again = side.manifest(&centre, targets, vec![rotate(&centre, 2)]);
    (again.resync, again.previous) = (Some(resync.nonce), None);
    let signed = side.seal(&centre, &again);
    assert!(side.give(&signed).iter().all(|said| said.kind != "resync"));
    assert_eq!(side.deliver(), [Applied]);
    // One that is said after it counts.
    let mut unknown = side.manifest(&centre, vec![], vec![]);
    unknown.previous = Some(Digest([3; 32]));
    let signed = side.seal(&centre, &unknown);
    let resync: Resync = side.give(&signed)[0].peek().unwrap();
    assert!(resync.held.len() == 2 && !side.link.is_overtaken(&resync));
}

#[test]
fn a_key_that_does_not_install_is_refused_whole() {
    let centre = centre();
    let mut side = begun(&centre);
    let manifest = side.manifest(
        &centre,
        vec![set(vec![target(1, Step::Protect), target(2, Step::Stage)])],
        vec![rotate(&centre, 2)],
    );
    let signed = side.seal(&centre, &manifest);
    let before = side.machine.to_bytes();
    let effects = side.machine.message(side.now, &signed, [5; 16]).unwrap();
    let said = side.follow_with(effects, &|_| Err(Reason::Label));
    assert_eq!((side.reason(&said[0]), side.machine.to_bytes()), (Reason::Label, before));
    // The same bytes again, with a backend that works.
    let effects = side.machine.message(side.now, &signed, [5; 16]).unwrap();
    side.follow_with(effects, &install);
    assert_eq!(side.deliver(), [Proven]);
}

// What auditors ask nodes for is what the log's own key has signed.
#[test]
fn checkpoints_are_kept_when_the_logs_key_has_signed_them() {
    let centre = centre();
    let mut side = begun(&centre);
    let note = |key: u8, size: u64, root: Digest| {
        let root = Blob(root.0.to_vec());
        let root = serde_json::to_string(&root).unwrap();
        let text = format!("kmc.example\n{size}\n{}\n", root.trim_matches('"'));
        let signed = [vec![1, 2, 3, 4], SoftSigner::new(&[key; 32]).sign(text.as_bytes()).to_vec()].concat();
        let signed = serde_json::to_string(&Blob(signed)).unwrap();
        format!("{text}\n\u{2014} kmc.example {}\n", signed.trim_matches('"'))
    };
    let mut kept = |size: u64, note: String| {
        let mut manifest = side.manifest(&centre, vec![set(vec![target(1, Step::Protect)])], vec![]);
        manifest.checkpoint = Some(Checkpoint { size: U64(size), root: Digest([7; 32]), note });
        let signed = side.seal(&centre, &manifest);
        side.give(&signed);
        assert_eq!(side.deliver(), [Applied], "the manifest is taken");
        side.machine.state().checkpoint.as_ref().map(|kept| kept.size.0)
    };
    let root = Digest([7; 32]);
    assert_eq!(kept(5, String::new()), None);
    assert_eq!(kept(5, note(66, 5, root)), None, "by another key");
    assert_eq!(kept(5, note(101, 4, root)), None, "of another size");
    assert_eq!(kept(5, note(101, 5, Digest([8; 32]))), None, "of another root");
    assert_eq!(kept(5, note(101, 5, root).replace("example\n5", "examples\n5")), None, "edited");
    assert_eq!(kept(5, note(101, 5, root)), Some(5));
    assert_eq!(kept(u64::MAX, note(66, u64::MAX, root)), Some(5));
    assert_eq!(kept(4, note(101, 4, root)), Some(5), "never a smaller one");
    // Another key may have signed it too.
    let both = format!("{}\u{2014} witness AAAA\n", note(101, 9, root));
    assert_eq!(kept(9, both), Some(9));
}
