//! The kills of the manager: armed one after the other, each judged when the next process answers.

use super::RotationArgs;
use super::fleet::Fleet;
use super::gate::{Count, Due};
use super::manager::Manager;
use super::people::People;
use super::report::{Kill, Report, Stage};
use super::watch;
use crate::exit::Failure;
use keylink::CampaignId;
use keymgr::core::campaign::{Campaign, Mark};

const NAMES: [&str; 3] = ["20 % of proofs", "70 % of proofs", "PROTECT at half of the nodes"];

/// What is killed when.
pub struct Kills {
    wanted: usize,
    proofs: usize,
    // Of nodes that are processes: they pass no gate.
    free: usize,
    nodes: usize,
}

impl Kills {
    /// As asked for. Proofs are those of the nodes in traffic.
    pub fn new(args: &RotationArgs) -> Self {
        let nodes = usize::from(args.nodes);
        let proofs = (nodes - args.away()) * usize::from(args.zones);
        let free = usize::from(args.processes) * usize::from(args.zones);
        Self { wanted: args.kills.into(), proofs, free, nodes }
    }

    // The kill with this number. Proofs that go through before it are fewer than the next one needs, also with those
    // that pass no gate.
    fn due(&self, number: usize, pid: u32) -> Option<Due> {
        let part = |percent: usize, of: usize| (of * percent).div_ceil(100);
        let gated = |percent: usize| part(percent, self.proofs).saturating_sub(self.free);
        let (count, at, limit) = match number {
            _ if number >= self.wanted => return None,
            0 => (Count::Proofs, part(20, self.proofs), gated(45)),
            1 => (Count::Proofs, part(70, self.proofs), gated(85)),
            _ => (Count::Orders, part(50, self.nodes), part(60, self.nodes)),
        };
        Some(Due { count, at, limit: limit.max(at), pid })
    }

    /// While officers still decide, nothing that is counted goes through.
    pub fn hold(&self, fleet: &Fleet, count: Count, number: usize) {
        if number < self.wanted {
            fleet.gate.arm(Some(Due { count, at: usize::MAX, limit: 0, pid: 0 }));
        }
    }

    /// Arms the kill with this number; without it everything goes through.
    pub fn arm(&self, fleet: &Fleet, manager: &Manager, number: usize) {
        fleet.gate.arm(self.due(number, manager.pid()));
    }

    /// After a kill: begins the manager again, counts, and arms the next one.
    pub async fn follow(
        &self,
        ids: &[CampaignId],
        fleet: &Fleet,
        people: &People,
        manager: &mut Manager,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let Some(fired) = fleet.gate.fired() else { return Ok(()) };
        let (number, pid) = (report.kills.len(), manager.pid());
        manager.reap()?;
        manager.again()?;
        let next = watch::look(people, ids).await?;
        let stage = watch::stage(&next);
        let proven = watch::counted(&next, Mark::Proven) as usize;
        let before = fired.count;
        let (after, of, hit) = match number {
            0 => (proven, self.proofs, stage == Stage::Staging && proven * 10 < self.proofs * 7),
            1 => (proven, self.proofs, stage == Stage::Staging && proven < self.proofs),
            _ => (fleet.ordered(), self.nodes, before < self.nodes && is_protecting(&next, fired.utc_ms)),
        };
        let due = NAMES.get(number).copied().unwrap_or_default();
        report.kills.push(Kill { due, pid, before, after, of, stage, hit: hit && after >= before });
        // The third waits for its order.
        if number == 0 {
            self.arm(fleet, manager, 1);
        } else {
            fleet.gate.arm(None);
        }
        Ok(())
    }

    /// Judges them.
    pub fn judge(&self, report: &mut Report) {
        if self.wanted == 0 {
            return;
        }
        let hit = report.kills.iter().filter(|kill| kill.hit).count();
        let found: Vec<String> = report
            .kills
            .iter()
            .map(|kill| format!("{}: {} of {}, then {}", kill.due, kill.before, kill.of, kill.after))
            .collect();
        let found = format!("{hit} of {} ({})", self.wanted, found.join("; "));
        report.check("every kill hit its phase", hit == self.wanted, found);
    }
}

// The order was out in every zone, and its moment had not come.
fn is_protecting(campaigns: &[Campaign], utc_ms: u64) -> bool {
    campaigns.iter().all(|campaign| campaign.protect_from.is_some_and(|from| utc_ms < from))
}
