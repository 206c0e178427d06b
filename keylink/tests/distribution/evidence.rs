//! Proof that the centre took a receipt: kept by the node, shown to a third party, and refused where it does not hold.

use crate::common::fleet::{Side, begun, rotate, set, target};
use crate::common::{Centre, centre};
use keylink::envelope::bytes_of;
use keylink::merkle;
use keylink::message::{
    Alarm, Checkpoint, CounterReceipt, Head, InclusionProof, ProofFault, Reason, Receipt, ReceiptKind, Step,
};
use keylink::node::Kept;
use keylink::receipt_file::{CentreKeys, FileFault, Fork, Forked, ReceiptFile};
use keylink::root::SignedRoot;
use keylink::wire::U64;
use keylink::{Digest, KmcId, NodeId, Sign, Signed, SoftSigner};

const LOG: &str = "payhsm.kmc/test";

fn log_key() -> SoftSigner {
    SoftSigner::new(&[101; 32])
}

// C2SP signed note: text, an empty line, and the key's id and signature.
fn checkpoint(leaves: &[String], key: &SoftSigner) -> Checkpoint {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let root = merkle::root(leaves);
    let text = format!("{LOG}\n{}\n{}\n", leaves.len(), STANDARD.encode(root.0));
    let signature = [&[1, 2, 3, 4][..], &key.sign(text.as_bytes())].concat();
    let note = format!("{text}\n\u{2014} {LOG} {}\n", STANDARD.encode(signature));
    Checkpoint { size: U64(leaves.len() as u64), root, note }
}

fn entry(seq: usize, node: NodeId, number: u64, hash: Digest) -> String {
    let zeros = "0".repeat(64);
    format!(
        "v1 {seq} 5 {zeros} {node} - node.said allowed - {hash} - nodes:01:{zeros},receipts:{node}{number:016x}:{zeros}"
    )
}

/// A centre's log that holds the receipts of a node among entries of others.
struct Log {
    lines: Vec<String>,
    places: Vec<(u64, Digest, usize)>,
}

impl Log {
    fn of(side: &Side) -> Self {
        let mut log = Self { lines: Vec::new(), places: Vec::new() };
        for (receipt, signed) in side.receipts().iter().zip(side.machine.outbox()) {
            log.lines.push(format!("v1 {} 5 0 someone - centre.tick allowed - - - -", log.lines.len()));
            let at = log.lines.len();
            log.places.push((receipt.head.seq.0, signed.hash(), at));
            log.lines.push(entry(at, side.node(), receipt.head.seq.0, signed.hash()));
        }
        log
    }

    fn proof(&self, side: &mut Side, centre: &Centre, which: usize) -> InclusionProof {
        let (number, receipt, at) = self.places[which];
        InclusionProof {
            head: Head { seq: U64(number), ..side.manifest(centre, vec![], vec![]).head },
            receipt,
            index: U64(at as u64),
            entry: self.lines[at].clone(),
            path: merkle::prove(&self.lines, at).unwrap(),
            checkpoint: checkpoint(&self.lines, &log_key()),
        }
    }
}

fn counter(side: &mut Side, centre: &Centre) -> Signed {
    let (number, receipt) = side.link.last_receipt().unwrap();
    let head = Head { seq: number, ..side.manifest(centre, vec![], vec![]).head };
    Signed::seal(&CounterReceipt { head, receipt, checkpoint: None }, &centre.manifest)
}

