//! The verdict: every sentence of what the run is to show, as a thing that must hold, with what was found.

use super::RotationArgs;
use super::fleet::{Fleet, HOLDING};
use super::load::SKEW_MS;
use super::people::{People, called};
use super::receipts::{KINDS, Receipts};
use super::report::{Report, Stage, Tally};
use super::unit::own_program;
use super::units::UnitKill;
use super::watch;
use crate::exit::Failure;
use keylink::CampaignId;
use keylink::message::ReceiptKind;
use keymgr::api::ActionView;
use keymgr::core::campaign::{Campaign, Mark, Phase};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A node in traffic carries at least so many transactions a second, and one that was away so many after its return.
const NODE_RATE: f64 = 5.0;
const AFTER_RETURN: u64 = 100;
/// A transaction begins no later after its time: a load that rests and catches up is none.
const LATE_MS_MAX: f64 = 1_000.0;
/// What the way of a beat through a busy machine adds to the measured difference of clocks, at most for most.
const BEAT_MS: i64 = 100;

fn named(all: &[String], nothing: &str) -> String {
    if all.is_empty() {
        nothing.to_owned()
    } else {
        all.iter().take(5).cloned().collect::<Vec<_>>().join(", ")
    }
}

/// Judges what the load has seen.
pub fn load(report: &mut Report, args: &RotationArgs, tally: &Tally, campaigns: &[Campaign]) {
    let refusals: Vec<String> = tally.refusals.iter().map(|(why, n)| format!("{n} × {why}")).collect();
    let found = format!("{} of {}: {}", tally.refused(), tally.begun, named(&refusals, "none"));
    report.check("no transaction is refused", tally.refused() == 0, found);
    report.check("no PIN is wrong", tally.wrong == 0, format!("{} of {}", tally.wrong, tally.begun));
    let once = tally.requests == tally.begun + tally.blocks;
    let found = format!("{} requests for {} PINs and {} blocks", tally.requests, tally.begun, tally.blocks);
    report.check("nothing is asked twice", once, found);
    let rate = tally.begun as f64 / tally.seconds.max(f64::MIN_POSITIVE);
    let keeps = rate >= f64::from(args.rate) && tally.late_ms <= LATE_MS_MAX;
    let late = format!("one began {:.0} ms late, {LATE_MS_MAX:.0} are allowed", tally.late_ms);
    report.check("the load keeps its rate", keeps, format!("{rate:.0}/s of {}/s; {late}", args.rate));
    let slowest = tally.carried.iter().enumerate().filter(|(_, one)| one.in_traffic_s > 0.0);
    let slowest = slowest.min_by(|(_, a), (_, b)| a.rate().total_cmp(&b.rate()));
    let found = slowest.map_or("none".to_owned(), |(n, one)| format!("{:.1}/s at node-{n:03}", one.rate()));
    let holds = slowest.is_some_and(|(_, one)| one.rate() >= NODE_RATE);
    report.check("every node in traffic carries at least 5 transactions a second", holds, found);
    let right = |stage: Stage| tally.stages.get(&stage).map_or(0, |counts| counts.right);
    let counts: Vec<String> =
        Stage::ALL.iter().map(|stage| format!("{} {}", stage.name(), right(*stage))).collect();
    let short = Stage::ALL.iter().any(|stage| right(*stage) < args.stage_transactions);
    let found = format!("{}; {} needed", counts.join(", "), args.stage_transactions);
    report.check("every stage has seen enough transactions", !short, found);
    let (old, both) = (tally.old_after_activation, (tally.old_to_new, tally.new_to_old));
    report.check("old blocks are processed after activation", old > 0, old.to_string());
    let found = format!("{} old at new nodes and {} new at old nodes", both.0, both.1);
    report.check("both directions around the switch", both.0 > 0 && both.1 > 0, found);
    protection(report, tally, campaigns);
    report.figure("transactions", tally.begun);
    report.figure("transactions_per_s", rate.round());
    report.figure("late_ms_max", tally.late_ms.round());
    report.figure("transactions_by_stage", &tally.stages);
}

