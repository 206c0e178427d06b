//! What only rises: numbers of root KEKs, also where all keys were erased, and what a node says that it has a proof of.

use crate::common::fleet::{Side, begun};
use crate::common::{Centre, centre, evidence};
use keylink::action::{ActionClass, Grant};
use keylink::message::{Command, Head, Order, Possession, PossessionMethod, Pull, Reason, RootKekOffer};
use keylink::node::{KekRecord, NodeState};
use keylink::wire::{Blob, Hex, U64};
use keylink::{CommandId, Signed};

fn erase(side: &mut Side, centre: &Centre) {
    let evidence = vec![evidence(centre, ActionClass::Revoke, &[Grant::ZeroiseNode(side.node())], &[1, 2])];
    let head = side.link.next_head(1, side.now.utc_ms + 60_000);
    let command = Command { head, command: CommandId([1; 16]), order: Order::Zeroise, evidence };
    let signed = Signed::seal(&command, &centre.manifest);
    side.link.sent(head.seq, &signed);
    side.give(&signed);
    assert!(side.machine.state().kek.is_none());
}

fn offer(side: &mut Side, centre: &Centre, number: u32) -> Signed {
    let grant = Grant::RootKek { node: side.node(), number };
    let evidence = evidence(centre, ActionClass::RootKek, &[grant], &[1, 2]);
    let head: Head = side.link.next_head(1, side.now.utc_ms + 60_000);
    let offer = RootKekOffer { head, number, public: Blob(vec![1]), nonce: Hex([1; 32]), evidence };
    Signed::seal(&offer, &centre.manifest)
}

fn form(side: &mut Side, number: u32) -> bool {
    let kek = KekRecord { number, token: "Sroot".into(), kcv: "0102030405".into() };
    let method = PossessionMethod::WrappedThrowAway;
    let proof = Possession { method, nonce: Hex([1; 32]), answer: "D".into() };
    side.machine.kek_formed(side.now, kek, proof).unwrap().persist
}

#[test]
fn no_root_kek_comes_back_after_all_keys_were_erased() {
    let centre = centre();
    let mut side = begun(&centre);
    erase(&mut side, &centre);
    side.crash();
    assert_eq!(side.machine.state().kek_floor(), 1);
    let first = offer(&mut side, &centre, 1);
    assert_eq!(side.refused(&first), Reason::Generation);
    assert!(!form(&mut side, 1) && side.machine.state().kek.is_none());
    let next = offer(&mut side, &centre, 2);
    let effects = side.machine.message(side.now, &next, [0; 16]).unwrap();
    assert_eq!(effects.agree.map(|order| order.number), Some(2));
    assert!(form(&mut side, 2));
}

// One that was stored before the number was kept.
#[test]
fn a_state_without_the_number_reads() {
    let centre = centre();
    let mut side = begun(&centre);
    let text = String::from_utf8(side.machine.to_bytes()).unwrap();
    assert!(!text.contains("kek_number"));
    let state: NodeState = serde_json::from_str(&text).unwrap();
    assert_eq!((&state, state.kek_floor()), (side.machine.state(), 1));
    erase(&mut side, &centre);
    let text = String::from_utf8(side.machine.to_bytes()).unwrap();
    assert!(text.contains(r#""kek_number":1"#));
}

// A number of the far future would mean that nothing has to be proved any more.
#[test]
fn a_node_has_a_proof_of_no_receipt_that_was_not_counted() {
    let centre = centre();
    let mut side = begun(&centre);
    let (last, _) = side.link.last_receipt().unwrap();
    let pull = |side: &mut Side, proved: u64| {
        let mut body: Pull = side.machine.pull(side.now, 0).unwrap().peek().unwrap();
        body.proved = U64(proved);
        side.link.pull(side.now.utc_ms, &Signed::seal(&body, side.signer.as_ref())).unwrap();
        side.link.proved
    };
    assert_eq!(pull(&mut side, 1), U64(1));
    assert_eq!(pull(&mut side, u64::MAX), last);
    assert_eq!(pull(&mut side, 0), last);
}
