//! The run from its beginning to the verdict.

use super::RotationArgs;
use super::fleet::{self, Asking, Fleet};
use super::load::{self, Counters, Order, SKEW_MS};
use super::manager::Manager;
use super::people::{self, People, called};
use super::report::{Kill, Report, Stage, Tally};
use super::sabotage::Sabotage;
use crate::exit::Failure;
use keylink::CampaignId;
use keylink::message::{KeyKind, Overlap, Shape};
use keymgr::client::{ClientProblem, RotateWishes, ZoneWishes, plan_rotation, plan_zone};
use keymgr::core::action::Act;
use keymgr::core::campaign::{Campaign, Delivery, Mark, Phase};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// Nodes protect with the new key so long after the order, milliseconds: long enough for a manager to be killed and
/// to come back meanwhile.
const LEAD_MS: u64 = 4_000;
/// The old key is processed so long after the switch: a block that a slow clock has protected late is on its way for
/// twice the skew, and in a large fleet the last receipt of the switch comes late.
const OVERLAP_MS: u64 = 6_000;
const OVERLAP_PER_NODE_MS: u64 = 30;

const MARKS: [(Mark, &str); 4] = [
    (Mark::Proven, "proven"),
    (Mark::Accepting, "accepting"),
    (Mark::Activated, "activated"),
    (Mark::Retired, "retired"),
];

struct Run<'a> {
    args: &'a RotationArgs,
    manager: Manager,
    people: People,
    fleet: Fleet,
    orders: Sender<Order>,
    counters: Counters,
    away: Vec<usize>,
    report: Report,
}

/// Tells it.
pub async fn tell(args: &RotationArgs) -> Result<Report, Failure> {
    let began = Instant::now();
    let folder = tempfile::tempdir().map_err(Failure::environment)?;
    let (orders, queue) = std::sync::mpsc::channel();
    let counters: Counters = Arc::default();
    let plan = load::Plan {
        nodes: args.nodes.into(),
        zones: args.zones.into(),
        rate: args.rate,
        seed: getrandom::u64().map_err(Failure::environment)?,
    };
    let counted = Arc::clone(&counters);
    let thread = std::thread::Builder::new().name("load".to_owned());
    let thread = thread.spawn(move || load::run(plan, &queue, counted)).map_err(Failure::environment)?;
    let mut run = Run::begin(args, folder.path(), orders, counters).await?;
    run.report.figures.insert("setup_s", json!(began.elapsed().as_secs_f64()));
    let campaigns = run.rotate().await?;
    let _ = run.orders.send(Order::End);
    let tally = tokio::task::spawn_blocking(move || thread.join()).await.map_err(Failure::environment)?;
    let tally = tally.map_err(|_| Failure::environment("the load has panicked"))?;
    run.judge_load(&tally, &campaigns);
    run.judge_receipts(&campaigns).await?;
    run.judge_log().await?;
    run.report.figures.insert("total_s", json!(began.elapsed().as_secs_f64()));
    for number in 0..run.fleet.members.len() {
        run.fleet.stop(number).await;
    }
    Ok(run.report)
}

fn stage_of(phase: Phase) -> Stage {
    match phase {
        Phase::Generating | Phase::Staging => Stage::Staging,
        Phase::Accepting => Stage::Accepting,
        Phase::Protecting => Stage::Protecting,
        Phase::Overlap => Stage::Overlap,
        _ => Stage::Retiring,
    }
}

fn stage(campaigns: &[Campaign]) -> Stage {
    campaigns.iter().map(|campaign| stage_of(campaign.phase)).min().unwrap_or(Stage::Before)
}

fn counted(campaigns: &[Campaign], mark: Mark) -> u32 {
    campaigns.iter().map(|campaign| campaign.counts.of(mark)).sum()
}

fn alias(zone: u8) -> String {
    format!("zone-{zone}")
}

