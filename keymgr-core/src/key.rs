//! Key sets and their keys (one key per generation). The state of a key has no setter: it moves by
//! [`Key::apply`], and its attributes are fixed at birth.
//!
//! Refuses to know nodes and campaigns: whether a key may move at a given moment is asked elsewhere.

use super::action::KeyRef;
use super::ids::{ActionId, CampaignId, Digest, Generation, KeySetId, PolicyId};
use super::kind::{KeyKind, Shape};
use super::lifecycle::{IllegalMove, KeyState, Transition};
use keylink::message::Definition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::collections::BTreeSet;

/// Where the keys of a set live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Holders {
    /// Every member of the zone.
    Members,
    /// The centre only: keys that wrap what is exchanged with others.
    Centre,
}

/// A key under its name, through all generations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeySet {
    /// What it is for, as approved; the same in every manifest.
    pub definition: Definition,
    /// Keys may leave under a ZMK as key blocks.
    pub exportable: bool,
    /// Production keys; test keys never meet live zones.
    pub live: bool,
    /// The policy that governs it.
    pub policy: PolicyId,
    /// Where its keys live.
    pub holders: Holders,
    /// The action that approved the definition.
    pub approved_by: ActionId,
    /// The number that the next key gets; only grows.
    pub next_generation: Generation,
    /// The generation that protects, as the centre has ordered it.
    pub protecting: Option<Generation>,
    /// Nodes neither protect nor process with it for now.
    pub suspended: bool,
    /// The action that said so last, or that it is over. Nodes are shown it, whatever keys they still hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stilled_by: Option<ActionId>,
    /// The campaign that is changing it.
    pub live_campaign: Option<CampaignId>,
}

impl KeySet {
    /// Identity.
    pub fn id(&self) -> KeySetId {
        self.definition.key_set
    }

    /// Whether hosts can tell a key with this number from the one that protects: nodes have one index for the odd and
    /// one for the even generation (docs/key-distribution.md, "Keys by index"), and both keys are in use for a while.
    pub fn tells_apart(&self, generation: Generation) -> bool {
        let same = |protecting: Generation| protecting.is_odd() == generation.is_odd();
        self.holders == Holders::Centre || !self.protecting.is_some_and(same)
    }

    /// Attributes of every key of this set.
    pub fn attributes(&self) -> Attributes {
        Attributes {
            kind: self.definition.kind,
            shape: self.definition.shape,
            exportable: self.exportable,
            live: self.live,
        }
    }
}

/// What a key may be used for. Bound into the key's block, and the same from birth to destruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attributes {
    /// Kind, which tells usage and mode.
    pub kind: KeyKind,
    /// Algorithm and length.
    pub shape: Shape,
    /// May leave under a ZMK as a key block.
    pub exportable: bool,
    /// Production key; test keys never meet live zones.
    pub live: bool,
}

/// When a key may protect and process, UTC milliseconds; a missing bound is not set yet, and not written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Windows {
    /// Protects from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub originator_from: Option<u64>,
    /// Protects until.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub originator_until: Option<u64>,
    /// Processes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient_from: Option<u64>,
    /// Processes until.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient_until: Option<u64>,
}

/// How a key came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Drawn in the backend.
    Generated,
    /// Came as a key block.
    Imported,
    /// Formed from components in a ceremony.
    Components,
}

/// What wraps the stored block of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrapper {
    /// The master key of the centre.
    Master,
    /// Another key of the centre.
    Key {
        /// Its key set.
        key_set: KeySetId,
        /// Its generation.
        generation: Generation,
    },
}

/// A key as the backend gave it: a block under another key, never anything clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Material {
    /// Key block, printable.
    pub block: String,
    /// Check value in hexadecimal digits; identifies, proves nothing.
    pub kcv: String,
    /// How the check value was computed.
    pub kcv_method: KcvMethod,
    /// What wraps the block.
    pub wrapped_by: Wrapper,
    /// Strength of the wrapping key in bits; never less than the key's own.
    pub wrapper_strength_bits: u16,
    /// Key that the material arrived under, if it arrived: its compromise makes this key suspect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrived_under: Option<(KeySetId, Generation)>,
}

/// How a check value is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KcvMethod {
    /// ANSI X9.24: encryption of zeros.
    Zeros,
    /// CMAC over zeros.
    Cmac,
}

