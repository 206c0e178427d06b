//! What the passing of time does: actions expire, holds and periods end, nodes fall silent, campaigns go on.

use super::action::KeyRef;
use super::acts;
use super::alarm::{Alarm, AlarmKind};
use super::approval::{Action, ActionState};
use super::campaign::Campaign;
use super::centre::Centre;
use super::certificate;
use super::enrolment;
use super::ids::{ActionId, CampaignId, NodeId};
use super::key::{Key, KeySet};
use super::lifecycle::{KeyState, transition_between};
use super::node::{Node, Traffic};
use super::people::Standing;
use super::policy::{DAY_MS, Policy, warnings};
use super::refusal::Refusal;
use super::root;
use super::root_kek;
use super::rows::Token;
use super::signing;
use super::steps;
use super::table::{Change, State};
use keylink::TokenId;
use std::collections::BTreeMap;

/// What has to be looked at as time passes; derived from the records, so that a tick does not walk through all
/// of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    pub(super) pending: std::collections::BTreeSet<ActionId>,
    pub(super) waiting: std::collections::BTreeSet<ActionId>,
    pub(super) campaigns: std::collections::BTreeSet<CampaignId>,
    pub(super) nodes: std::collections::BTreeSet<(u64, NodeId)>,
    pub(super) keys: std::collections::BTreeSet<(u64, KeyRef)>,
    // Nodes whose root KEK is being changed.
    pub(super) rekeyed: std::collections::BTreeSet<NodeId>,
    // When people are told that a node's certificate ends.
    pub(super) certificates: std::collections::BTreeSet<(u64, NodeId)>,
    // Tokens by which nobody has asked, those that are over included.
    pub(super) tokens: std::collections::BTreeSet<TokenId>,
}

/// When a key needs to be looked at next; none if never.
pub fn key_due(key: &Key) -> Option<u64> {
    let hold = key.destroy_hold_until;
    let end = key.windows.originator_until.filter(|_| key.state() == KeyState::Active);
    let warn = end.map(|end| {
        let next = warnings(period(key)).find(|days| key.warned_days.is_none_or(|warned| *days < warned));
        next.map_or(end, |days| end.saturating_sub(u64::from(days) * DAY_MS))
    });
    // An expired key that goes on protecting is looked at once: the alarm lasts.
    let warn = warn.filter(|_| key.warned_days != Some(0));
    [hold, warn].into_iter().flatten().min()
}

// How long a key protects. One whose begin nobody noted is warned about as early as any.
fn period(key: &Key) -> u64 {
    let windows = &key.windows;
    let from = windows.originator_from.unwrap_or_default();
    windows.originator_until.map_or(0, |until| until.saturating_sub(from))
}

/// Another key protects, or none does: how long this one might have is of no interest any more.
pub fn protects_no_more(tx: &mut Change<'_>, name: &KeyRef, now: u64) -> Result<(), Refusal> {
    for kind in [AlarmKind::KeyExpires, AlarmKind::KeyExpired, AlarmKind::KeyLost] {
        tx.calm(kind, name, now);
    }
    if tx.get::<Key>(name)?.warned_days != Some(0) {
        tx.edit::<Key>(name)?.warned_days = Some(0);
    }
    Ok(())
}

/// It protects again, or for longer: warnings begin anew.
pub fn protects_anew(tx: &mut Change<'_>, name: &KeyRef, now: u64) -> Result<(), Refusal> {
    tx.calm(AlarmKind::KeyExpires, name, now);
    tx.edit::<Key>(name)?.warned_days = None;
    Ok(())
}

/// One thing that time may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Action(ActionId),
    Key(KeyRef),
    Campaign(CampaignId),
    Silence,
    RootKeks,
    Certificates,
    Recovery,
    SigningKeys,
    Tokens,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Action(id) => id.fmt(f),
            Self::Key(key) => key.fmt(f),
            Self::Campaign(id) => id.fmt(f),
            Self::Silence => f.write_str("nodes"),
            Self::RootKeks => f.write_str("root_keks"),
            Self::Certificates => f.write_str("certificates"),
            Self::Recovery => f.write_str("root"),
            Self::SigningKeys => f.write_str("signing keys"),
            Self::Tokens => f.write_str("tokens"),
        }
    }
}

