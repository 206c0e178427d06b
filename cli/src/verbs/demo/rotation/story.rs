//! The run from its beginning to the verdict.

use super::RotationArgs;
use super::fleet::{self, Asking, Fleet};
use super::gate::Count;
use super::judge;
use super::kills::Kills;
use super::load::{self, Counters, Order};
use super::manager::Manager;
use super::people::{self, People, called};
use super::report::{Report, Stage};
use super::sabotage::Sabotage;
use super::units::{self, Holding};
use super::watch::{self, stage};
use crate::exit::Failure;
use keylink::message::{KeyKind, Overlap, Shape};
use keylink::{CampaignId, NodeId};
use keymgr::client::{RotateWishes, ZoneWishes, plan_rotation, plan_zone};
use keymgr::core::action::Act;
use keymgr::core::campaign::{Campaign, Mark, Phase};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// The order to protect goes out so long before its moment, milliseconds: long enough for a manager to be killed and to
/// come back meanwhile.
const LEAD_MS: u64 = 4_000;
/// Without such a kill.
const SHORT_LEAD_MS: u64 = 700;
/// The old key is processed so long after the switch: a block that a slow clock has protected late is on its way for
/// twice the skew, and in a large fleet the last receipt of the switch comes late.
const OVERLAP_MS: u64 = 3_000;
const OVERLAP_PER_NODE_MS: u64 = 30;
/// And so much longer when nodes that were away come back in it.
const OVERLAP_RETURN_MS: u64 = 3_000;
/// The shortest overlap that is allowed: twice the difference of clocks that a node may have.
const FIRST_OVERLAP_MS: u64 = 2_000;
/// The longest wait for the first keys, whatever the limit of the rotation is.
const FIRST_KEYS: Duration = Duration::from_secs(180);
/// Transactions that a node must have carried before the run ends, when it was away.
const AFTER_RETURN: u64 = 100;

struct Run<'a> {
    args: &'a RotationArgs,
    manager: Manager,
    people: People,
    fleet: Fleet,
    orders: Sender<Order>,
    counters: Arc<Counters>,
    away: Vec<usize>,
    returned: Vec<usize>,
    kills: Kills,
    holding: Holding,
    rested: Duration,
    // Clocks of gated nodes minus the manager's, as it has measured them, milliseconds.
    skews_ms: BTreeMap<NodeId, i64>,
    report: Report,
}

/// Tells it.
pub async fn tell(args: &RotationArgs) -> Result<Report, Failure> {
    let began = Instant::now();
    let folder = tempfile::tempdir().map_err(Failure::environment)?;
    let (orders, queue) = std::sync::mpsc::channel();
    let counters = Arc::new(Counters::new(args.nodes.into()));
    let plan = load::Plan {
        nodes: args.nodes.into(),
        processes: args.processes.into(),
        zones: args.zones.into(),
        // A little more than what must be reached.
        rate: args.rate + args.rate.div_ceil(100),
        seed: getrandom::u64().map_err(Failure::environment)?,
    };
    let counted = Arc::clone(&counters);
    let thread = std::thread::Builder::new().name("load".to_owned());
    let thread = thread.spawn(move || load::run(plan, &queue, counted)).map_err(Failure::environment)?;
    let mut run = Run::begin(args, folder.path(), orders, counters).await?;
    run.report.figure("setup_s", began.elapsed().as_secs_f64());
    let campaigns = run.rotate().await?;
    let _ = run.orders.send(Order::End);
    let tally = tokio::task::spawn_blocking(move || thread.join()).await.map_err(Failure::environment)?;
    let tally = tally.map_err(|_| Failure::environment("the load has panicked"))?;
    run.judge(&tally, &campaigns, folder.path()).await?;
    for number in 0..run.fleet.members.len() {
        run.fleet.stop(number).await;
    }
    let total = began.elapsed().as_secs_f64();
    run.report.figure("total_s", total);
    let found = format!("{total:.1} s of {} s", args.within);
    run.report.check("all of it within its time", total <= args.within as f64, found);
    Ok(run.report)
}

// Time for the transactions that a stage must see.
fn stage_ms(args: &RotationArgs) -> u64 {
    args.stage_transactions * 1000 / u64::from(args.rate)
}

fn lead_ms(args: &RotationArgs) -> u64 {
    let kill = if args.kills > 2 { LEAD_MS } else { SHORT_LEAD_MS };
    kill.max(stage_ms(args) + SHORT_LEAD_MS)
}

