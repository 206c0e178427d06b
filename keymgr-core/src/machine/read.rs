//! What can be read without asking for anything.

use super::Core;
use crate::action::KeyRef;
use crate::alarm::Alarm;
use crate::campaign::{Campaign, Phase, Source};
use crate::centre::Centre;
use crate::ids::{ActionId, CampaignId, KeySetId, KmcId, NodeId};
use crate::key::{Key, KeySet};
use crate::lifecycle::KeyState;
use crate::node::{Copy, Node};
use crate::refusal::Refusal;
use crate::signing::{self, KeyChange};
use crate::table::Change;
use crate::{certificate, root, target};
use keylink::PublicKey;
use keylink::root::{RootDocument, SignedRoot};
use keylink::succession::CentreKey;
use std::collections::BTreeSet;

impl Core {
    /// Alarms that last.
    pub fn alarms(&self) -> impl Iterator<Item = &Alarm> {
        self.state.alarms.values().filter(|alarm| alarm.ended_utc_ms.is_none())
    }

    /// The centre's id; none before it is founded.
    pub fn kmc(&self) -> Option<KmcId> {
        self.state.centre.get(&()).map(|centre| centre.kmc)
    }

    /// The key by which the centre signs, and since when, UTC milliseconds.
    pub fn signing_key(&self, key: CentreKey) -> Option<(PublicKey, u64)> {
        self.state.centre.get(&())?.signing_key(key)
    }

    /// The change of one of the centre's own keys that is on its way, and the nodes that it waits for.
    pub fn key_change(&self, now_utc_ms: u64) -> Option<(&KeyChange, Vec<NodeId>)> {
        let centre = self.state.centre.get(&())?;
        let change = centre.signing.change.as_ref()?;
        Some((change, signing::waits_for(&Change::new(&self.state), centre, change, now_utc_ms)))
    }

    /// Whether a node has still its part to do in a change of the centre's keys.
    pub fn key_change_concerns(&self, node: &Node) -> bool {
        let change = self.state.centre.get(&()).and_then(|centre| centre.signing.change.as_ref());
        change.is_some_and(|change| !signing::knows(node, change))
    }

    /// Whether a change of the centre's keys can go on.
    pub fn key_step_due(&self, checkpoints: Option<PublicKey>, now_utc_ms: u64) -> bool {
        let changes = self.state.centre.get(&()).is_some_and(|centre| centre.signing.change.is_some());
        changes && signing::step(&mut Change::new(&self.state), checkpoints, now_utc_ms).is_ok()
    }

    /// The root documents that would bring another key.
    pub fn key_documents(
        &self,
        key: CentreKey,
        new: PublicKey,
        now_utc_ms: u64,
    ) -> Result<[RootDocument; 2], Refusal> {
        signing::draft(&Change::new(&self.state), key, new, now_utc_ms)
    }

    /// Keys whose secret halves are wanted: those that sign, and those of changes that wait or go on.
    pub fn wanted_keys(&self) -> BTreeSet<PublicKey> {
        let used = CentreKey::ALL.into_iter().filter_map(|key| self.signing_key(key)).map(|(key, _)| key);
        used.chain(signing::awaited(&self.state)).collect()
    }

    /// Keys of which the records know, wanted or not: those that root documents name, and those that officers were asked
    /// about.
    pub fn known_keys(&self) -> BTreeSet<PublicKey> {
        let named = self.roots().into_iter().filter_map(|root| root.document().ok());
        let named = named.flat_map(|document| CentreKey::ALL.map(|key| document.keys(key).to_vec()).concat());
        named.chain(signing::asked(&self.state, |_| true)).collect()
    }

    /// What says that the centre's own keys may be others: how many root documents there were, and which keys sign.
    pub fn key_state(&self) -> Option<(usize, signing::SigningKeys)> {
        let centre = self.state.centre.get(&())?;
        Some((centre.former.len(), centre.signing.clone()))
    }

    /// Whether a certificate that a node shows says more than the one on record.
    pub fn is_certificate_news(&self, node: &NodeId, certificate: (PublicKey, u64)) -> bool {
        let found = self.state.centre.get(&()).zip(self.state.nodes.get(node));
        found.is_some_and(|(centre, node)| certificate::is_news(centre, node, certificate))
    }