/// Time passes. What cannot be done leaves nothing behind but an alarm, and stops nothing else.
pub fn tick(tx: &mut Change<'_>, watch: &Watch, now: u64) {
    let actions = watch.pending.iter().chain(&watch.waiting).map(|id| Part::Action(*id));
    let due = watch.keys.iter().take_while(|(at, _)| *at <= now).map(|(_, key)| Part::Key(*key));
    let campaigns = watch.campaigns.iter().map(|id| Part::Campaign(*id));
    let rest =
        [Part::Silence, Part::RootKeks, Part::Certificates, Part::Recovery, Part::SigningKeys, Part::Tokens];
    let parts: Vec<_> = actions.chain(due).chain(campaigns).chain(rest).collect();
    let before = tx.mark();
    let mut stuck = BTreeMap::new();
    if !parts.iter().all(|part| bring(tx, watch, *part, now).is_ok()) {
        tx.back_to(before);
        for part in parts {
            let before = tx.mark();
            if let Err(refusal) = bring(tx, watch, part, now) {
                tx.back_to(before);
                stuck.insert(part.to_string(), refusal.to_string());
            }
        }
    }
    for (_, subject) in tx.keys_in::<Alarm>((AlarmKind::Stuck, String::new())..) {
        if !stuck.contains_key(&subject) {
            tx.calm(AlarmKind::Stuck, &subject, now);
        }
    }
    for (subject, text) in stuck {
        tx.alarm(AlarmKind::Stuck, &subject, text, now);
    }
}

fn bring(tx: &mut Change<'_>, watch: &Watch, part: Part, now: u64) -> Result<(), Refusal> {
    match part {
        Part::Action(id) => expire(tx, &id, now),
        Part::Key(key) => look_at_key(tx, &key, now),
        Part::Campaign(id) => steps::tick(tx, id, now),
        Part::Silence => silent_nodes(tx, watch, now),
        Part::RootKeks => {
            root_kek::late(tx, &watch.rekeyed, now);
            Ok(())
        }
        Part::Certificates => {
            certificate::tell(tx, &watch.certificates, now);
            certificate::tell_of_authority(tx, now);
            Ok(())
        }
        Part::Recovery => root::recover(tx, now),
        Part::SigningKeys => {
            signing::late(tx, now);
            Ok(())
        }
        Part::Tokens => {
            enrolment::forget(tx, &watch.tokens, now);
            Ok(())
        }
    }
}

fn expire(tx: &mut Change<'_>, id: &ActionId, now: u64) -> Result<(), Refusal> {
    let action = tx.get::<Action>(id)?;
    let after = match action.state {
        ActionState::Pending => ActionState::Expired,
        ActionState::Approved => ActionState::Lapsed,
        _ => return Ok(()),
    };
    if now >= action.expires.0 {
        tx.edit::<Action>(id)?.state = after;
    }
    Ok(())
}

fn look_at_key(tx: &mut Change<'_>, name: &KeyRef, now: u64) -> Result<(), Refusal> {
    let key = tx.get::<Key>(name)?;
    let (state, hold, until, warned) =
        (key.state(), key.destroy_hold_until, key.windows.originator_until, key.warned_days);
    let period = period(key);
    if hold.is_some_and(|until| until <= now) {
        if let Some(transition) = transition_between(Some(state), KeyState::Destroyed) {
            tx.edit::<Key>(name)?.apply(transition, now)?;
            acts::forget_protecting(tx, name, now)?;
        }
        return Ok(());
    }
    let Some(until) = until.filter(|_| state == KeyState::Active) else { return Ok(()) };
    let set = tx.get::<KeySet>(&name.key_set)?;
    // Only the generation that protects expires; one that is merely processed goes with its campaign.
    if set.protecting != Some(name.generation) {
        return protects_no_more(tx, name, now);
    }
    if now < until {
        let left = until - now;
        let days = warnings(period).rev().find(|days| left <= u64::from(*days) * DAY_MS);
        if let Some(days) = days.filter(|days| warned.is_none_or(|warned| *days < warned)) {
            let text = format!("its period ends within {days} days");
            tx.calm(AlarmKind::KeyExpires, name, now);
            tx.alarm(AlarmKind::KeyExpires, name, text, now);
            tx.edit::<Key>(name)?.warned_days = Some(days);
        }
        return Ok(());
    }
    let hard_stop = tx.get::<Policy>(&set.policy)?.hard_stop && set.live_campaign.is_none();
    tx.calm(AlarmKind::KeyExpires, name, now);
    let text = if hard_stop {
        "its period is over; it protects no more"
    } else {
        "its period is over; it still protects"
    };
    tx.alarm(AlarmKind::KeyExpired, name, text.to_owned(), now);
    tx.edit::<Key>(name)?.warned_days = Some(0);
    if hard_stop && let Some(transition) = transition_between(Some(state), KeyState::Deactivated) {
        tx.edit::<Key>(name)?.apply(transition, now)?;
    }
    Ok(())
}