fn protection(report: &mut Report, tally: &Tally, campaigns: &[Campaign]) {
    // A clock that goes before the manager's switches early by so much.
    let early = campaigns.iter().enumerate().find_map(|(zone, campaign)| {
        let generation = campaign.new_generation().0;
        let (at, node) = tally.first.get(&(zone, generation))?;
        let due = campaign.protect_from.unwrap_or(u64::MAX).saturating_sub(SKEW_MS + 20);
        (*at < due).then(|| format!("node-{node:03} in zone-{zone} under generation {generation}"))
    });
    let found = early.clone().unwrap_or_else(|| "nobody before".to_owned());
    report.check("no node protects before all accept and its time has come", early.is_none(), found);
    let one = |(node, n): (&usize, &u64)| format!("node-{node:03} {n} blocks under the old generation");
    let stale: Vec<String> = tally.stale.iter().map(one).collect();
    report.check(
        "no node protects with the old key once all are activated",
        stale.is_empty(),
        named(&stale, "nobody"),
    );
}

/// Judges nodes that were away, and those that are processes.
pub fn nodes(
    report: &mut Report,
    args: &RotationArgs,
    fleet: &mut Fleet,
    tally: &Tally,
    returned: &[usize],
    killed: Option<&UnitKill>,
) {
    let right = |node: usize| tally.carried.get(node).map_or(0, |carried| carried.right);
    if args.away() > 0 {
        let least = returned.iter().map(|node| right(*node)).min().unwrap_or_default();
        let found = format!("{} of {} came back; the least has carried {least}", returned.len(), args.away());
        let holds = returned.len() == args.away() && least >= AFTER_RETURN;
        report.check("nodes that were away catch up and carry at least 100 transactions", holds, found);
    }
    let units: Vec<Value> = fleet
        .units()
        .map(|(node, name, unit)| {
            json!({ "node": name, "pid": unit.pid(), "address": unit.address, "transactions": right(node) })
        })
        .collect();
    if args.processes > 0 {
        let idle = (1..=usize::from(args.processes)).filter(|node| right(*node) < AFTER_RETURN).count();
        let found = format!("{} processes, {idle} of them with fewer than 100 transactions", units.len());
        let holds = units.len() == usize::from(args.processes) && idle == 0;
        report.check("nodes that are processes of their own carry traffic over TCP", holds, found);
        if let Some(killed) = killed {
            let after = right(HOLDING).saturating_sub(killed.transactions_before);
            let found = format!("{after} after {}", killed.transactions_before);
            report.check("the node that was killed takes traffic again", after >= AFTER_RETURN, found);
        }
    }
    report.figure("processes", units);
}

/// Judges that the switch was made by clocks as wrong as they may be: as the manager has measured those of the nodes for
/// which the gates waited.
pub fn clocks(report: &mut Report, skews_ms: &[i64]) {
    let skew = SKEW_MS as i64;
    let ends = skews_ms.iter().min().copied().zip(skews_ms.iter().max().copied());
    let holds = ends.is_some_and(|(slow, fast)| slow <= BEAT_MS - skew && fast >= skew - BEAT_MS);
    let found = ends.map_or("nobody was looked at".to_owned(), |(slow, fast)| {
        format!("from {slow:+} to {fast:+} ms over {} nodes; set from -{skew} to +{skew}", skews_ms.len())
    });
    report.check("the slowest and the fastest clock are in traffic at the switch", holds, found);
    report.figure("clock_skews_ms", ends.map(|(slow, fast)| json!([slow, fast])));
}