    /// Transport authorities that nodes shall go by, the one that comes last; and those that counted once.
    pub fn authorities(&self) -> (Vec<PublicKey>, Vec<PublicKey>) {
        let documents = self.roots().into_iter().filter_map(|root| root.document().ok());
        let mut all: Vec<Vec<PublicKey>> = documents.map(|document| document.transport_keys).collect();
        let present = all.pop().unwrap_or_default();
        let mut former = all.concat();
        former.sort_unstable();
        former.dedup();
        former.retain(|key| !present.contains(key));
        (present, former)
    }

    /// The fencing epoch.
    pub fn epoch(&self) -> u64 {
        self.state.centre.get(&()).map_or(0, |centre| centre.epoch)
    }

    /// The root documents, oldest first.
    pub fn roots(&self) -> Vec<SignedRoot> {
        let all = |centre: &Centre| centre.former.iter().chain([&centre.root]).cloned().collect();
        self.state.centre.get(&()).map_or_else(Vec::new, all)
    }

    /// The root document by recovery keys that waits for its time.
    pub fn recovery(&self) -> Option<SignedRoot> {
        let (waiting, _) = self.state.centre.get(&())?.recovery.as_ref()?;
        Some(waiting.clone())
    }

    /// A node.
    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.state.nodes.get(id)
    }

    /// A key.
    pub fn key(&self, key: &KeyRef) -> Option<&Key> {
        self.state.keys.get(key)
    }

    /// A key as a node has it.
    pub fn copy(&self, node: &NodeId, key: &KeyRef) -> Option<&Copy> {
        self.state.copies.get(&(*node, *key))
    }

    /// A key set.
    pub fn key_set(&self, id: &KeySetId) -> Option<&KeySet> {
        self.state.key_sets.get(id)
    }

    /// The challenge of a key at a node.
    pub fn challenge(&self, key: &KeyRef, node: &NodeId) -> Option<keylink::wire::Hex<32>> {
        self.state.keys.get(key).map(|key| target::challenge(key, *node))
    }

    /// The part of the first of these actions that concerns somebody, as they judge it.
    pub fn evidence(
        &self,
        actions: &[ActionId],
        utc_ms: u64,
        concerns: impl Fn(&keylink::action::Grant) -> bool,
    ) -> Option<keylink::action::Evidence> {
        let document = self.state.centre.get(&())?.root.document().ok()?;
        let mut shelf = crate::evidence::Shelf::default();
        let show = |id| shelf.show(self.state.actions.get(id)?, &document, utc_ms, &concerns);
        actions.iter().find_map(show)
    }

    /// A campaign.
    pub fn campaign(&self, id: &CampaignId) -> Option<&Campaign> {
        self.state.campaigns.get(id)
    }

    /// The holders of a key, and how far it has come at each.
    pub fn holders(&self, key: &KeyRef) -> impl Iterator<Item = &Copy> {
        let key = *key;
        self.state.copies.values().filter(move |copy| copy.key() == key)
    }

    /// The next root document, by the register: to be signed by officers of the old and the new one.
    pub fn next_root(&self, now_utc_ms: u64) -> Result<RootDocument, Refusal> {
        root::draft(&Change::new(&self.state), now_utc_ms)
    }

    /// Campaigns whose key is to be made in the backend.
    pub fn to_generate(&self) -> Vec<CampaignId> {
        let wants = |id: &&CampaignId| {
            let campaign = self.state.campaigns.get(id);
            campaign.is_some_and(|c| c.phase == Phase::Generating && c.plan.source == Source::Generate)
        };
        self.watch.campaigns.iter().filter(wants).copied().collect()
    }

    /// Approved actions that the shell has to perform.
    pub fn to_perform(&self) -> BTreeSet<ActionId> {
        self.watch.waiting.clone()
    }

    /// States of the keys of a set, for lists.
    pub fn keys_in_state(&self, state: KeyState) -> impl Iterator<Item = &Key> {
        self.state.keys.values().filter(move |key| key.state() == state)
    }
}