#[test]
fn a_node_keeps_what_proves_its_receipts() {
    let centre = centre();
    let mut side = begun(&centre);
    let (log, receipts) = (Log::of(&side), side.machine.outbox().to_vec());
    let last = receipts.len() as u64;
    let counter = counter(&mut side, &centre);
    let kept = side.machine.message(side.now, &counter, [0; 16]).unwrap();
    assert!(kept.persist && side.machine.outbox().is_empty());
    let numbers: Vec<_> = kept
        .keep
        .iter()
        .map(|kept| match kept {
            Kept::Confirmed { number, receipt, counter } => {
                assert_eq!(receipts[number.0 as usize - 1], *receipt);
                (number.0, counter.is_some())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(numbers, (1..=last).rev().map(|n| (n, n == last)).collect::<Vec<_>>());
    // One before it does as well: the manager proves what it can.
    let older = Signed::seal(&log.proof(&mut side, &centre, receipts.len() - 2), &centre.manifest);
    let effects = side.machine.message(side.now, &older, [0; 16]).unwrap();
    assert_eq!(effects.keep, [Kept::Proved { number: U64(last - 1), proof: older }]);
    assert_eq!(side.machine.state().proved, U64(last - 1));
    let newest = log.proof(&mut side, &centre, receipts.len() - 1);
    let proof = Signed::seal(&newest, &centre.manifest);
    let effects = side.machine.message(side.now, &proof, [0; 16]).unwrap();
    assert!(effects.persist && effects.send.is_empty() && effects.alarms.is_empty());
    assert_eq!(effects.keep, [Kept::Proved { number: U64(last), proof: proof.clone() }]);
    let state = side.machine.state();
    assert_eq!((state.proved, state.checkpoint.clone()), (U64(last), Some(newest.checkpoint)));
    // The manager learns it with the next request.
    let pull = side.machine.pull(side.now, 0).unwrap();
    side.link.pull(side.now.utc_ms, &pull).unwrap();
    assert_eq!(side.link.proved, U64(last));
    let again = side.machine.message(side.now, &proof, [0; 16]).unwrap();
    assert!(!again.persist && again.keep.is_empty());
    // What is kept is not lost with the next manifest, nor with a crash.
    side.stored = side.machine.to_bytes();
    side.crash();
    let targets = vec![set(vec![target(1, Step::Protect), target(2, Step::Stage)])];
    assert_eq!(side.run(&centre, targets, vec![rotate(&centre, 2)]), [ReceiptKind::Proven]);
    assert_eq!(side.machine.state().proved, U64(last));
    assert!(side.machine.state().confirmed.is_some());
}

// Before the counter-receipt has come, too.
#[test]
fn a_receipt_is_proved_that_was_not_confirmed_yet() {
    let centre = centre();
    let mut side = begun(&centre);
    let log = Log::of(&side);
    let proof = log.proof(&mut side, &centre, 1);
    let effects = side.machine.message(side.now, &Signed::seal(&proof, &centre.manifest), [0; 16]).unwrap();
    assert!(effects.persist && side.machine.state().proved == U64(2));
}

#[test]
fn a_proof_that_does_not_hold_is_an_alarm_and_is_kept() {
    let centre = centre();
    let foreign = SoftSigner::new(&[77; 32]);
    type Tamper = fn(&mut InclusionProof, &Log);
    let tampers: [(&str, Tamper); 7] = [
        ("path", |proof, _| proof.path[0].0[0] ^= 1),
        ("path cut", |proof, _| proof.path.truncate(1)),
        ("entry", |proof, _| proof.entry = proof.entry.replacen(" 5 ", " 6 ", 1)),
        ("another entry", |proof, log| {
            let at = log.places[0].2;
            (proof.index, proof.entry) = (U64(at as u64), log.lines[at].clone());
            proof.path = merkle::prove(&log.lines, at).unwrap();
        }),
        ("root", |proof, _| proof.checkpoint.root.0[0] ^= 1),
        ("another log", |proof, log| {
            let mut lines = log.lines.clone();
            lines[0].push('x');
            proof.checkpoint = checkpoint(&lines, &log_key());
        }),
        ("number", |proof, _| proof.head.seq = U64(proof.head.seq.0 + 7)),
    ];
    for (what, tamper) in tampers {
        let mut side = begun(&centre);
        let log = Log::of(&side);
        let last = log.places.len() - 1;
        let mut proof = log.proof(&mut side, &centre, last);
        tamper(&mut proof, &log);
        let signed = Signed::seal(&proof, &centre.manifest);
        let effects = side.machine.message(side.now, &signed, [0; 16]).unwrap();
        assert_eq!(effects.alarms, [Alarm::LogDiffers], "{what}");
        let kept = Kept::Disputed { proof: signed.clone(), other: None };
        assert_eq!(effects.keep, [kept], "{what}");
        assert!(effects.persist && side.machine.state().proved == U64(0), "{what}");
        assert_eq!(side.reason(&effects.send[0]), Reason::Proof, "{what}");
        assert!(side.machine.alarms(side.now).contains(&Alarm::LogDiffers), "{what}");
        // A proof that holds ends the alarm, not the evidence.
        let good = log.proof(&mut side, &centre, last);
        let effects =
            side.machine.message(side.now, &Signed::seal(&good, &centre.manifest), [0; 16]).unwrap();
        assert!(matches!(effects.keep.as_slice(), [Kept::Proved { .. }]), "{what}");
        assert!(side.machine.alarms(side.now).is_empty(), "{what}");
    }
    // A checkpoint of a key that the root document does not name.
    let mut side = begun(&centre);
    let log = Log::of(&side);
    let mut proof = log.proof(&mut side, &centre, 0);
    proof.checkpoint = checkpoint(&log.lines, &foreign);
    let effects = side.machine.message(side.now, &Signed::seal(&proof, &centre.manifest), [0; 16]).unwrap();
    assert_eq!((effects.alarms.as_slice(), side.machine.state().proved), (&[Alarm::LogDiffers][..], U64(0)));
    // Whoever has not the manifest key raises no dispute: the message is no one's of ours.
    let mut side = begun(&centre);
    let signed = Signed::seal(&proof, &foreign);
    assert_eq!(side.refused(&signed), Reason::Signature);
}

// What was proved before the log was told anew says nothing of it.
#[test]
fn an_old_proof_ends_no_dispute() {
    let centre = centre();
    let mut side = begun(&centre);
    let log = Log::of(&side);
    let (first, last) = (log.proof(&mut side, &centre, 0), log.places.len() - 1);
    let give = |side: &mut Side, proof: &InclusionProof| {
        let effects =
            side.machine.message(side.now, &Signed::seal(proof, &centre.manifest), [0; 16]).unwrap();
        (effects.persist, side.machine.state().disputed)
    };
    let newest = log.proof(&mut side, &centre, last);
    assert_eq!(give(&mut side, &first), (true, false));
    let mut bad = newest.clone();
    bad.path[0].0[0] ^= 1;
    assert_eq!(give(&mut side, &bad), (true, true));
    assert_eq!(give(&mut side, &first), (false, true));
    // The same receipt in a log that has grown is news.
    let mut grown = Log { lines: log.lines.clone(), places: log.places.clone() };
    grown.lines.push(format!("v1 {} 5 0 someone - centre.tick allowed - - - -", grown.lines.len()));
    let grown = grown.proof(&mut side, &centre, 0);
    assert_eq!(give(&mut side.clone(), &grown), (true, false));
    assert_eq!(give(&mut side, &newest), (true, false));
}

// What is longer than it must be would fill the file that shows the rest.
#[test]
fn what_is_too_long_to_be_a_proof_is_refused_and_not_kept() {
    let centre = centre();
    let mut side = begun(&centre);
    let log = Log::of(&side);
    let proof = log.proof(&mut side, &centre, 0);
    let long = "x".repeat(64 << 10);
    type Tamper<'a> = &'a dyn Fn(&mut InclusionProof);
    let tampers: [Tamper<'_>; 4] = [
        &|proof| proof.entry.push_str(&long),
        &|proof| proof.path = vec![Digest([1; 32]); 65],
        &|proof| {
            (proof.path, proof.checkpoint.size) = (vec![Digest([1; 32]); 46_000], U64(u64::MAX));
        },
        &|proof| proof.checkpoint.note = long.repeat(5),
    ];
    for (n, tamper) in tampers.into_iter().enumerate() {
        let mut proof = proof.clone();
        tamper(&mut proof);
        let signed = Signed::seal(&proof, &centre.manifest);
        let effects = side.machine.message(side.now, &signed, [0; 16]).unwrap();
        assert!(!effects.persist && effects.keep.is_empty() && !side.machine.state().disputed, "{n}");
        assert_eq!(side.reason(&effects.send[0]), Reason::Malformed, "{n}");
    }
    let mut payload = counter(&mut side, &centre).payload;
    payload.resize(5 << 10, b' ');
    let padded = Signed::seal_bytes("counter-receipt", payload, &centre.manifest);
    assert_eq!(side.refused(&padded), Reason::Malformed);
    // A signed tree that cannot be is disputed like any other that does not hold.
    let mut huge = proof;
    let text = format!("{LOG}\n{}\n", u64::MAX);
    huge.checkpoint = resized(&huge.checkpoint, &text);
    huge.path = vec![Digest([1; 32]); 64];
    let effects = side.machine.message(side.now, &Signed::seal(&huge, &centre.manifest), [0; 16]).unwrap();
    assert!(matches!(effects.keep.as_slice(), [Kept::Disputed { .. }]));
}

// The same root under another head, signed.
fn resized(checkpoint: &Checkpoint, head: &str) -> Checkpoint {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let text = format!("{head}{}\n", STANDARD.encode(checkpoint.root.0));
    let signature = [&[1, 2, 3, 4][..], &log_key().sign(text.as_bytes())].concat();
    let note = format!("{text}\n\u{2014} {LOG} {}\n", STANDARD.encode(signature));
    Checkpoint { size: U64(u64::MAX), root: checkpoint.root, note }
}

// The node remembers the last eight that were confirmed, however many came with one answer.
#[test]
fn one_of_the_last_receipts_may_be_proved() {
    let centre = centre();
    let mut side = begun(&centre);
    let mut places = Vec::new();
    let mut lines = Vec::new();
    for rounds in [1, 2, 9, 1] {
        for _ in 0..rounds {
            let manifest = side.manifest(&centre, vec![set(vec![target(1, Step::Protect)])], vec![]);
            let signed = side.seal(&centre, &manifest);
            side.give(&signed);
        }
        for (receipt, signed) in side.receipts().iter().zip(side.machine.outbox()) {
            places.push((receipt.head.seq.0, signed.hash(), lines.len()));
            lines.push(entry(lines.len(), side.node(), receipt.head.seq.0, signed.hash()));
        }
        side.deliver();
        let counter = counter(&mut side, &centre);
        side.machine.message(side.now, &counter, [0; 16]).unwrap();
        assert!(side.machine.outbox().is_empty());
    }
    let log = Log { lines, places };
    let newest = log.places.len() - 1;
    for back in [8, 7, 4, 1, 0] {
        let proof = log.proof(&mut side, &centre, newest - back);
        let number = proof.head.seq;
        let effects =
            side.machine.message(side.now, &Signed::seal(&proof, &centre.manifest), [0; 16]).unwrap();
        assert!(effects.send.is_empty() && effects.alarms.is_empty(), "{back}");
        assert_eq!(side.machine.state().proved == number, back < 8, "{back}");
    }
}

// Its hash is nothing that the manager could guess, either.
#[test]
fn a_receipt_that_was_never_given_is_not_proved() {
    let centre = centre();
    let mut side = begun(&centre);
    let mut log = Log::of(&side);
    let (number, none) = (u64::MAX, Digest::default());
    log.places.push((number, none, log.lines.len()));
    log.lines.push(entry(log.lines.len(), side.node(), number, none));
    let proof = log.proof(&mut side, &centre, log.places.len() - 1);
    let effects = side.machine.message(side.now, &Signed::seal(&proof, &centre.manifest), [0; 16]).unwrap();
    assert_eq!((effects.alarms.as_slice(), side.machine.state().proved), (&[Alarm::LogDiffers][..], U64(0)));
    assert!(matches!(effects.keep.as_slice(), [Kept::Disputed { .. }]));
}

#[test]
fn two_roots_of_one_size_are_a_fork() {
    let centre = centre();
    let mut side = begun(&centre);
    let log = Log::of(&side);
    let mut other = log.lines.clone();
    other[0].push('x');
    let mut manifest = side.manifest(&centre, vec![set(vec![target(1, Step::Protect)])], vec![]);
    manifest.checkpoint = Some(checkpoint(&other, &log_key()));
    let signed = side.seal(&centre, &manifest);
    side.give(&signed);
    let proof = log.proof(&mut side, &centre, 0);
    let signed = Signed::seal(&proof, &centre.manifest);
    let effects = side.machine.message(side.now, &signed, [0; 16]).unwrap();
    assert_eq!(effects.alarms, [Alarm::LogDiffers]);
    // Both states are kept, and whoever has the root document sees that both are signed.
    let known = checkpoint(&other, &log_key());
    let kept = Kept::Disputed { proof: signed.clone(), other: Some(known.clone()) };
    assert_eq!(effects.keep, [kept]);
    let keys = CentreKeys::of(std::slice::from_ref(&centre.root)).unwrap();
    let (mut file, _) = file(&mut side, &centre);
    file.forks = vec![Forked { proof: signed.clone(), other: known.clone() }];
    let shown = ReceiptFile::from_bytes(&file.to_bytes()).unwrap().judge(&keys).unwrap();
    let roots = [proof.checkpoint.root, known.root];
    assert_eq!(shown.forks, [Fork { number: 1, size: known.size.0, roots }]);
    assert!(shown.convicts() && shown.disputed.is_empty() && shown.unshown.is_empty());
    // What the log's keys have not signed convicts nobody, nor does one and the same state; it is not passed over.
    let forged = checkpoint(&other, &SoftSigner::new(&[77; 32]));
    for other in [forged, proof.checkpoint.clone()] {
        file.forks = vec![Forked { proof: signed.clone(), other }];
        let shown = file.judge(&keys).unwrap();
        assert!(shown.forks.is_empty() && !shown.convicts());
        assert_eq!(shown.unshown, [1]);
    }
}

// The manifest is obeyed: officers have approved what it orders.
#[test]
fn a_manifest_with_another_root_of_a_known_size_is_an_alarm() {
    let centre = centre();
    let mut side = begun(&centre);
    let log = Log::of(&side);
    let mut other = log.lines.clone();
    other[0].push('x');
    let known = checkpoint(&log.lines, &log_key());
    let forged = checkpoint(&other, &SoftSigner::new(&[77; 32]));
    let smaller = checkpoint(&other[1..], &log_key());
    let mut bring = |given: &Checkpoint| {
        let mut manifest = side.manifest(&centre, vec![set(vec![target(1, Step::Protect)])], vec![]);
        manifest.checkpoint = Some(given.clone());
        let signed = side.seal(&centre, &manifest);
        let effects = side.machine.message(side.now, &signed, [0; 16]).unwrap();
        let alarms = effects.alarms.clone();
        side.follow(effects);
        side.deliver();
        let state = side.machine.state();
        assert_eq!((state.last, state.checkpoint.as_ref()), (Some(signed.hash()), Some(&known)));
        alarms
    };
    // What is known already, what the log's key has not signed and what is older says nothing.
    for given in [&known, &known, &forged, &smaller] {
        assert_eq!(bring(given), []);
    }
    assert_eq!(bring(&checkpoint(&other, &log_key())), [Alarm::LogDiffers]);
    side.crash();
    assert!(side.machine.alarms(side.now).contains(&Alarm::LogDiffers), "stored");
    // A proof that holds ends it, as it does after a proof that did not.
    let proof = Signed::seal(&log.proof(&mut side, &centre, 0), &centre.manifest);
    side.machine.message(side.now, &proof, [0; 16]).unwrap();
    assert!(side.machine.alarms(side.now).is_empty());
}

fn file(side: &mut Side, centre: &Centre) -> (ReceiptFile, Log) {
    let (log, receipts) = (Log::of(side), side.machine.outbox().to_vec());
    let proof = log.proof(side, centre, receipts.len() - 1);
    let file = ReceiptFile {
        format: ReceiptFile::FORMAT.to_owned(),
        kmc: centre.kmc,
        node: side.node(),
        key: side.signer.key(),
        counters: vec![counter(side, centre)],
        proof: Some(Signed::seal(&proof, &centre.manifest)),
        disputed: Vec::new(),
        forks: Vec::new(),
        receipts,
    };
    (file, log)
}

#[test]
fn a_third_party_is_shown_that_the_centre_took_the_receipts() {
    let centre = centre();
    let mut side = begun(&centre);
    let (file, _) = file(&mut side, &centre);
    let keys = CentreKeys::of(std::slice::from_ref(&centre.root)).unwrap();
    let read = ReceiptFile::from_bytes(&file.to_bytes()).unwrap();
    let shown = read.judge(&keys).unwrap();
    let last = file.receipts.len() as u64;
    assert_eq!((shown.receipts.len() as u64, shown.confirmed), (last, Some(last)));
    assert_eq!(shown.proved.unwrap().number, last);
    assert!(shown.disputed.is_empty());
}

#[test]
fn a_file_that_does_not_show_it_is_refused() {
    let centre = centre();
    let mut side = begun(&centre);
    let (good, log) = file(&mut side, &centre);
    let keys = CentreKeys::of(std::slice::from_ref(&centre.root)).unwrap();
    let judged = |change: &dyn Fn(&mut ReceiptFile)| {
        let mut file = good.clone();
        change(&mut file);
        file.judge(&keys).map(|_| ())
    };
    let stranger = SoftSigner::new(&[77; 32]);
    let proof: InclusionProof = good.proof.as_ref().unwrap().peek().unwrap();
    let with = |tamper: &dyn Fn(&mut InclusionProof), signer: &SoftSigner| {
        let mut tampered = proof.clone();
        tamper(&mut tampered);
        let signed = Signed::seal(&tampered, signer);
        judged(&|file| file.proof = Some(signed.clone()))
    };
    assert_eq!(judged(&|file| file.kmc = KmcId([1; 32])), Err(FileFault::Kmc));
    assert_eq!(judged(&|file| file.key = stranger.key()), Err(FileFault::Key));
    assert_eq!(judged(&|file| file.receipts[1].signature[0] ^= 1), Err(FileFault::Receipt(2)));
    assert_eq!(judged(&|file| drop(file.receipts.remove(1))), Err(FileFault::Chain(3)));
    assert_eq!(judged(&|file| file.receipts.swap(0, 1)), Err(FileFault::Chain(1)));
    assert_eq!(judged(&|file| drop(file.receipts.pop())), Err(FileFault::Other("counter-receipt")));
    // A proof of a receipt that is not here proves nothing, and takes nothing from the rest.
    let mut short = good.clone();
    let last = short.receipts.len() as u64;
    short.receipts.pop();
    short.counters.clear();
    let shown = short.judge(&keys).unwrap();
    assert_eq!((shown.proved, shown.strayed, shown.receipts.len() as u64), (None, Some(last), last - 1));
    assert_eq!(judged(&|file| file.counters[0].signature[0] ^= 1), Err(FileFault::Centre("counter-receipt")));
    assert_eq!(with(&|_| (), &stranger), Err(FileFault::Centre("proof")));
    assert_eq!(with(&|p| p.path[0].0[0] ^= 1, &centre.manifest), Err(ProofFault::Path.into()));
    let foreign = checkpoint(&log.lines, &stranger);
    let tampered = with(&|p| p.checkpoint = foreign.clone(), &centre.manifest);
    assert_eq!(tampered, Err(ProofFault::Checkpoint.into()));
    let another = with(&|p| p.entry = log.lines[1].clone(), &centre.manifest);
    assert_eq!(another, Err(ProofFault::Entry.into()));
    // What is disputed is shown as such.
    let mut disputed = good.clone();
    let mut bad = proof.clone();
    bad.path[0].0[0] ^= 1;
    disputed.disputed = vec![Signed::seal(&bad, &centre.manifest)];
    let shown = disputed.judge(&keys).unwrap();
    assert_eq!(shown.disputed, [(proof.head.seq.0, ProofFault::Path)]);
    // A state under a key that these documents do not name may be of one that came later.
    let mut later = good.clone();
    later.disputed =
        vec![Signed::seal(&InclusionProof { checkpoint: foreign, ..proof.clone() }, &centre.manifest)];
    let shown = later.judge(&keys).unwrap();
    assert!(!shown.convicts() && shown.unshown == [proof.head.seq.0]);
    // Whoever has the node's key signs what he likes: a proof that holds for what it names convicts nobody.
    let mut framed = good.clone();
    let mut other: Receipt = framed.receipts.last().unwrap().peek().unwrap();
    other.kcv = Some("000000".into());
    *framed.receipts.last_mut().unwrap() = Signed::seal(&other, side.signer.as_ref());
    (framed.counters, framed.proof, framed.disputed) = (Vec::new(), None, vec![good.proof.clone().unwrap()]);
    let shown = framed.judge(&keys).unwrap();
    assert!(!shown.convicts() && shown.unshown == [proof.head.seq.0]);
    // Nor does a signed tree of a size that none has bring anybody down.
    let mut deep = proof.clone();
    deep.checkpoint = resized(&deep.checkpoint, &format!("{LOG}\n{}\n", u64::MAX));
    deep.path = vec![Digest([1; 32]); 46_000];
    disputed.disputed = vec![Signed::seal(&deep, &centre.manifest)];
    assert_eq!(disputed.judge(&keys).unwrap().disputed, [(proof.head.seq.0, ProofFault::Path)]);
    // The file is longer than any message, but not of any length.
    let mut many = good.clone();
    many.disputed = vec![disputed.disputed[0].clone(); 2];
    let long = many.to_bytes();
    assert!(
        long.len() > keylink::wire::MESSAGE_MAX && ReceiptFile::from_bytes(&long).is_ok(),
        "{}",
        long.len()
    );
    let endless = [&long[..long.len() - 1], &vec![b' '; ReceiptFile::LENGTH_MAX], b"}"].concat();
    assert_eq!(ReceiptFile::from_bytes(&endless), Err(FileFault::Form));
    // Nor is anything read that is no such file, nor keys that nobody stands for.
    assert_eq!(ReceiptFile::from_bytes(b"{}"), Err(FileFault::Form));
    let text = String::from_utf8(good.to_bytes()).unwrap().replacen("receipts.v1", "receipts.v2", 1);
    assert_eq!(ReceiptFile::from_bytes(text.as_bytes()), Err(FileFault::Form));
    let bare = SignedRoot { signatures: Vec::new(), ..centre.root.clone() };
    assert!(matches!(CentreKeys::of(&[bare]), Err(FileFault::Root(_))));
    assert!(CentreKeys::of(&[]).is_err());
    assert!(!bytes_of(&good).is_empty());
}