/// Judges how the rotation was asked for and how it ended.
pub async fn campaigns(report: &mut Report, people: &People, campaigns: &[Campaign]) -> Result<(), Failure> {
    let ended =
        campaigns.iter().all(|c| matches!(c.phase, Phase::Completed | Phase::CompletedWithExceptions));
    let phases: Vec<String> = campaigns.iter().map(|campaign| format!("{:?}", campaign.phase)).collect();
    report.check("the campaigns are completed", ended, phases.join(", "));
    let last_began = campaigns.iter().map(|campaign| campaign.began).max().unwrap_or_default();
    let first_ended = campaigns.iter().map(|campaign| campaign.ended.unwrap_or(u64::MAX)).min();
    let at_once = first_ended.is_some_and(|at| last_began < at);
    report.check("all zones rotate at once", at_once, format!("{} campaigns", campaigns.len()));
    let actions: Vec<ActionView> = people.operator.all("/actions").await.map_err(called)?;
    let persons: Vec<usize> = campaigns
        .iter()
        .map(|campaign| {
            let action = actions.iter().find(|view| view.action.id == campaign.action);
            action.map_or(0, |view| {
                let persons = view.action.approvals.iter().map(|given| given.person);
                persons.filter(|person| *person != view.action.requester).collect::<BTreeSet<_>>().len()
            })
        })
        .collect();
    let holds = persons.iter().all(|count| *count == 2);
    let found = format!("{persons:?} of 3 officers, asked for by the operator");
    report.check("two of three officers have approved each rotation", holds, found);
    Ok(())
}