fn silent_nodes(tx: &mut Change<'_>, watch: &Watch, now: u64) -> Result<(), Refusal> {
    let limit = tx.get::<Centre>(&())?.limits.silent_after_ms;
    let silent = watch.nodes.iter().take_while(|(seen, _)| seen + limit < now);
    for (_, id) in silent {
        tx.alarm(AlarmKind::NodeSilent, id, "no sign of life".to_owned(), now);
    }
    Ok(())
}

/// Whether a node is expected to speak.
pub fn is_expected(node: &Node) -> bool {
    node.standing == Standing::Active && node.traffic != Traffic::Offline && node.seen_utc_ms > 0
}

impl Watch {
    /// From all records.
    pub fn of(state: &State) -> Self {
        let mut watch = Self::default();
        state.actions.values().for_each(|action| watch.action(None, action));
        state.campaigns.values().for_each(|campaign| watch.campaign(campaign));
        state.nodes.values().for_each(|node| watch.node(None, node));
        state.keys.values().for_each(|key| watch.key(None, key));
        state.tokens.values().for_each(|token| watch.token(token));
        watch
    }

    pub(super) fn action(&mut self, old: Option<&Action>, new: &Action) {
        if let Some(old) = old {
            self.pending.remove(&old.id);
            self.waiting.remove(&old.id);
        }
        match new.state {
            ActionState::Pending => _ = self.pending.insert(new.id),
            ActionState::Approved => _ = self.waiting.insert(new.id),
            _ => {}
        }
    }

    pub(super) fn token(&mut self, new: &Token) {
        if enrolment::is_open(new) {
            self.tokens.insert(new.token);
        } else {
            self.tokens.remove(&new.token);
        }
    }

    pub(super) fn campaign(&mut self, new: &Campaign) {
        if new.phase.is_live() {
            self.campaigns.insert(new.id);
        } else {
            self.campaigns.remove(&new.id);
        }
    }

    pub(super) fn node(&mut self, old: Option<&Node>, new: &Node) {
        if let Some(old) = old {
            self.nodes.remove(&(old.seen_utc_ms, old.id));
        }
        if let Some(due) = old.and_then(certificate::due) {
            self.certificates.remove(&(due, new.id));
        }
        if let Some(due) = certificate::due(new) {
            self.certificates.insert((due, new.id));
        }
        if is_expected(new) {
            self.nodes.insert((new.seen_utc_ms, new.id));
        }
        if new.kek_change.since_utc_ms > 0 {
            self.rekeyed.insert(new.id);
        } else {
            self.rekeyed.remove(&new.id);
        }
    }

    pub(super) fn key(&mut self, old: Option<&Key>, new: &Key) {
        if let Some(due) = old.and_then(key_due) {
            self.keys.remove(&(due, new.name()));
        }
        if let Some(due) = key_due(new) {
            self.keys.insert((due, new.name()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Act;
    use crate::input::Input;
    use crate::refusals::house::{House, zpk};

    // A record that is missing stands for whatever stops a part: the others go on, people are told, and once.
    #[test]
    fn what_cannot_be_done_is_told_and_stops_nothing_else() {
        let mut house = House::founded();
        let key = house.zone_key();
        let asked = house.propose(Act::RevokeNode { node: house.node(2) }).expect("asked").0;
        let set = house.core.state.key_sets.remove(&zpk()).expect("there");
        house.now += 400 * DAY_MS;
        for _ in 0..2 {
            house.must(Input::Tick);
            house.now += 1_000;
        }
        let state = house.core.state();
        assert_eq!(state.action(&asked).map(|action| &action.state), Some(&ActionState::Expired));
        let stuck = |house: &House| -> Vec<String> {
            let own = house.core.alarms().filter(|alarm| alarm.kind == AlarmKind::Stuck);
            own.map(|alarm| alarm.subject.clone()).collect()
        };
        assert_eq!(stuck(&house), [crate::refusals::house::campaign(1).to_string(), key.to_string()]);
        house.core.state.key_sets.insert(zpk(), set);
        house.must(Input::Tick);
        assert!(stuck(&house).is_empty(), "it is over");
        assert!(house.core.alarms().any(|alarm| alarm.kind == AlarmKind::KeyExpired));
    }
}
