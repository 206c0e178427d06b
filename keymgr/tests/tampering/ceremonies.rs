//! Transcripts of ceremonies under the keys of the root documents, and custodians' components under their own.

use crate::common::root;
use crate::{judged, named};
use keylink::envelope::{Sign, Signed, SoftSigner};
use keylink::root::SignedRoot;
use keylink::{ActionId, CredentialId, Digest, KmcId, PersonId};
use keymgr::log::Entry;
use keymgr::store::{Change, Table};
use std::collections::BTreeSet;

#[test]
fn transcripts_of_ceremonies_are_checked_with_the_keys_of_the_root_documents() {
    let [manager, newer, thief] = [4, 5, 6].map(|seed| SoftSigner::new(&[seed; 32]));
    let officers = [7, 8, 9].map(|seed| SoftSigner::new(&[seed; 32]));
    let mut document = root::first(&manager, &officers);
    let genesis = root::signed(&document, &officers);
    let kmc = KmcId(genesis.hash().0);
    (document.number, document.kmc, document.previous) = (2, Some(kmc), Some(genesis.hash()));
    document.manifest_keys = vec![newer.key()];
    let next = root::signed(&document, &officers);
    document.manifest_keys = vec![thief.key()];
    let unsigned = SignedRoot::new(&document);
    let centre = |root: &SignedRoot| {
        let body = serde_json::json!({ "former": [genesis], "root": root });
        Change::raw(Table::Meta, b"centre".to_vec(), &[], body.to_string().into_bytes())
    };
    let ceremony = |place: u8, kmc: KmcId, named: u8, kind: &str, signer: &SoftSigner| {
        let payload = serde_json::json!({ "kmc": kmc, "ceremony": ActionId([named; 16]), "kcv": "A1B2C3" });
        let signed = Signed::seal_bytes(kind, payload.to_string().into_bytes(), signer);
        Change::raw(
            Table::Ceremonies,
            vec![place; 16],
            &[("state", "done".into()), ("created_ms", 0_u64.into())],
            signed.to_bytes(),
        )
    };
    let words = "ceremony-transcript";
    let judged = |changes: Vec<Change>| {
        // A root document comes into effect by an entry.
        let (action, objects) = ("root.install".into(), vec![next.hash().to_string()]);
        judged(vec![(Entry { action, objects, ..Entry::default() }, changes)])
    };
    // Under the key of then and the key of now.
    let report = judged(vec![
        centre(&next),
        ceremony(1, kmc, 1, words, &manager),
        ceremony(2, kmc, 2, words, &newer),
        ceremony(3, kmc, 3, words, &thief),
        ceremony(4, kmc, 1, words, &newer),
        ceremony(5, KmcId([1; 32]), 5, words, &newer),
        ceremony(6, kmc, 6, "receipt", &newer),
        Change::raw(
            Table::Ceremonies,
            vec![7; 16],
            &[("state", "done".into()), ("created_ms", 0_u64.into())],
            b"{}".to_vec(),
        ),
    ]);
    assert_eq!(report.signatures.unwrap().ceremonies, 2);
    let place = |number: u8| ("ceremonies".to_owned(), hex::encode([number; 16]));
    assert_eq!(named(&report), (3..=7).map(place).collect());
    // A root document that nobody signed brings no key.
    let report = judged(vec![centre(&unsigned), ceremony(1, kmc, 1, words, &thief)]);
    let expected = BTreeSet::from([("meta".to_owned(), "centre".to_owned()), place(1)]);
    assert_eq!((report.signatures.unwrap().ceremonies, named(&report)), (0, expected));
}

// Custodians' components: each under the key of its own custodian, and those that a transcript names are all there.
#[test]
fn components_are_judged_by_the_keys_of_their_custodians() {
    let [manager, one, two] = [4, 5, 6].map(|seed| SoftSigner::new(&[seed; 32]));
    let officers = [7, 8, 9].map(|seed| SoftSigner::new(&[seed; 32]));
    let root = root::signed(&root::first(&manager, &officers), &officers);
    let kmc = root.hash();
    let centre = serde_json::json!({ "former": [], "root": root }).to_string().into_bytes();
    let credential = |number: u8, signer: &SoftSigner| {
        let columns = [
            ("person", [number; 16].as_slice().into()),
            ("state", "active".into()),
            ("public_key", signer.key().0.as_slice().into()),
        ];
        Change::raw(Table::Credentials, vec![number; 16], &columns, b"{}".to_vec())
    };
    let ceremony = ActionId([1; 16]);
    let say = |number: u8, signer: &SoftSigner, check: &str| {
        let payload = serde_json::json!({
            "kmc": kmc, "ceremony": ceremony, "number": number, "person": PersonId([number; 16]),
            "credential": CredentialId([number; 16]), "check": check,
        });
        Signed::seal_bytes("component", payload.to_string().into_bytes(), signer)
    };
    let row = |key: Vec<u8>, signed: &Signed| {
        Change::raw(Table::Ceremonies, key, &[("state", "component".into())], signed.to_bytes())
    };
    let kept = |signed: &Signed| row([&ceremony.0[..], &signed.hash().0].concat(), signed);
    let transcript = |parts: &[(u8, &str, Digest)]| {
        let part = |(number, check, message): &(u8, &str, Digest)| {
            let person = PersonId([*number; 16]);
            serde_json::json!({ "number": number, "person": person, "check": check, "message": message })
        };
        let parts: Vec<_> = parts.iter().map(part).collect();
        let payload = serde_json::json!({ "kmc": kmc, "ceremony": ceremony, "parts": parts });
        let signed = Signed::seal_bytes("ceremony-transcript", payload.to_string().into_bytes(), &manager);
        row(ceremony.0.to_vec(), &signed)
    };
    let judged = |changes: Vec<Change>| {
        let head = Change::raw(Table::Meta, b"centre".to_vec(), &[], centre.clone());
        let all = [vec![head, credential(1, &one), credential(2, &two)], changes].concat();
        judged(vec![(Entry::default(), all)])
    };
    let (first, second) = (say(1, &one, "AA"), say(2, &two, "BB"));
    let both = [(1, "AA", first.hash()), (2, "BB", second.hash())];
    let replaced = say(2, &two, "CC");
    let good = judged(vec![transcript(&both), kept(&first), kept(&second), kept(&replaced)]);
    assert!(good.holds, "{:?}", good.findings);
    assert_eq!(good.signatures.map(|counts| (counts.ceremonies, counts.components)), Some((1, 3)));
    let thief = say(2, &one, "BB");
    let stolen = [both[0], (2, "BB", thief.hash())];
    let other = say(2, &two, "DD");
    let lied = [both[0], (2, "BB", other.hash())];
    let wrong = [
        ("one is gone", vec![transcript(&both), kept(&first)]),
        ("signed by another custodian", vec![transcript(&stolen), kept(&first), kept(&thief)]),
        ("another check value", vec![transcript(&lied), kept(&first), kept(&other)]),
        ("under another ceremony", vec![transcript(&both), kept(&first), row(vec![9; 48], &second)]),
        ("a stranger", vec![kept(&say(1, &SoftSigner::new(&[3; 32]), "AA"))]),
    ];
    for (what, changes) in wrong {
        let report = judged(changes);
        assert!(!report.holds, "{what}");
        assert!(
            report.findings.iter().all(|found| found.table == "ceremonies"),
            "{what}: {:?}",
            report.findings
        );
    }
}