impl<'a> Run<'a> {
    // Centre, persons, nodes, zones, and the first key of each zone.
    async fn begin(
        args: &'a RotationArgs,
        folder: &std::path::Path,
        orders: Sender<Order>,
        counters: Counters,
    ) -> Result<Self, Failure> {
        let (manager, people) = people::found(folder, args.store.as_deref())?;
        let store = fleet::store(folder)?;
        let asking = Asking::ask(args.nodes.into(), &people, &store).await?;
        for zone in 0..args.zones {
            let wishes = ZoneWishes {
                alias: alias(zone),
                nodes: asking.ids().collect(),
                live: false,
                kind: KeyKind::Zpk,
                shape: Shape::Tdes2,
                base: Some(3 * u16::from(zone)),
                overlap: Overlap::Time,
                overlap_ms: Some(OVERLAP_MS + OVERLAP_PER_NODE_MS * u64::from(args.nodes)),
                lead_ms: Some(LEAD_MS),
                exportable: false,
            };
            let (_, acts) = plan_zone(&people.operator, &wishes).await.map_err(called)?;
            people.ask(&acts, zone.into()).await?;
        }
        let fleet = Fleet::gather(&asking, store, orders.clone(), args.sabotage).await?;
        let count = usize::from(args.nodes);
        let away = count * usize::from(args.offline) / 100;
        let away = (count - away..count).collect();
        let mut run =
            Self { args, manager, people, fleet, orders, counters, away, report: Report::default() };
        for number in 0..count {
            run.fleet.start(number).await?;
        }
        let campaigns = run.propose(&RotateWishes::default()).await?;
        run.until(&campaigns, |all| all.iter().all(|one| !one.phase.is_live())).await?;
        for number in 0..count {
            run.declare(number, if run.away.contains(&number) { "offline" } else { "in_traffic" }).await?;
        }
        for number in run.away.clone() {
            run.fleet.stop(number).await;
        }
        Ok(run)
    }

    async fn declare(&self, number: usize, to: &str) -> Result<(), Failure> {
        let Some(member) = self.fleet.members.get(number) else { return Ok(()) };
        let path = format!("/nodes/{}/traffic", member.id);
        let _: Value = self.people.operator.post(&path, &json!({ "to": to })).await.map_err(called)?;
        let _ = self.orders.send(Order::Traffic { node: number, on: to == "in_traffic" });
        Ok(())
    }

    // All zones at once: asked for by the operator, each approved by two officers.
    async fn propose(&self, wishes: &RotateWishes) -> Result<Vec<CampaignId>, Failure> {
        let (mut acts, mut campaigns) = (Vec::new(), Vec::new());
        for zone in 0..self.args.zones {
            let plan = plan_rotation(&self.people.operator, &alias(zone), wishes).await.map_err(called)?;
            campaigns.extend(plan.targets.iter().map(|target| target.campaign));
            acts.push(plan.act);
        }
        self.people.ask(&acts, 1).await?;
        Ok(campaigns)
    }

    async fn look(&self, ids: &[CampaignId]) -> Result<Vec<Campaign>, ClientProblem> {
        let mut all = Vec::new();
        for id in ids {
            all.push(self.people.operator.get(&format!("/campaigns/{id}")).await?);
        }
        Ok(all)
    }

