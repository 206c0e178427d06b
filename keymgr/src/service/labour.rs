//! The labour that follows from decisions, in rounds: the core says what is due, the vault and the signer do
//! it, and the core is told. Each piece can be done twice without harm: the core takes it once.

use super::again::again;
use super::keys::{Held, kcv_method, label, label_of, spec_of};
use super::manager::Manager;
use crate::core::action::KeyRef;
use crate::core::alarm::{AlarmKind, OWN_KEYS};
use crate::core::campaign::Campaign;
use crate::core::due::Work;
use crate::core::input::{Input, Outcome, WrappedFor};
use crate::core::key::{Material, Wrapper};
use crate::core::target::Draft;
use crate::failpoint::failpoint;
use crate::house::RingSigner;
use crate::vault::{KeySpec, Vault, VaultError};
use hostcmd::managed::possession::{PossessionFault, make_throw_away};
use hsm::HsmError;
use keylink::manager::challenge_of;
use keylink::message::{Audience, Head, KeyKind, Manifest};
use keylink::{CampaignId, KmcId, NodeId, NotSigned, Signed, TrySign};
use std::time::Duration;

/// Keys to wrap and manifests to sign in one round: enough for a batch of the writer, little enough that
/// receipts are not kept waiting.
const ROUND: usize = 256;
/// Longest time for signatures of one round that a token makes; the one that is on its way then is waited for.
const ROUND_WITHIN: Duration = Duration::from_secs(1);
/// Longest pause between rounds, and between ticks.
const PAUSE: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_secs(1);

impl Manager {
    /// Works until the task is dropped.
    pub async fn work(&self) {
        again("labour", || self.go_on()).await;
    }

    async fn go_on(&self) {
        let mut ticked = tokio::time::Instant::now();
        let mut failing = false;
        loop {
            if ticked.elapsed() >= TICK {
                ticked = tokio::time::Instant::now();
                self.keep_epoch().await;
                self.tell_clock().await;
                self.tell_keys().await;
                failpoint!("labour.tick");
                let done = self.submit(None, Input::Tick).await;
                if let Err(problem) = &done
                    && !failing
                {
                    tracing::error!(%problem, "time stands still at the centre: nothing expires, no campaign goes on");
                }
                failing = done.is_err();
                self.forget_lapsed().await;
                self.key_steps().await;
            }
            if !self.round().await {
                let _ = tokio::time::timeout(PAUSE, self.0.labour.notified()).await;
            }
        }
    }

    /// Writes the fencing epoch that the store gave this process, which manifests carry.
    pub async fn keep_epoch(&self) {
        let given = self.0.parts.writer.standing().epoch;
        if given > self.view(crate::core::Core::epoch) {
            let _ = self.submit(None, Input::TakeOver { epoch: given }).await;
        }
    }

    async fn tell_clock(&self) {
        let step_ms = self.0.parts.clock.stepped_ms();
        let open = |alarm: &crate::core::alarm::Alarm| {
            alarm.kind == AlarmKind::Clock && alarm.ended_utc_ms.is_none()
        };
        if self.view(|core| core.alarms().any(open)) != (step_ms != 0) {
            let _ = self.submit(None, Input::Clock { step_ms }).await;
        }
    }

    // A token that is not used, or is away, is asked, so that somebody finds out.
    async fn tell_keys(&self) {
        let parts = &self.0.parts;
        if parts.ring.wants_a_look() {
            let ring = std::sync::Arc::clone(&parts.ring);
            drop(tokio::task::spawn_blocking(move || ring.look()));
        }
        let away = !parts.ring.answers() || parts.writer.standing().waits_for_key;
        let open = |alarm: &crate::core::alarm::Alarm| {
            alarm.kind == AlarmKind::Backend && alarm.subject == OWN_KEYS && alarm.ended_utc_ms.is_none()
        };
        if self.view(|core| core.alarms().any(open)) != away {
            let _ = self.submit(None, Input::KeysAway { away }).await;
        }
    }

