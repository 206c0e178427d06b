//! What the centre itself signs: the transcripts of ceremonies. Its keys are named by its root documents, which prove
//! themselves one by one.

use super::finding::Report;
use crate::store::{Row, key_text};
use keylink::envelope::{Signed, pae};
use keylink::ids::{ActionId, KeyId, KmcId, PublicKey};
use keylink::root::SignedRoot;
use serde::Deserialize;
use std::collections::HashMap;

/// Key of the row with the root documents.
pub(super) const CENTRE: &[u8] = b"centre";
const TRANSCRIPT: &str = "ceremony-transcript";

/// The keys that may have signed a transcript.
#[derive(Default)]
pub(super) struct CentreKeys {
    kmc: KmcId,
    keys: HashMap<KeyId, PublicKey>,
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
        let Ok(Roots { former, root }) = serde_json::from_slice(&row.body) else {
            return wrong("no root documents are in it".to_owned());
        };
        let mut before = None;
        for signed in former.iter().chain([&root]) {
            let opened = match &before {
                None => signed.open_genesis(),
                Some((old, hash)) => signed.open_next(self.kmc, old, *hash).map(|(document, _)| document),
            };
            let document = match opened {
                Ok(document) => document,
                Err(error) => return wrong(format!("root document {}: {error}", signed.hash())),
            };
            if before.is_none() {
                self.kmc = KmcId(signed.hash().0);
            }
            self.keys.extend(document.manifest_keys.iter().map(|key| (key.id(), *key)));
            before = Some((document, signed.hash()));
        }
    }

    /// Whether the transcript in a row is this centre's, of that ceremony.
    pub fn signed(&self, row: &Row) -> Result<(), &'static str> {
        let signed = Signed::parse(&row.body).map_err(|_| "the body is no signed message")?;
        let key = self.keys.get(&signed.key_id).ok_or("signed by a key that the centre never had")?;
        key.verify(&pae(&signed.kind, &signed.payload), &signed.signature)
            .map_err(|_| "the signature does not hold")?;
        let said: Option<Transcript> = serde_json::from_slice(&signed.payload).ok();
        match said.filter(|_| signed.kind == TRANSCRIPT) {
            Some(said) if said.kmc == self.kmc && row.key == said.ceremony.0 => Ok(()),
            Some(_) => Err("the transcript of another ceremony"),
            None => Err("no transcript of a ceremony"),
        }
    }
}