/// Where the record of a key's material is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// At hand.
    #[default]
    Online,
    /// Put away; returns by quorum.
    Archived,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// One generation of a key set. There may be a million rows of these: what most of them do not have is not written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    set: KeySetId,
    generation: Generation,
    attributes: Attributes,
    state: KeyState,
    /// Windows of use.
    pub windows: Windows,
    /// The wrapped key; none when it never came to be, or is destroyed.
    pub material: Option<Material>,
    origin: Origin,
    born_utc_ms: u64,
    /// End of the destroy hold, UTC milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroy_hold_until: Option<u64>,
    /// Online or archived.
    #[serde(default, skip_serializing_if = "is_default")]
    pub storage: Storage,
    /// The number was taken, and no node ever used the key.
    #[serde(default, skip_serializing_if = "is_default")]
    pub aborted: bool,
    /// Compromise of another key, or of this one after its destruction, makes it suspect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect: Option<String>,
    /// Challenge of the possession proof, once for the generation.
    pub nonce: Digest,
    /// The smallest number of days of warning already given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warned_days: Option<u32>,
    /// Uses at all nodes, where the policy bounds them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub uses: u64,
    /// The campaign that brings it to nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<CampaignId>,
    /// The campaign that takes it from nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_by: Option<CampaignId>,
    /// Keys under which it was given out.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub left_under: BTreeSet<KeyRef>,
    /// Actions by whose right something was done with it, oldest first. Nodes are shown them. Of a million keys, most
    /// have one.
    pub rights: SmallVec<[ActionId; 1]>,
}

impl Key {
    /// A new key in pre-activation (T1).
    pub fn born(
        set: &KeySet,
        generation: Generation,
        origin: Origin,
        material: Material,
        nonce: Digest,
        now_utc_ms: u64,
    ) -> Self {
        Self {
            set: set.id(),
            generation,
            attributes: set.attributes(),
            state: Transition::T1.edge().to,
            windows: Windows::default(),
            material: Some(material),
            origin,
            born_utc_ms: now_utc_ms,
            destroy_hold_until: None,
            storage: Storage::Online,
            aborted: false,
            suspect: None,
            nonce,
            warned_days: None,
            uses: 0,
            campaign: set.live_campaign,
            retired_by: None,
            left_under: BTreeSet::new(),
            rights: SmallVec::new(),
        }
    }

    /// The row that stands for a number whose key never came to be: born and destroyed at once (T1, T2).
    pub fn never_born(set: &KeySet, generation: Generation, now_utc_ms: u64) -> Self {
        Self {
            set: set.id(),
            generation,
            attributes: set.attributes(),
            state: Transition::T2.edge().to,
            windows: Windows::default(),
            material: None,
            origin: Origin::Generated,
            born_utc_ms: now_utc_ms,
            destroy_hold_until: None,
            storage: Storage::Online,
            aborted: true,
            suspect: None,
            nonce: Digest([0; 32]),
            warned_days: None,
            uses: 0,
            campaign: set.live_campaign,
            retired_by: None,
            left_under: BTreeSet::new(),
            rights: SmallVec::new(),
        }
    }

    /// Key set.
    pub fn set(&self) -> KeySetId {
        self.set
    }

    /// Number within the set.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Its name: set and number.
    pub fn name(&self) -> KeyRef {
        KeyRef { key_set: self.set, generation: self.generation }
    }

    /// State now.
    pub fn state(&self) -> KeyState {
        self.state
    }

    /// Attributes, fixed at birth.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// How it came to be.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Birth, UTC milliseconds.
    pub fn born_utc_ms(&self) -> u64 {
        self.born_utc_ms
    }

    /// Notes the right by which something is done with it.
    pub fn by_right(&mut self, action: ActionId) {
        if !self.rights.contains(&action) {
            self.rights.push(action);
        }
    }

    /// Makes a move of the table. A destroyed key keeps its record and loses its material.
    pub fn apply(&mut self, transition: Transition, now_utc_ms: u64) -> Result<(), IllegalMove> {
        let edge = transition.edge();
        if edge.from != Some(self.state) {
            return Err(IllegalMove::NoSuchEdge { from: self.state, transition });
        }
        if edge.through_hold {
            let until_utc_ms = self.destroy_hold_until.ok_or(IllegalMove::NoHold(transition))?;
            if now_utc_ms < until_utc_ms {
                return Err(IllegalMove::HoldLasts { until_utc_ms });
            }
        }
        self.state = edge.to;
        if self.state == KeyState::Destroyed {
            self.material = None;
            self.destroy_hold_until = None;
        }
        Ok(())
    }

