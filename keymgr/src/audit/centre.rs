//! What the centre itself signs: manifests, and the transcripts of ceremonies. Its keys are named by its root
//! documents, which prove themselves one by one.

use super::finding::Report;
use crate::store::{Row, key_text};
use keylink::envelope::{Signed, pae};
use keylink::ids::{ActionId, Digest, KeyId, KmcId, PublicKey};
use keylink::message::{Audience, Manifest};
use keylink::root::{RootDocument, SignedRoot, Succession};
use serde::Deserialize;
use std::collections::HashMap;

/// Key of the row with the root documents.
pub(super) const CENTRE: &[u8] = b"centre";
const TRANSCRIPT: &str = "ceremony-transcript";

/// A root document, its hash, and by whose right it came; the first by nobody's.
type Document = (Digest, RootDocument, Option<Succession>);

/// The root documents, and the keys by which the centre may have signed.
#[derive(Default)]
pub(super) struct CentreKeys {
    kmc: KmcId,
    keys: HashMap<KeyId, PublicKey>,
    documents: Vec<Document>,
}

// Oldest first: the former ones, then the present one.
#[derive(Deserialize)]
struct Roots {
    former: Vec<SignedRoot>,
    root: SignedRoot,
}

#[derive(Deserialize)]
struct Transcript {
    kmc: KmcId,
    ceremony: ActionId,
}

impl CentreKeys {
    /// Learns the keys of the root documents, as far as each follows from the one before.
    pub fn learn(&mut self, row: &Row, report: &mut Report) {
        let mut wrong = |what: String| report.find("signature", row.table.name(), key_text(&row.key), what);
        let Ok(Roots { former, root }) = keylink::wire::read(&row.body) else {
            return wrong("no root documents are in it".to_owned());
        };
        for signed in former.iter().chain([&root]) {
            let hash = signed.hash();
            let opened = match self.documents.last() {
                None => signed.open_genesis().map(|document| (document, None)),
                Some((before, old, _)) => {
                    let next = signed.open_next(self.kmc, old, *before);
                    next.map(|(document, succession)| (document, Some(succession)))
                }
            };
            let (document, succession) = match opened {
                Ok(opened) => opened,
                Err(error) => return wrong(format!("root document {hash}: {error}")),
            };
            if self.documents.is_empty() {
                self.kmc = KmcId(hash.0);
            }
            self.keys.extend(document.manifest_keys.iter().map(|key| (key.id(), *key)));
            self.documents.push((hash, document, succession));
        }
    }

    /// The centre.
    pub fn kmc(&self) -> KmcId {
        self.kmc
    }

    /// The root documents, oldest first.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    // A message that one of the centre's keys signed.
    fn open(&self, row: &Row) -> Result<Signed, &'static str> {
        let signed = Signed::parse(&row.body).map_err(|_| "the body is no signed message")?;
        let key = self.keys.get(&signed.key_id).ok_or("signed by a key that the centre never had")?;
        key.verify(&pae(&signed.kind, &signed.payload), &signed.signature)
            .map_err(|_| "the signature does not hold")?;
        Ok(signed)
    }

    /// Whether the manifest in a row is this centre's, for that node under that number.
    pub fn issued(&self, row: &Row) -> Result<(), &'static str> {
        let manifest: Manifest = self.open(row)?.peek().map_err(|_| "no manifest")?;
        let head = manifest.head;
        let Audience::Node(node) = head.audience else { return Err("a manifest for no node") };
        let epoch = row.column("epoch").int().map(i64::cast_unsigned);
        let place = [&node.0[..], &head.seq.0.to_be_bytes()].concat();
        if head.kmc == self.kmc && row.key == place && epoch == Some(head.epoch.0) {
            Ok(())
        } else {
            Err("the manifest of another centre, node or number")
        }
    }

    /// Whether the transcript in a row is this centre's, of that ceremony.
    pub fn signed(&self, row: &Row) -> Result<(), &'static str> {
        let signed = self.open(row)?;
        let said: Option<Transcript> = keylink::wire::read(&signed.payload).ok();
        match said.filter(|_| signed.kind == TRANSCRIPT) {
            Some(said) if said.kmc == self.kmc && row.key == said.ceremony.0 => Ok(()),
            Some(_) => Err("the transcript of another ceremony"),
            None => Err("no transcript of a ceremony"),
        }
    }
}
