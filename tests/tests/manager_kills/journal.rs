//! What the manager has told, and a transport that writes it down.

use gateway::node::{Answer, HttpsTransport, Sending, Transport};
use keylink::endpoint::Endpoint;
use keylink::envelope::{Body, strict};
use keylink::message::{Audience, CounterReceipt, Mail, Manifest, Parcel, Receipt};
use keylink::{ActionId, CampaignId, Digest, NodeId, PersonId};
use keymgr::core::approval::Action;
use keymgr::core::campaign::{Campaign, Phase};
use keymgr::store::{Store, Stored, Table};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

/// One thing that was told.
#[derive(Clone, Debug)]
pub enum Told {
    /// An action is taken up under this hash.
    Proposed(ActionId, Digest),
    /// An approval counts.
    Approved(ActionId, PersonId),
    /// A manifest was sent.
    Manifest(NodeId, u64, Digest),
    /// A receipt is in the log.
    Receipt(NodeId, u64, Digest),
}

/// All that was told.
#[derive(Default)]
pub struct Journal {
    pub told: Vec<Told>,
    /// The furthest phase that anyone saw.
    pub phases: BTreeMap<CampaignId, Phase>,
    /// Checkpoints that nodes were shown, by size.
    pub heads: BTreeMap<u64, String>,
    waiting: BTreeMap<(NodeId, Digest), u64>,
}

impl Journal {
    fn mail(&mut self, node: NodeId, mail: &Mail) {
        for signed in &mail.messages {
            match signed.kind.as_str() {
                Manifest::KIND => {
                    let body: Manifest = signed.peek().unwrap();
                    assert_eq!(body.head.audience, Audience::Node(node));
                    self.told.push(Told::Manifest(node, body.head.seq.0, signed.hash()));
                    if let Some(checkpoint) = body.checkpoint {
                        self.heads.insert(checkpoint.size.0, checkpoint.note);
                    }
                }
                // Everything up to the receipt is confirmed.
                CounterReceipt::KIND => {
                    let body: CounterReceipt = signed.peek().unwrap();
                    let Some(&last) = self.waiting.get(&(node, body.receipt)) else { continue };
                    let confirmed: Vec<_> = self
                        .waiting
                        .iter()
                        .filter(|((of, _), number)| *of == node && **number <= last)
                        .collect();
                    let confirmed: Vec<_> =
                        confirmed.into_iter().map(|(key, number)| (*key, *number)).collect();
                    for ((node, hash), number) in confirmed {
                        self.waiting.remove(&(node, hash));
                        self.told.push(Told::Receipt(node, number, hash));
                    }
                }
                _ => {}
            }
        }
    }

    fn parcel(&mut self, node: NodeId, body: &[u8]) {
        let parcel: Parcel = strict(body).unwrap();
        for signed in parcel.messages.iter().filter(|signed| signed.kind == Receipt::KIND) {
            let receipt: Receipt = signed.peek().unwrap();
            self.waiting.insert((node, signed.hash()), receipt.head.seq.0);
        }
    }

    /// A phase was seen.
    pub fn saw(&mut self, campaign: &Campaign) {
        let furthest = self.phases.entry(campaign.id).or_insert(campaign.phase);
        *furthest = campaign.phase.max(*furthest);
    }
}

impl fmt::Display for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |wanted: fn(&Told) -> bool| self.told.iter().filter(|told| wanted(told)).count();
        write!(
            f,
            "told: {} proposals, {} approvals, {} manifests, {} receipts, {} campaigns, {} checkpoints",
            count(|told| matches!(told, Told::Proposed(..))),
            count(|told| matches!(told, Told::Approved(..))),
            count(|told| matches!(told, Told::Manifest(..))),
            count(|told| matches!(told, Told::Receipt(..))),
            self.phases.len(),
            self.heads.len()
        )
    }
}

fn numbered(node: NodeId, seq: u64) -> Vec<u8> {
    [&node.0[..], &seq.to_be_bytes()].concat()
}

fn holds(store: &mut Store, told: &Told) -> bool {
    let mut row = |table, key: &[u8]| store.get(table, key).unwrap();
    let message = |row: keymgr::store::Row| keylink::Signed::parse(&row.body).unwrap().hash();
    let action = |row: keymgr::store::Row| Action::from_body(&row.body).unwrap();
    match told {
        Told::Proposed(id, hash) => row(Table::Actions, &id.0).map(action).map(|a| a.hash()) == Some(*hash),
        Told::Approved(id, person) => row(Table::Actions, &id.0)
            .map(action)
            .is_some_and(|a| a.approvals.iter().any(|given| given.person == *person)),
        Told::Manifest(node, seq, hash) => {
            row(Table::Manifests, &numbered(*node, *seq)).map(message) == Some(*hash)
        }
        Told::Receipt(node, seq, hash) => {
            row(Table::Receipts, &numbered(*node, *seq)).map(message) == Some(*hash)
        }
    }
}

/// What of the journal is not in the store.
pub fn lost(store: &mut Store, told: &[Told], phases: &BTreeMap<CampaignId, Phase>) -> BTreeSet<String> {
    let mut lost: BTreeSet<String> =
        told.iter().filter(|told| !holds(store, told)).map(|told| format!("{told:?}")).collect();
    for (id, seen) in phases {
        let row = store.get(Table::Campaigns, &id.0).unwrap();
        let now = row.map(|row| Campaign::from_body(&row.body).unwrap().phase);
        if now < Some(*seen) {
            lost.insert(format!("{id}: {seen:?} was seen, {now:?} is there"));
        }
    }
    lost
}

/// A node's way to the manager, with a journal.
pub struct Written {
    pub node: NodeId,
    pub https: HttpsTransport,
    pub journal: Arc<Mutex<Journal>>,
}

impl Transport for Written {
    fn session(&self) -> gateway::node::Opening<'_> {
        self.https.session()
    }

    fn post(&self, endpoint: Endpoint, body: Vec<u8>) -> Sending<'_> {
        Box::pin(async move {
            if endpoint == Endpoint::Receipts {
                self.journal.lock().unwrap().parcel(self.node, &body);
            }
            let answer = self.https.post(endpoint, body).await?;
            if let Answer::Taken(body) = &answer
                && let Ok(mail) = strict::<Mail>(body)
            {
                self.journal.lock().unwrap().mail(self.node, &mail);
            }
            Ok(answer)
        })
    }
}