    /// One round; false when there was nothing to do.
    pub async fn round(&self) -> bool {
        let Some(kmc) = self.view(crate::core::Core::kmc) else { return false };
        let made = self.generate(kmc).await;
        let checkpoint = self.checkpoint();
        let now = self.now().utc_ms;
        let work = self.0.parts.writer.look_aside(|core| core.work(now, checkpoint.as_ref(), ROUND));
        let Work { wrap, sign } = work;
        let wrapped = self.wrap(kmc, wrap).await;
        let issued = self.issue(sign).await;
        made || wrapped || issued
    }

    async fn generate(&self, kmc: KmcId) -> bool {
        let due = self.view(|core| {
            let spec = |id: &CampaignId| {
                let campaign: &Campaign = core.campaign(id)?;
                let set = core.key_set(&campaign.plan.key_set)?;
                let key = KeyRef { key_set: campaign.plan.key_set, generation: campaign.new_generation() };
                Some((*id, spec_of(set.definition.kind, set.definition.shape), label_of(kmc, key, None)))
            };
            core.to_generate().iter().filter_map(spec).collect::<Vec<_>>()
        });
        let mut done = false;
        for (campaign, spec, label) in due {
            failpoint!("labour.before_generate");
            let made = self.vault().call(move |vault| material(vault, spec, &label)).await;
            let input = match made {
                Ok(material) => Input::Generated { campaign, material },
                // It is tried every round: one alarm for as long as that fails, not one for every try.
                Err(_) if self.has_backend_alarm(&campaign) => continue,
                Err(error) => Input::GenerateFailed { campaign, reason: error.to_string() },
            };
            let is_made = matches!(input, Input::Generated { .. });
            done |= self.submit(None, input).await.is_ok() && is_made;
            failpoint!("labour.after_generate");
        }
        done
    }

    fn has_backend_alarm(&self, campaign: &CampaignId) -> bool {
        let subject = campaign.to_string();
        self.view(|core| {
            core.alarms().any(|alarm| alarm.kind == AlarmKind::Backend && alarm.subject == subject)
        })
    }

    async fn wrap(&self, kmc: KmcId, due: Vec<(NodeId, KeyRef)>) -> bool {
        if due.is_empty() {
            return false;
        }
        let jobs = self.view(|core| {
            let job = |(node, key): &(NodeId, KeyRef)| {
                let held = Held::key(kmc, core.key(key)?).ok()?;
                let (kek, number) = Held::root_kek(kmc, core.node(node)?).ok()?;
                let campaign = core.key(key)?.campaign?;
                let nonce = core.challenge(key, node)?;
                let challenge = challenge_of(&label(kmc, *key, None), *node, campaign, &nonce.0);
                let wraps = held.spec.usage == KeyKind::Zmk.usage();
                Some((*node, *key, held, kek, number, wraps.then_some(challenge)))
            };
            due.iter().filter_map(job).collect::<Vec<_>>()
        });
        let wrapped = self
            .vault()
            .call(move |vault| {
                let mut away = false;
                let one = |(node, key, held, kek, root_kek, challenge): Parcel| {
                    if away {
                        return None;
                    }
                    let wire = label_of(kmc, key, Some(node));
                    let block = vault.deliver(held.spec, &held.block, &held.label, kek.receiver(), &wire);
                    let throw_away =
                        challenge.map(|challenge| throw_away(vault, &held, challenge)).transpose();
                    match block.and_then(|block| Ok((block, throw_away?))) {
                        Ok((block, throw_away)) => {
                            Some(WrappedFor { node, key, block, root_kek, throw_away })
                        }
                        // The rest of the round would wait for it in vain; it is due again.
                        Err(VaultError::Backend) => {
                            away = true;
                            None
                        }
                        Err(error) => {
                            tracing::error!(%node, %error, "a key could not be wrapped for a node");
                            None
                        }
                    }
                };
                let done: Vec<_> = jobs.into_iter().filter_map(one).collect();
                if done.is_empty() && away { Err(VaultError::Backend) } else { Ok(done) }
            })
            .await;
        let Ok(list) = wrapped else { return false };
        failpoint!("labour.before_wrap");
        let done = !list.is_empty() && self.submit(None, Input::Wrapped(list)).await.is_ok();
        failpoint!("labour.after_wrap");
        done
    }