/// Waits for the last receipts of nodes that came back late, when all is well.
pub async fn last_receipts(
    people: &People,
    args: &RotationArgs,
    campaigns: &[Campaign],
) -> Result<(), Failure> {
    let ids: Vec<CampaignId> = campaigns.iter().map(|campaign| campaign.id).collect();
    let wanted = usize::from(args.nodes) * usize::from(args.zones);
    let ended = campaigns.iter().all(|campaign| !campaign.phase.is_live());
    let began = Instant::now();
    while ended && began.elapsed() < Duration::from_secs(20) {
        let all = watch::deliveries(people, &ids).await?;
        if all.iter().filter(|one| one.marks.contains(&Mark::Retired)).count() == wanted {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Judges the exported log: its receipts one by one, and the whole by `payhsm audit verify`.
pub async fn log(
    report: &mut Report,
    args: &RotationArgs,
    people: &People,
    fleet: &mut Fleet,
    campaigns: &[Campaign],
    killed: Option<&UnitKill>,
    folder: &Path,
) -> Result<(), Failure> {
    let export = people.auditor.bytes("/audit/export").await.map_err(called)?;
    let text = String::from_utf8_lossy(&export);
    let receipts = Receipts::of(&text, &fleet.members, campaigns);
    let wanted = u32::from(args.nodes) * u32::from(args.zones);
    let counts: Vec<String> =
        KINDS.iter().map(|(_, name)| format!("{name} {}", receipts.of_kind(name))).collect();
    let wrong = receipts.wrong(&fleet.members, campaigns.len());
    let found =
        format!("{} of {wanted} each: {}", counts.join(", "), named(&wrong, "none missing, none twice"));
    report.check("every receipt is there", wrong.is_empty(), found);
    let found = named(&receipts.bad, "by the keys of the nodes, all hold");
    report.check("every receipt is verified", receipts.bad.is_empty(), found);
    if let Some(killed) = killed {
        once(report, fleet, &receipts, killed);
    }
    let heads = heads(fleet, folder)?;
    verified(report, &export, &heads, folder)
}

// The receipt that was stored and not sent when the node was killed is in the log, and no number is missing or twice.
fn once(report: &mut Report, fleet: &Fleet, receipts: &Receipts, killed: &UnitKill) {
    let Some(member) = fleet.members.get(HOLDING) else { return };
    let kind = receipts.kind(member.id, killed.receipt);
    let last = receipts.unbroken(member.id);
    let holds = kind == Some(ReceiptKind::Proven) && !killed.known_before && last > Some(killed.receipt);
    let found = format!(
        "receipt {} of {} ({}) {} at the manager before the kill; in the log {}",
        killed.receipt,
        member.name,
        kind.map_or_else(|| "missing".to_owned(), |kind| format!("{kind:?}").to_lowercase()),
        if killed.known_before { "was" } else { "was not" },
        last.map_or("with gaps or twice".to_owned(), |last| format!("once, and so is each from 1 to {last}")),
    );
    report.check("the node killed between store and receipt loses and doubles nothing", holds, found);
}

// Checkpoints that two nodes have kept: one of this process, and one that is a process of its own when there is one.
fn heads(fleet: &mut Fleet, folder: &Path) -> Result<Vec<std::path::PathBuf>, Failure> {
    let mut notes: Vec<String> = Vec::new();
    for (_, _, unit) in fleet.units() {
        let state = unit.end()?;
        notes.extend(state.checkpoint.map(|checkpoint| checkpoint.note));
    }
    notes.truncate(1);
    notes.extend(fleet.seen().filter_map(|seen| seen.checkpoint));
    let mut files = Vec::new();
    for (number, note) in notes.iter().take(2).enumerate() {
        let file = folder.join(format!("head-{number}"));
        std::fs::write(&file, note).map_err(Failure::environment)?;
        files.push(file);
    }
    Ok(files)
}

fn verified(
    report: &mut Report,
    export: &[u8],
    heads: &[std::path::PathBuf],
    folder: &Path,
) -> Result<(), Failure> {
    let file = folder.join("export");
    std::fs::write(&file, export).map_err(Failure::environment)?;
    let mut verify = own_program()?;
    verify.args(["audit", "verify", "--require-head", "--signatures", "--json"]).arg(&file);
    verify.args(heads.iter().flat_map(|head| ["--head".as_ref(), head.as_os_str()]));
    let out = verify.stdin(Stdio::null()).output().map_err(Failure::environment)?;
    let said: Value = keylink::wire::read(&out.stdout).unwrap_or_default();
    let anchored = said.get("anchored") == Some(&Value::Bool(true));
    let agree = said.get("heads").and_then(Value::as_u64).unwrap_or_default();
    let of = |name: &str| said.get(name).cloned().unwrap_or_default();
    let signed = said.get("signatures").cloned().unwrap_or_default();
    let finding = said.pointer("/findings/0").map(|first| format!(", {first}")).unwrap_or_default();
    let holds = out.status.success() && anchored && heads.len() == 2 && agree == 2;
    let found = format!(
        "exit code {}, {} entries, {agree} of {} heads of nodes, signatures {signed}{finding}",
        out.status.code().unwrap_or(-1),
        of("entries"),
        heads.len(),
    );
    report.check(
        "`payhsm audit verify --require-head --signatures` holds with heads of two nodes",
        holds,
        found,
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        args: RotationArgs,
    }

    fn failures(tally: &Tally) -> String {
        let args = Words::parse_from(["rotation", "--rate", "100"]).args;
        let mut report = Report::default();
        load(&mut report, &args, tally, &[]);
        report.failures().unwrap_or_default()
    }

    #[test]
    fn a_load_that_rests_and_catches_up_keeps_no_rate() {
        let even = Tally { begun: 1010, seconds: 10.0, late_ms: 40.0, ..Tally::default() };
        assert!(!failures(&even).contains("keeps its rate"));
        let stalled = Tally { late_ms: 2_500.0, ..even };
        let found = failures(&stalled);
        assert!(
            found.contains("keeps its rate: 101/s of 100/s; one began 2500 ms late, 1000 are"),
            "{found}"
        );
        let slow = failures(&Tally { begun: 990, late_ms: 0.0, ..stalled });
        assert!(slow.contains("keeps its rate: 99/s of 100/s"), "{slow}");
    }

    #[test]
    fn clocks_that_are_right_show_nothing() {
        let holds = |skews: &[i64]| {
            let mut report = Report::default();
            clocks(&mut report, skews);
            report.failures().is_none()
        };
        assert!(holds(&[-431, 0, 388]));
        assert!(!holds(&[-431, 0, 250]) && !holds(&[-250, 400]) && !holds(&[0, 0]) && !holds(&[]));
    }
}