    // A manager that begins anew may keep people waiting.
    async fn look_patiently(&self, ids: &[CampaignId]) -> Result<Vec<Campaign>, Failure> {
        for _ in 0..100 {
            if let Ok(all) = self.look(ids).await {
                return Ok(all);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.look(ids).await.map_err(called)
    }

    async fn until(
        &self,
        ids: &[CampaignId],
        done: impl Fn(&[Campaign]) -> bool,
    ) -> Result<Vec<Campaign>, Failure> {
        let began = Instant::now();
        loop {
            let all = self.look_patiently(ids).await?;
            if done(&all) {
                return Ok(all);
            }
            if began.elapsed() > Duration::from_secs(self.args.limit) {
                let told: Vec<String> = all.iter().map(|c| format!("{:?} {:?}", c.phase, c.counts)).collect();
                return Err(Failure::check(format!(
                    "the first keys are not there in time: {}",
                    told.join(", ")
                )));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn stage_has_enough(&self, stage: Stage) {
        let limit = Duration::from_secs(60);
        let began = Instant::now();
        let count = || self.counters.get(stage as usize).map_or(0, |counter| counter.load(Relaxed));
        while count() < self.args.stage_transactions && began.elapsed() < limit {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn rotate(&mut self) -> Result<Vec<Campaign>, Failure> {
        let _ = self.orders.send(Order::Begin);
        self.stage_has_enough(Stage::Before).await;
        if self.args.sabotage == Some(Sabotage::LostReceipt) {
            self.fleet.lose();
        }
        let ids = self.propose(&RotateWishes::default()).await?;
        self.pause(&ids).await;
        let began = Instant::now();
        let (mut now, mut stages) = (Stage::Before, Vec::new());
        let all = loop {
            let all = self.look_patiently(&ids).await?;
            let here = stage(&all);
            if here != now {
                now = here;
                stages.push(json!({ "stage": here, "at_s": began.elapsed().as_secs_f64() }));
                let _ = self.orders.send(Order::Stage(here));
            }
            self.kill_when_due(&ids, &all).await?;
            self.watch_the_stage(&all).await?;
            if here == Stage::Overlap && !self.away.is_empty() {
                self.return_of_the_absent(&ids).await?;
            }
            if all.iter().all(|campaign| !campaign.phase.is_live()) && self.away.is_empty() {
                break all;
            }
            if began.elapsed() > Duration::from_secs(self.args.limit) {
                break all;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        self.report.figures.insert("rotation_s", json!(began.elapsed().as_secs_f64()));
        self.report.figures.insert("stages", json!(stages));
        self.stage_has_enough(now).await;
        Ok(all)
    }

    async fn kill_when_due(&mut self, ids: &[CampaignId], all: &[Campaign]) -> Result<(), Failure> {
        let done = self.report.kills.len();
        if done >= usize::from(self.args.kills) {
            return Ok(());
        }
        let gated: u32 = all.iter().map(|campaign| campaign.counts.gated).sum();
        let proven = counted(all, Mark::Proven);
        let ordered = self.fleet.ordered(self.args.zones.into());
        let nodes = u32::from(self.args.nodes);
        let (due, meant, before, of, is_due) = match done {
            0 => ("20 % of proofs", Stage::Staging, proven, gated, proven * 5 >= gated),
            1 => ("70 % of proofs", Stage::Staging, proven, gated, proven * 10 >= gated * 7),
            _ => ("PROTECT at half of the nodes", Stage::Protecting, ordered, nodes, ordered * 2 >= nodes),
        };
        if !is_due || gated == 0 {
            return Ok(());
        }
        let pid = self.manager.pid();
        let early = stage(all) == meant && (done > 0 || proven * 10 < gated * 7);
        self.manager.kill()?;
        self.manager.again()?;
        let next = self.look_patiently(ids).await?;
        let after =
            if done < 2 { counted(&next, Mark::Proven) } else { self.fleet.ordered(self.args.zones.into()) };
        let hit = early && stage(&next) == meant && after >= before;
        self.report.kills.push(Kill { due, pid, before, after, of, hit });
        Ok(())
    }

    // Nodes that were away come back, catch up, and only then take traffic.
    async fn return_of_the_absent(&mut self, ids: &[CampaignId]) -> Result<(), Failure> {
        let away = core::mem::take(&mut self.away);
        for number in &away {
            self.fleet.start(*number).await?;
        }
        let began = Instant::now();
        for number in away {
            let Some(id) = self.fleet.members.get(number).map(|member| member.id) else { continue };
            let caught_up = |all: &[Delivery]| {
                all.iter().filter(|one| one.node == id).all(|one| one.marks.contains(&Mark::Activated))
            };
            while !caught_up(&self.deliveries(ids).await?) && began.elapsed() < Duration::from_secs(60) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            self.declare(number, "in_traffic").await?;
        }
        self.report.figures.insert("catch_up_s", json!(began.elapsed().as_secs_f64()));
        Ok(())
    }

    // The operator stops the campaigns where they are: what was ordered goes on, the next step waits.
    async fn pause(&self, ids: &[CampaignId]) {
        for id in ids {
            // One that has ended, or rests already, cannot be paused.
            let _ = self.people.operator.post::<Value>(&format!("/campaigns/{id}/pause"), &json!({})).await;
        }
    }

    // New keys are brought and accepted within a moment in a small fleet. People look at the traffic before they let a
    // campaign go on: it rests until the stage has seen its transactions, and goes on when two officers agree.
    async fn watch_the_stage(&self, all: &[Campaign]) -> Result<(), Failure> {
        let here = stage(all);
        let resting: Vec<&Campaign> =
            all.iter().filter(|campaign| campaign.paused && campaign.phase.is_live()).collect();
        let complete = |one: &&Campaign| one.phase.awaits().is_none_or(|mark| one.counts.all(mark));
        let count = self.counters.get(here as usize).map_or(0, |counter| counter.load(Relaxed));
        let generated = resting.iter().all(|one| one.phase != Phase::Generating);
        let enough = count >= self.args.stage_transactions;
        if resting.is_empty() || !generated || !enough || !resting.iter().all(complete) {
            return Ok(());
        }
        let ids: Vec<CampaignId> = resting.iter().map(|campaign| campaign.id).collect();
        let acts: Vec<Act> = ids.iter().map(|id| Act::ResumeCampaign { campaign: *id }).collect();
        self.people.ask(&acts, 2).await?;
        if here == Stage::Staging {
            self.pause(&ids).await;
        }
        Ok(())
    }

    async fn deliveries(&self, ids: &[CampaignId]) -> Result<Vec<Delivery>, Failure> {
        let mut all = Vec::new();
        for id in ids {
            let path = format!("/campaigns/{id}/deliveries");
            all.extend(self.people.operator.all::<Delivery>(&path).await.map_err(called)?);
        }
        Ok(all)
    }

    fn judge_load(&mut self, tally: &Tally, campaigns: &[Campaign]) {
        let report = &mut self.report;
        let refusals: Vec<String> =
            tally.refusals.iter().take(5).map(|(why, n)| format!("{n} × {why}")).collect();
        let found = if refusals.is_empty() {
            "0".to_owned()
        } else {
            format!("{}: {}", tally.refused(), refusals.join(", "))
        };
        report.check("no transaction is refused", tally.refused() == 0, found);
        report.check("no PIN is wrong", tally.wrong == 0, tally.wrong.to_string());
        let rate = tally.begun as f64 / tally.seconds.max(f64::MIN_POSITIVE);
        let enough = rate >= f64::from(self.args.rate) * 0.99;
        report.check("the load keeps its rate", enough, format!("{rate:.0}/s of {}/s", self.args.rate));
        let short: Vec<String> = Stage::ALL
            .iter()
            .map(|stage| (stage, tally.stages.get(stage).map_or(0, |counts| counts.right)))
            .filter(|(_, right)| *right < self.args.stage_transactions)
            .map(|(stage, right)| format!("{stage:?} {right}"))
            .collect();
        let found = if short.is_empty() { "all".to_owned() } else { short.join(", ") };
        report.check("every stage has seen enough transactions", short.is_empty(), found);
        let (old, both) = (tally.old_after_activation, (tally.old_to_new, tally.new_to_old));
        report.check("old blocks are processed after activation", old > 0, old.to_string());
        report.check(
            "both directions around the switch",
            both.0 > 0 && both.1 > 0,
            format!("{} and {}", both.0, both.1),
        );
        let idle = tally.carried.iter().filter(|carried| **carried < 100).count();
        report.check(
            "every node carries at least 100 transactions",
            idle == 0,
            format!("{idle} nodes below"),
        );
        // A clock that goes before the manager's switches early by so much.
        let early = campaigns.iter().enumerate().find_map(|(zone, campaign)| {
            let generation = campaign.new_generation().0;
            let (at, node) = tally.first.get(&(zone, generation))?;
            let due = campaign.protect_from.unwrap_or(u64::MAX).saturating_sub(SKEW_MS + 20);
            (*at < due).then(|| format!("node-{node:03} in zone-{zone} under generation {generation}"))
        });
        let found = early.clone().unwrap_or_else(|| "nobody before".to_owned());
        report.check("no node protects before all accept and its time has come", early.is_none(), found);
        let stale: Vec<String> = tally
            .stale
            .iter()
            .map(|(node, n)| format!("node-{node:03} {n} blocks under the old generation"))
            .collect();
        let found = if stale.is_empty() { "nobody".to_owned() } else { stale.join(", ") };
        report.check("no node protects with the old key once all are activated", stale.is_empty(), found);
        report.figures.insert("transactions", json!(tally.begun));
        report.figures.insert("transactions_per_s", json!(rate.round()));
        report.figures.insert("late_ms_max", json!(tally.late_ms.round()));
        report.figures.insert("transactions_by_stage", json!(tally.stages));
    }

    async fn judge_receipts(&mut self, campaigns: &[Campaign]) -> Result<(), Failure> {
        let ids: Vec<CampaignId> = campaigns.iter().map(|campaign| campaign.id).collect();
        let ended =
            campaigns.iter().all(|c| matches!(c.phase, Phase::Completed | Phase::CompletedWithExceptions));
        let phases: Vec<String> = campaigns.iter().map(|campaign| format!("{:?}", campaign.phase)).collect();
        self.report.check("the campaigns are completed", ended, phases.join(", "));
        let wanted = usize::from(self.args.nodes) * usize::from(self.args.zones);
        let began = Instant::now();
        let owed = |all: &[Delivery]| {
            let count = |mark| all.iter().filter(|one| one.marks.contains(&mark)).count();
            MARKS.iter().any(|(mark, _)| count(*mark) != wanted)
        };
        // Nodes that came back late have their last receipts to send.
        let mut all = self.deliveries(&ids).await?;
        while ended && owed(&all) && began.elapsed() < Duration::from_secs(20) {
            tokio::time::sleep(Duration::from_millis(200)).await;
            all = self.deliveries(&ids).await?;
        }
        let counts = MARKS.map(|(mark, name)| {
            format!("{name} {}", all.iter().filter(|one| one.marks.contains(&mark)).count())
        });
        let name = |delivery: &Delivery| {
            let member = self.fleet.members.iter().find(|member| member.id == delivery.node);
            let mark =
                MARKS.iter().find(|(mark, _)| !delivery.marks.contains(mark)).map_or("", |(_, name)| name);
            format!("{} owes {mark}", member.map_or("?", |member| member.name.as_str()))
        };
        let missing = all.iter().filter(|one| MARKS.iter().any(|(mark, _)| !one.marks.contains(mark)));
        let mut missing: Vec<&Delivery> = missing.collect();
        // Whoever is furthest behind holds the others up.
        missing.sort_by_key(|one| one.marks.len());
        let missing: Vec<String> = missing.into_iter().take(5).map(name).collect();
        let found = format!(
            "{} of {wanted} each{}{}",
            counts.join(", "),
            if missing.is_empty() { "" } else { ": " },
            missing.join(", ")
        );
        self.report.check("every receipt is there", !owed(&all), found);
        if self.args.kills > 0 {
            let hit = self.report.kills.iter().filter(|kill| kill.hit).count();
            let found = format!("{hit} of {}", self.args.kills);
            self.report.check("every kill hit its phase", hit == usize::from(self.args.kills), found);
        }
        Ok(())
    }

    async fn judge_log(&mut self) -> Result<(), Failure> {
        let export = self.people.auditor.bytes("/audit/export").await.map_err(called)?;
        let head = |member: &fleet::Member| {
            let note = member.seen().checkpoint?;
            Some(keymgr::audit::Head { source: member.name.clone(), note })
        };
        let heads: Vec<_> = self.fleet.members.iter().filter_map(head).take(2).collect();
        let given = heads.len();
        let options = keymgr::audit::Options { heads, signatures: true, ..Default::default() };
        let verified = keymgr::audit::verify_export(&mut export.as_slice(), options);
        let (holds, found) = match verified {
            Ok(said) => {
                let first = said.findings.first().map(|finding| format!(", {finding:?}")).unwrap_or_default();
                let signed = said.signatures.as_ref().map(|counts| format!("{counts:?}")).unwrap_or_default();
                let good = said.holds && said.anchored && given == 2 && said.heads == 2;
                (good, format!("{} entries, {} of 2 heads, {signed}{first}", said.entries, said.heads))
            }
            Err(error) => (false, error.to_string()),
        };
        self.report.check("the log holds, with the heads of two nodes", holds, found);
        Ok(())
    }
}
