//! What a node has after it was killed.

use crate::common::centre;
use crate::common::fleet::{begun, install, rotate, set, target};
use keylink::message::ReceiptKind::{Accepting, Activated, Proven};
use keylink::message::{CounterReceipt, Reason, Step};
use keylink::{Signed, SoftSigner};

#[test]
fn killed_between_store_and_receipt() {
    let centre = centre();
    let mut side = begun(&centre);
    let manifest = side.manifest(
        &centre,
        vec![set(vec![target(1, Step::Protect), target(2, Step::Stage)])],
        vec![rotate(&centre, 2)],
    );
    let signed = side.seal(&centre, &manifest);
    // Killed while the backend works: nothing is stored, the same bytes do it again.
    let effects = side.machine.message(side.now, &signed, [5; 16]).unwrap();
    assert_eq!(effects.install.len(), 1);
    side.crash();
    side.give(&signed);
    let receipts = side.machine.outbox().to_vec();
    // Killed after the store: the receipt is there, the same bytes, and one key.
    side.crash();
    assert_eq!(side.machine.outbox(), receipts);
    let effects = side.machine.boot(side.now);
    side.follow(effects);
    let again = side.give(&signed);
    assert_eq!(again, receipts[receipts.len() - 1..]);
    assert_eq!(side.deliver(), [Proven]);
    assert_eq!(side.deliver(), [], "counted once");
    assert_eq!(side.machine.state().key_sets[0].generations.len(), 2);
}

#[test]
fn killed_before_the_cores_have_switched() {
    let centre = centre();
    let mut side = begun(&centre);
    let manifest = side.manifest(
        &centre,
        vec![set(vec![target(1, Step::Accept), target(2, Step::Protect)])],
        vec![rotate(&centre, 2)],
    );
    let signed = side.seal(&centre, &manifest);
    let effects = side.machine.message(side.now, &signed, [5; 16]).unwrap();
    let answers = effects.install.iter().map(install).collect();
    let effects = side.machine.installed(side.now, answers).unwrap();
    assert!(effects.persist && effects.publish.is_some());
    side.stored = side.machine.to_bytes();
    assert_eq!(side.deliver(), [Proven]);
    side.crash();
    let effects = side.machine.boot(side.now);
    side.follow(effects);
    assert_eq!(side.deliver(), [Accepting, Activated]);
}

#[test]
fn confirmed_receipts_leave_the_outbox() {
    let centre = centre();
    let mut side = begun(&centre);
    let (number, receipt) = side.link.last_receipt().unwrap();
    let head = keylink::message::Head { seq: number, ..side.manifest(&centre, vec![], vec![]).head };
    let counter = CounterReceipt { head, receipt, checkpoint: None };
    let forged = Signed::seal(&counter, &SoftSigner::new(&[9; 32]));
    assert_eq!(side.refused(&forged), Reason::Signature);
    side.give(&Signed::seal(&counter, &centre.manifest));
    assert!(side.machine.outbox().is_empty());
}