    async fn issue(&self, drafts: Vec<Draft>) -> bool {
        if drafts.is_empty() {
            return false;
        }
        let seal = move |signer: &RingSigner| {
            let one = |draft: &Draft| {
                let mut signed = Signed::try_seal(&draft.body, signer)?;
                // Here rather than by the writer. Whether they hold, the core says.
                let _ = signed.prove(&signer.public());
                Ok::<_, NotSigned>(signed)
            };
            // A token may take its time, and meanwhile the centre's clock stands still.
            let began = std::time::Instant::now();
            let in_time = |_: &&Draft| !signer.waits() || began.elapsed() < ROUND_WITHIN;
            drafts.iter().take_while(in_time).map_while(|draft| one(draft).ok()).collect::<Vec<_>>()
        };
        // The others are due again.
        let signed = self.signing(move |signer| Ok(seal(signer))).await.unwrap_or_default();
        if signed.is_empty() {
            return false;
        }
        failpoint!("labour.before_issue");
        match self.submit(None, Input::Issue(signed.clone())).await {
            // What was not taken is drafted anew; it is not sent, since only what is stored is sent.
            Ok(Outcome::Issued(taken)) => {
                failpoint!("labour.after_issue");
                self.post(signed);
                taken > 0
            }
            _ => false,
        }
    }

    // Puts manifests into the boxes of their nodes, those that are the ones stored. All are looked up at once: a look at
    // the state waits for the batch that is on its way.
    fn post(&self, manifests: Vec<Signed>) {
        let place = |signed: Signed| {
            let Head { audience: Audience::Node(node), epoch, seq, .. } =
                signed.peek::<Manifest>().ok()?.head
            else {
                return None;
            };
            Some((node, (epoch.0, seq.0), signed.hash(), signed))
        };
        let mut placed: Vec<_> = manifests.into_iter().filter_map(place).collect();
        self.view(|core| {
            let last = |node: &NodeId| core.node(node).and_then(crate::core::node::Node::last_manifest);
            placed.retain(|(node, _, hash, _)| last(node) == Some(*hash));
        });
        placed.into_iter().for_each(|(node, number, _, signed)| self.0.mail.put(node, number, signed));
    }
}

// To whom, what, under what, and the challenge of keys that wrap keys.
type Parcel = (NodeId, KeyRef, Held, Held, u32, Option<[u8; 32]>);

// The challenge of a key that wraps keys: a key made for that alone, in a block under it.
fn throw_away(vault: &mut Vault, held: &Held, challenge: [u8; 32]) -> Result<String, VaultError> {
    let mut pool = zeroize::Zeroizing::new([0; 96]);
    getrandom::fill(pool.as_mut()).map_err(|_| VaultError::Backend)?;
    let made = vault.with_key(held.spec, &held.block, &held.label, |hsm, key| async move {
        make_throw_away(&hsm, &key, &challenge, &mut paytypes::Drawn::new(pool.as_ref())).await
    })?;
    made.map(|(block, _)| block).map_err(|fault| match fault {
        PossessionFault::Cipher(error) => HsmError::from(error).into(),
        PossessionFault::Block => VaultError::Kind,
    })
}

/// A new key as the core keeps it.
fn material(vault: &mut Vault, spec: KeySpec, label: &str) -> Result<Material, VaultError> {
    let sealed = vault.generate(spec, label)?;
    Ok(Material {
        block: sealed.block,
        kcv: sealed.kcv,
        kcv_method: kcv_method(spec),
        wrapped_by: Wrapper::Master,
        wrapper_strength_bits: 256,
        arrived_under: None,
    })
}
