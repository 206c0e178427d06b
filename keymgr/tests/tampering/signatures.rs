//! Signatures of approvals and receipts, each by the key that the store has for its maker.

use crate::common::{BEGIN_MS, Place};
use crate::named;
use keylink::envelope::{Sign, Signed, SoftSigner};
use keymgr::audit::{Options, verify_store};
use keymgr::log::Entry;
use keymgr::store::{Change, Table, Value};
use std::collections::BTreeSet;

#[test]
fn signatures_are_checked_and_what_is_wrong_is_named() {
    let place = Place::sqlite();
    let mut ledger = place.lead().unwrap();
    let (officer, node) = (SoftSigner::new(&[1; 32]), SoftSigner::new(&[2; 32]));
    let holder = |table, key: &[u8], signer: &SoftSigner| {
        let columns = [("public_key", Value::from(signer.key().0.as_slice()))];
        Change::raw(table, key.to_vec(), &columns, Vec::new())
    };
    let approval = |key: &[u8], credential: &[u8], body: Vec<u8>| {
        Change::raw(Table::Approvals, key.to_vec(), &[("credential", credential.into())], body)
    };
    let receipt = |key: &[u8], node: &[u8], body: Vec<u8>| {
        Change::raw(Table::Receipts, key.to_vec(), &[("node", node.into())], body)
    };
    let signed = Signed::seal_bytes("approval", b"{}".to_vec(), &officer);
    let said = Signed::seal_bytes("receipt", b"{}".to_vec(), &node);
    let mut forged = said.clone();
    forged.payload.push(b' ');
    let entry = Entry { action: "x".into(), approvals: vec![signed.hash().0, [9; 32]], ..Entry::default() };
    let good = vec![
        holder(Table::Credentials, b"c1", &officer),
        holder(Table::Nodes, b"n1", &node),
        holder(Table::Nodes, b"n2", &SoftSigner::new(&[3; 32])),
        approval(b"a1", b"c1", signed.to_bytes()),
        receipt(b"r1", b"n1", said.to_bytes()),
    ];
    let bad = vec![
        approval(b"a2", b"c1", said.to_bytes()),
        approval(b"a3", b"c2", signed.to_bytes()),
        receipt(b"r2", b"n1", forged.to_bytes()),
        receipt(b"r3", b"n2", said.to_bytes()),
        receipt(b"r4", b"n1", b"{}".to_vec()),
    ];
    ledger.commit(vec![(entry, good), (Entry::default(), bad)], BEGIN_MS, false).unwrap();
    ledger.checkpoint().unwrap();
    drop(ledger);
    assert!(place.verify().holds && place.verify().signatures.is_none());
    let options = Options { signatures: true, ..Options::default() };
    let report = verify_store(&mut place.read(), options).unwrap();
    let counts = report.signatures.unwrap();
    assert_eq!((counts.approvals, counts.receipts), (1, 1));
    let wanted = hex::encode([9; 32]);
    let expected = [
        ("approvals", "a2"),
        ("approvals", "a3"),
        ("approvals", wanted.as_str()),
        ("receipts", "r2"),
        ("receipts", "r3"),
        ("receipts", "r4"),
    ];
    let expected: BTreeSet<_> =
        expected.iter().map(|(table, key)| ((*table).to_owned(), (*key).to_owned())).collect();
    assert_eq!(named(&report), expected);
}