    /// Whether nodes may hold it: staged, in use, or suspended in place.
    pub fn is_live(&self) -> bool {
        matches!(self.state, KeyState::PreActivation | KeyState::Active | KeyState::Suspended)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ids::ZoneId;
    use super::super::kind::Overlap;
    use super::super::lifecycle::TABLE;
    use super::*;
    use keylink::message::{Indices, Scope};
    use proptest::prelude::*;

    fn set() -> KeySet {
        KeySet {
            definition: Definition {
                key_set: KeySetId::new(1, [0; 10]),
                name: "zone pin key".into(),
                scope: Scope::Zone(ZoneId::new(2, [0; 10])),
                kind: KeyKind::Zpk,
                shape: Shape::Tdes2,
                overlap: Overlap::Time,
                indices: Indices { base: 100, odd: 101, even: 102 },
                hard_stop: false,
            },
            exportable: false,
            live: false,
            policy: PolicyId::default(),
            holders: Holders::Members,
            approved_by: ActionId::default(),
            next_generation: Generation(1),
            protecting: None,
            suspended: false,
            stilled_by: None,
            live_campaign: None,
        }
    }

    fn material() -> Material {
        Material {
            block: "D".into(),
            kcv: "A1B2C3".into(),
            kcv_method: KcvMethod::Zeros,
            wrapped_by: Wrapper::Master,
            wrapper_strength_bits: 256,
            arrived_under: None,
        }
    }

    fn key() -> Key {
        Key::born(&set(), Generation(1), Origin::Generated, material(), Digest([7; 32]), 0)
    }

    proptest! {
        /// Whatever is asked for, in any order: the state moves by a row of the table or not at all, no
        /// attribute changes, and an end without hold is possible before activation only.
        #[test]
        fn moves_only_by_the_table(asked in proptest::collection::vec((1_usize..15, 0_u64..4, any::<bool>()), 1..40)) {
            let mut key = key();
            let mut now = 0;
            for (index, step, hold) in asked {
                now += step;
                if hold {
                    key.destroy_hold_until = Some(now + 2);
                }
                let (before, held) = (key.clone(), key.destroy_hold_until);
                let edge = &TABLE[index];
                match key.apply(edge.transition, now) {
                    Ok(()) => {
                        prop_assert_eq!(edge.from, Some(before.state()));
                        prop_assert_eq!(key.state(), edge.to);
                        prop_assert_eq!(key.attributes(), before.attributes());
                        if edge.through_hold {
                            prop_assert!(held.is_some_and(|until| until <= now));
                        }
                        if key.state() == KeyState::Destroyed {
                            prop_assert!(key.material.is_none());
                        }
                    }
                    Err(_) => prop_assert_eq!(&key, &before),
                }
            }
        }
    }

    #[test]
    fn what_a_key_does_not_have_is_not_written_and_reads_as_before() {
        let written = serde_json::to_value(key()).unwrap();
        let absent = ["suspect", "left_under", "uses", "storage", "aborted", "destroy_hold_until"];
        assert!(absent.iter().all(|name| written.get(name).is_none()), "{written}");
        assert_eq!(written["windows"], serde_json::json!({}));
        let mut before = written.clone();
        before["windows"] = serde_json::json!({ "originator_from": null, "recipient_until": null });
        (before["storage"], before["aborted"]) = ("online".into(), false.into());
        for spelling in [written, before] {
            assert_eq!(serde_json::from_value::<Key>(spelling).unwrap(), key());
        }
        let mut set = key();
        (set.storage, set.aborted, set.windows.recipient_until) = (Storage::Archived, true, Some(0));
        assert_eq!(serde_json::from_value::<Key>(serde_json::to_value(&set).unwrap()).unwrap(), set);
    }

    #[test]
    fn a_hold_is_waited_for() {
        let mut key = key();
        key.apply(Transition::T4, 0).unwrap();
        key.apply(Transition::T8, 0).unwrap();
        assert_eq!(key.apply(Transition::T13, 5), Err(IllegalMove::NoHold(Transition::T13)));
        key.destroy_hold_until = Some(10);
        assert_eq!(key.apply(Transition::T13, 9), Err(IllegalMove::HoldLasts { until_utc_ms: 10 }));
        key.apply(Transition::T13, 10).unwrap();
        assert_eq!(key.state(), KeyState::Destroyed);
    }

    #[test]
    fn a_number_without_a_key_stays_taken() {
        let key = Key::never_born(&set(), Generation(4), 9);
        assert!(key.aborted && key.material.is_none());
        assert_eq!(key.state(), KeyState::Destroyed);
    }
}