fn overlap_ms(args: &RotationArgs) -> u64 {
    let back = if args.away() > 0 { OVERLAP_RETURN_MS } else { 0 };
    OVERLAP_MS.max(stage_ms(args)) + OVERLAP_PER_NODE_MS * u64::from(args.nodes) + back
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
        counters: Arc<Counters>,
    ) -> Result<Self, Failure> {
        let began = Instant::now();
        let mut at = Vec::new();
        let mut note = |what: &str| at.push(json!({ "done": what, "at_s": began.elapsed().as_secs_f64() }));
        let (manager, people) = people::found(folder, args.store.as_deref())?;
        note("founded");
        let store = fleet::store(folder)?;
        let (count, processes) = (usize::from(args.nodes), usize::from(args.processes));
        let asking = Asking::ask(count, processes, &people, &store, folder).await?;
        note("nodes let in");
        for zone in 0..args.zones {
            let wishes = ZoneWishes {
                alias: alias(zone),
                nodes: asking.ids().collect(),
                live: false,
                kind: KeyKind::Zpk,
                shape: Shape::Tdes2,
                base: Some(3 * u16::from(zone)),
                overlap: Overlap::Time,
                overlap_ms: Some(overlap_ms(args)),
                lead_ms: Some(lead_ms(args)),
                exportable: false,
            };
            let (_, acts) = plan_zone(&people.operator, &wishes).await.map_err(called)?;
            people.ask(&acts, zone.into()).await?;
        }
        note("zones made");
        let offsets_ms = fleet::offsets_ms(count, processes, args.away());
        let (fault, zones) = (args.sabotage, args.zones.into());
        let fleet = Fleet::gather(asking, store, orders.clone(), fault, zones, offsets_ms).await?;
        let away = (count - args.away()..count).collect();
        let mut run = Self {
            args,
            manager,
            people,
            fleet,
            orders,
            counters,
            away,
            returned: Vec::new(),
            kills: Kills::new(args),
            holding: Holding::Works,
            rested: Duration::ZERO,
            skews_ms: BTreeMap::new(),
            report: Report::default(),
        };
        for number in 0..count {
            run.fleet.start(number).await?;
        }
        note("nodes begun");
        run.first_keys().await?;
        note("first keys active");
        units::connect(&mut run.fleet, &run.orders)?;
        for number in 0..count {
            run.declare(number, if run.away.contains(&number) { "offline" } else { "in_traffic" }).await?;
        }
        for number in run.away.clone() {
            run.fleet.stop(number).await;
        }
        note("nodes in traffic");
        run.report.figure("setup", at);
        Ok(run)
    }

    // Every node protects with the first key of each zone.
    async fn first_keys(&self) -> Result<(), Failure> {
        // There is no old key that could overlap.
        let wishes = RotateWishes { overlap_ms: Some(FIRST_OVERLAP_MS), ..RotateWishes::default() };
        let ids = self.propose(&wishes).await?;
        let wanted = usize::from(self.args.nodes) * ids.len();
        let began = Instant::now();
        loop {
            let all = watch::look(&self.people, &ids).await?;
            if all.iter().all(|one| !one.phase.is_live()) {
                let all = watch::deliveries(&self.people, &ids).await?;
                if all.iter().filter(|one| one.marks.contains(&Mark::Activated)).count() == wanted {
                    return Ok(());
                }
            }
            if began.elapsed() > FIRST_KEYS {
                let told: Vec<String> = all.iter().map(|c| format!("{:?} {:?}", c.phase, c.counts)).collect();
                let behind = self.fleet.seen().map(|seen| format!("{:?}", seen.at)).collect::<Vec<_>>();
                let told = format!("{}; nodes at {}", told.join(", "), behind.join(" "));
                return Err(Failure::check(format!("the first keys are not there in time: {told}")));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
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

    async fn stage_has_enough(&self, stage: Stage) {
        let limit = Duration::from_secs(60);
        let began = Instant::now();
        while self.counters.stage(stage) < self.args.stage_transactions && began.elapsed() < limit {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    // Nodes that came back have carried what they must have, as far as it comes in time.
    async fn returned_have_enough(&self) {
        let began = Instant::now();
        let short = |node: &usize| self.counters.node(*node) < AFTER_RETURN;
        while self.returned.iter().any(short) && began.elapsed() < Duration::from_secs(30) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn rotate(&mut self) -> Result<Vec<Campaign>, Failure> {
        let _ = self.orders.send(Order::Begin);
        self.stage_has_enough(Stage::Before).await;
        if self.args.sabotage == Some(Sabotage::LostReceipt) {
            self.fleet.lose();
        }
        if let Some((_, _, unit)) = self.fleet.units().find(|(number, _, _)| *number == fleet::HOLDING) {
            unit.arm()?;
        }
        self.kills.hold(&self.fleet, Count::Proofs, 0);
        let ids = self.propose(&RotateWishes::default()).await?;
        let approved = Instant::now();
        self.pause(&ids).await;
        self.kills.arm(&self.fleet, &self.manager, 0);
        let (mut now, mut stages, mut all) = (Stage::Before, Vec::new(), Vec::new());
        while approved.elapsed() <= Duration::from_secs(self.args.limit) {
            self.kills.follow(&ids, &self.fleet, &self.people, &mut self.manager, &mut self.report).await?;
            // Killed meanwhile, perhaps.
            let Ok(seen) = watch::look_once(&self.people, &ids).await else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            all = seen;
            let here = stage(&all);
            if here != now {
                now = here;
                stages.push(json!({ "stage": here, "at_s": approved.elapsed().as_secs_f64() }));
                let _ = self.orders.send(Order::Stage(here));
                if here == Stage::Overlap {
                    self.report.figure("approval_to_last_activated_s", approved.elapsed().as_secs_f64());
                    self.report.figure("of_which_rested_s", self.rested.as_secs_f64());
                    watch::skews_ms(&self.people, &mut self.skews_ms).await.map_err(called)?;
                } else if here < Stage::Overlap {
                    // The manager may just be killed; there are other looks.
                    let _ = watch::skews_ms(&self.people, &mut self.skews_ms).await;
                }
            }
            let (fleet, people) = (&mut self.fleet, &self.people);
            self.holding.go_on(fleet, people, &ids, &self.counters, &self.orders).await?;
            // However long the switch takes, the old key is taken away only when officers have seen the overlap.
            if here == Stage::Protecting && all.iter().any(|campaign| !campaign.paused) {
                self.pause(&ids).await;
            }
            if here == Stage::Overlap && !self.away.is_empty() {
                self.return_of_the_absent(&ids).await?;
            }
            self.watch_the_stage(&all).await?;
            if all.iter().all(|campaign| !campaign.phase.is_live()) && self.away.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.report.figure("rotation_s", approved.elapsed().as_secs_f64());
        self.report.figure("stages", stages);
        self.stage_has_enough(now).await;
        self.returned_have_enough().await;
        Ok(all)
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
            let mut caught_up = false;
            while !caught_up && began.elapsed() < Duration::from_secs(60) {
                let all = watch::deliveries(&self.people, ids).await?;
                caught_up =
                    all.iter().filter(|one| one.node == id).all(|one| one.marks.contains(&Mark::Activated));
                if !caught_up {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            if caught_up {
                self.declare(number, "in_traffic").await?;
                self.returned.push(number);
            }
        }
        self.report.figure("catch_up_s", began.elapsed().as_secs_f64());
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
    async fn watch_the_stage(&mut self, all: &[Campaign]) -> Result<(), Failure> {
        let here = stage(all);
        let resting: Vec<&Campaign> =
            all.iter().filter(|campaign| campaign.paused && campaign.phase.is_live()).collect();
        let complete = |one: &&Campaign| one.phase.awaits().is_none_or(|mark| one.counts.all(mark));
        let generated = resting.iter().all(|one| one.phase != Phase::Generating);
        if resting.is_empty() || !generated || !resting.iter().all(complete) {
            return Ok(());
        }
        let began = Instant::now();
        self.stage_has_enough(here).await;
        let ids: Vec<CampaignId> = resting.iter().map(|campaign| campaign.id).collect();
        let acts: Vec<Act> = ids.iter().map(|id| Act::ResumeCampaign { campaign: *id }).collect();
        if here == Stage::Accepting {
            self.kills.hold(&self.fleet, Count::Orders, 2);
        }
        self.people.ask(&acts, 2).await?;
        self.rested += began.elapsed();
        match here {
            Stage::Staging => self.pause(&ids).await,
            Stage::Accepting => self.kills.arm(&self.fleet, &self.manager, 2),
            _ => {}
        }
        Ok(())
    }

    async fn judge(
        &mut self,
        tally: &super::report::Tally,
        campaigns: &[Campaign],
        folder: &Path,
    ) -> Result<(), Failure> {
        let (report, args) = (&mut self.report, self.args);
        let killed = self.holding.kill().cloned();
        judge::load(report, args, tally, campaigns);
        judge::nodes(report, args, &mut self.fleet, tally, &self.returned, killed.as_ref());
        judge::clocks(report, &self.skews_ms.values().copied().collect::<Vec<_>>());
        self.kills.judge(report);
        if args.processes > 0 {
            let found = killed.as_ref().map_or("it was not".to_owned(), |kill| kill.node.clone());
            report.check("a node is killed between store and receipt", killed.is_some(), found);
        }
        judge::campaigns(report, &self.people, campaigns).await?;
        judge::last_receipts(&self.people, args, campaigns).await?;
        judge::log(report, args, &self.people, &mut self.fleet, campaigns, killed.as_ref(), folder).await?;
        report.node_kill = killed;
        Ok(())
    }
}
