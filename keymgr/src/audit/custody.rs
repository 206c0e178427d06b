//! What custodians signed: every component of every ceremony, by its custodian's credential, and that each component
//! which a transcript names is there, from that custodian, with that check value.

use super::finding::Report;
use crate::store::{Hash, Row, Table, key_text};
use keylink::envelope::{Signed, pae};
use keylink::ids::{ActionId, CredentialId, Digest, KeyId, PersonId, PublicKey};
use keylink::verifying::Verifying;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};

const COMPONENT: &str = "component";

/// What a custodian signs, as far as it is judged here.
#[derive(Deserialize)]
struct Component {
    ceremony: ActionId,
    number: u8,
    person: PersonId,
    credential: CredentialId,
    check: String,
}

/// The components that a transcript names.
#[derive(Deserialize)]
struct Transcript {
    ceremony: ActionId,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Part {
    number: u8,
    person: PersonId,
    check: String,
    message: Digest,
}

struct Holder {
    key: Verifying,
    credential: Vec<u8>,
    person: Vec<u8>,
}

/// Credentials seen so far, and what transcripts want to be there.
#[derive(Default)]
pub(super) struct Custody {
    holders: HashMap<KeyId, Holder>,
    wanted: BTreeMap<(ActionId, Hash), Part>,
}

/// The row of a ceremony is named by it alone, that of a component by the ceremony and its own hash.
pub(super) fn is_component(row: &Row) -> bool {
    row.key.len() > size_of::<ActionId>()
}

impl Custody {
    /// Learns a credential.
    pub fn learn(&mut self, row: &Row) {
        let column = |name| row.column(name).bytes().unwrap_or_default();
        let Ok(bytes) = column("public_key").try_into() else { return };
        if let Some(key) = Verifying::of(&PublicKey(bytes)) {
            let holder = Holder { key, credential: row.key.clone(), person: column("person").to_vec() };
            self.holders.insert(PublicKey(bytes).id(), holder);
        }
    }

    /// Notes what a transcript names.
    pub fn transcript(&mut self, row: &Row) {
        let said = Signed::parse(&row.body).ok();
        let said: Option<Transcript> = said.and_then(|signed| keylink::wire::read(&signed.payload).ok());
        if let Some(said) = said {
            let named = said.parts.into_iter().map(|part| ((said.ceremony, part.message.0), part));
            self.wanted.extend(named);
        }
    }

    /// Judges a component. Its transcript, if there is one, comes before it.
    pub fn component(&mut self, row: &Row) -> Result<(), &'static str> {
        let signed = Signed::parse(&row.body).map_err(|_| "the body is no signed message")?;
        let by = self.holders.get(&signed.key_id).ok_or("signed by a key that nobody here has")?;
        by.key
            .judge(&pae(&signed.kind, &signed.payload), &signed.signature)
            .map_err(|_| "the signature does not hold")?;
        let said: Option<Component> = keylink::wire::read(&signed.payload).ok();
        let said = said.filter(|_| signed.kind == COMPONENT).ok_or("no component of a ceremony")?;
        if said.credential.0[..] != by.credential[..] || said.person.0[..] != by.person[..] {
            return Err("signed by the key of another");
        }
        let message = signed.hash();
        if row.key != [&said.ceremony.0[..], &message.0].concat() {
            return Err("the component of another ceremony");
        }
        let own = Part { number: said.number, person: said.person, check: said.check, message };
        match self.wanted.remove(&(said.ceremony, message.0)) {
            Some(named) if named != own => Err("the transcript says otherwise about it"),
            _ => Ok(()),
        }
    }

    /// The components that are not there.
    pub fn rest(self, report: &mut Report) {
        for ((ceremony, message), part) in self.wanted {
            let what = format!(
                "the transcript of {ceremony} names component {}, which is not there or does not hold",
                part.number
            );
            let key = [&ceremony.0[..], &message].concat();
            report.find("missing", Table::Ceremonies.name(), key_text(&key), what);
        }
    }
}
