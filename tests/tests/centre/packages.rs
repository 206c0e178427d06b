//! A node that no network reaches: everything goes in files, both ways, and whoever carries them is nobody.

use crate::house::Centre;
use crate::nodes::{self, Asking};
use crate::rotation::{enrolled, rotate, rotated, wishes};
use gateway::node::{Identity, Nowhere, carry};
use keylink::envelope::{bytes_of, strict};
use keylink::message::{Audience, Head, Mail, PROTOCOL, Package, Parcel, Receipt, Resync};
use keylink::wire::{Hex, U64};
use keylink::{NodeId, Signed};
use keymgr::api::{HolderView, NodeView};
use keymgr::client::{ClientProblem, RotateWishes, plan_rotation, plan_zone};
use keymgr::core::campaign::{Campaign, Phase};
use keymgr::core::node::Progress;
use keymgr::service::{Fate, Verdict};
use serde_json::json;

/// The place of a node without a network.
pub struct Remote {
    pub identity: Identity,
    asking: Asking,
}

impl Remote {
    pub async fn of(asking: Asking) -> Self {
        Self { identity: asking.once().await.unwrap(), asking }
    }

    /// What `payhsm node carry` does: opens the node, takes the file, writes the other one.
    pub async fn carry(&self, package: &[u8]) -> Option<Vec<u8>> {
        let mut side = nodes::side(&self.identity, &self.asking.store, Box::new(Nowhere)).await;
        side.settle().await.unwrap();
        carry(&mut side, package).await.unwrap()
    }
}

pub async fn fetch(centre: &Centre, node: NodeId) -> Vec<u8> {
    let made: Package<Mail> =
        centre.operator.post(&format!("/nodes/{node}/package"), &json!({})).await.unwrap();
    bytes_of(&made)
}

pub async fn hand_in(centre: &Centre, node: NodeId, file: &[u8]) -> Result<Vec<Verdict>, ClientProblem> {
    let package: Package<Parcel> = strict(file).unwrap();
    centre.operator.post(&format!("/nodes/{node}/parcel"), &package).await
}

// Whether there is a proof of the last receipt depends on when the log was signed last.
fn kinds(package: &[u8]) -> Vec<String> {
    let package: Package<Mail> = strict(package).unwrap();
    let kinds = package.content.messages.into_iter().map(|signed| signed.kind);
    kinds.filter(|kind| kind != "inclusion-proof").collect()
}

fn fates(verdicts: &[Verdict]) -> Vec<(&str, Fate)> {
    verdicts.iter().map(|one| (one.kind.as_str(), one.fate)).collect()
}

// There and back: what the manager gave, what the node wrote, what became of it. All of it counts.
async fn round(centre: &Centre, remote: &Remote) -> (Vec<u8>, Vec<u8>, Vec<Verdict>) {
    let node = remote.identity.node();
    let there = fetch(centre, node).await;
    let back = remote.carry(&there).await.unwrap();
    let verdicts = hand_in(centre, node, &back).await.unwrap();
    assert!(verdicts.iter().all(|one| one.fate == Fate::Taken), "{verdicts:?}");
    (there, back, verdicts)
}

fn receipts(file: &[u8]) -> Vec<keylink::message::ReceiptKind> {
    let package: Package<Parcel> = strict(file).unwrap();
    package.content.messages.iter().filter_map(|one| one.peek::<Receipt>().ok()).map(|r| r.kind).collect()
}

async fn traffic(centre: &Centre, node: NodeId, to: &str) {
    let path = format!("/nodes/{node}/traffic");
    let _: serde_json::Value = centre.operator.post(&path, &json!({ "to": to })).await.unwrap();
}

async fn holds(centre: &Centre, node: NodeId) -> Vec<(u32, Progress)> {
    let all: Vec<HolderView> = centre.operator.all(&format!("/holders?node={node}")).await.unwrap();
    all.iter().map(|one| (one.generation.0, one.progress)).collect()
}

async fn view(centre: &Centre, node: NodeId) -> NodeView {
    centre.operator.get(&format!("/nodes/{node}")).await.unwrap()
}

async fn begun(centre: &Centre) -> keylink::CampaignId {
    let plan = plan_rotation(&centre.operator, "east", &RotateWishes::default()).await.unwrap();
    centre.ask(std::slice::from_ref(&plan.act)).await;
    plan.targets[0].campaign
}

async fn phase(centre: &Centre, id: keylink::CampaignId) -> Phase {
    let campaign: Campaign = centre.operator.get(&format!("/campaigns/{id}")).await.unwrap();
    campaign.phase
}

/// A zone of a node that asks by itself and one that is carried to; both are members and have no key yet.
async fn zone(centre: &Centre) -> (tokio::task::JoinHandle<()>, Remote) {
    let mut asking = enrolled(centre, &["n1", "n2"]).await;
    let (_, acts) = plan_zone(&centre.operator, &wishes("east", &asking)).await.unwrap();
    centre.ask(&acts).await;
    let remote = Remote::of(asking.pop().unwrap()).await;
    let identity = asking[0].once().await.unwrap();
    (nodes::start(&identity, &asking[0].store).await, remote)
}

#[tokio::test]
async fn a_whole_rotation_by_files() {
    use keylink::message::ReceiptKind::{Accepting, Activated, KekInstalled, Proven, Retired};
    let mut centre = Centre::begin().await;
    let (side, remote) = zone(&centre).await;
    let node = remote.identity.node();
    traffic(&centre, node, "offline").await;
    assert_eq!(rotate(&centre, "east").await.phase, Phase::CompletedWithExceptions);
    assert_eq!((view(&centre, node).await.seen_utc_ms, holds(&centre, node).await), (0, vec![]));

    // The root KEK takes two rounds: offer and acceptance, confirmation and receipt. Until then no key is under it.
    let (there, _, verdicts) = round(&centre, &remote).await;
    assert_eq!(kinds(&there), ["root-kek-offer"]);
    let said = [("root-kek-accept", Fate::Taken), ("beat", Fate::Taken), ("pull", Fate::Taken)];
    assert_eq!(fates(&verdicts), said);
    assert!(view(&centre, node).await.root_kek.is_none());
    let (there, back, _) = round(&centre, &remote).await;
    assert_eq!((kinds(&there), receipts(&back)), (vec!["root-kek-confirm".to_owned()], vec![KekInstalled]));
    assert!(view(&centre, node).await.root_kek.is_some());
    // What it missed comes with one manifest.
    let (there, back, _) = round(&centre, &remote).await;
    assert_eq!(kinds(&there), ["manifest", "counter-receipt"]);
    assert_eq!(receipts(&back), [Proven, Accepting, Activated]);
    assert_eq!(holds(&centre, node).await, [(1, Progress::Activated)]);
    traffic(&centre, node, "in_traffic").await;

    // The gate waits for the carrier at every step.
    let campaign = begun(&centre).await;
    for (step, phases) in [
        (Proven, [Phase::Staging, Phase::Generating]),
        (Accepting, [Phase::Accepting, Phase::Accepting]),
        (Activated, [Phase::Protecting, Phase::Protecting]),
        (Retired, [Phase::Retiring, Phase::Overlap]),
    ] {
        // The order is in the package; a file that holds nothing new is none that somebody must carry.
        let back = loop {
            let there = fetch(&centre, node).await;
            if kinds(&there).contains(&"manifest".to_owned()) {
                assert!(phases.contains(&phase(&centre, campaign).await));
                let back = remote.carry(&there).await.unwrap();
                // The switch has a time of its own, which may not have come yet.
                if receipts(&back).contains(&step) {
                    break back;
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        };
        let verdicts = hand_in(&centre, node, &back).await.unwrap();
        assert!(verdicts.iter().all(|one| one.fate == Fate::Taken), "{verdicts:?}");
    }
    assert_eq!(rotated(&centre.operator, campaign).await.phase, Phase::Completed);
    assert_eq!(holds(&centre, node).await[..2], [(1, Progress::Retired), (2, Progress::Activated)]);

    // Away for two rotations: one file brings what is needed, and nothing is left to confirm afterwards.
    traffic(&centre, node, "offline").await;
    assert_eq!(rotate(&centre, "east").await.phase, Phase::CompletedWithExceptions);
    let (there, back, _) = round(&centre, &remote).await;
    assert_eq!(kinds(&there), ["manifest", "counter-receipt"]);
    assert_eq!(receipts(&back), [Proven, Accepting, Activated]);
    assert_eq!(holds(&centre, node).await[2], (3, Progress::Activated));
    traffic(&centre, node, "in_traffic").await;

    // Who carried is in the log, and all of it can be verified.
    let export = centre.auditor.bytes("/audit/export").await.unwrap();
    assert!(String::from_utf8_lossy(&export).contains("node.package"));
    assert!(String::from_utf8_lossy(&export).contains("node.parcel"));
    centre.end().await;
    side.abort();
    let options = keymgr::audit::Options { signatures: true, ..Default::default() };
    let report = keymgr::audit::verify_export(&mut export.as_slice(), options).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[tokio::test]
async fn what_is_not_the_nodes_own_or_was_brought_before_changes_nothing() {
    let mut centre = Centre::begin().await;
    let (side, remote) = zone(&centre).await;
    let node = remote.identity.node();
    traffic(&centre, node, "offline").await;
    assert_eq!(rotate(&centre, "east").await.phase, Phase::CompletedWithExceptions);
    let (offer, accepted, _) = round(&centre, &remote).await;
    // The same acceptance brought again while its confirmation waits.
    let verdicts = hand_in(&centre, node, &accepted).await.unwrap();
    assert!(verdicts.iter().all(|one| one.fate == Fate::Again), "{verdicts:?}");
    let (_, installed, _) = round(&centre, &remote).await;
    let (keys, told, _) = round(&centre, &remote).await;
    let standing = async || {
        let view = view(&centre, node).await;
        (holds(&centre, node).await, view.quarantined, view.root_kek.map(|kek| kek.kcv), view.has_answered)
    };
    let before = standing().await;
    assert_eq!((&before.0[..], &before.1), (&[(1, Progress::Activated)][..], &None));

    // Brought again, in any order.
    for file in [&told, &accepted, &installed, &told] {
        let verdicts = hand_in(&centre, node, file).await.unwrap();
        assert!(verdicts.iter().all(|one| one.fate == Fate::Again), "{verdicts:?}");
    }
    // Under the key of a request that was answered: the same answer, and no other parcel.
    let line = format!("POST /api/v1/nodes/{node}/parcel");
    let head = "content-type: application/json\r\nidempotency-key: parcel\r\n";
    let send =
        async |body: &[u8]| crate::raw::ask(&centre.address, &centre.operator, &line, head, body).await;
    let (first, again, other) = (send(&told).await, send(&told).await, send(&accepted).await);
    assert_eq!((first.status, &first.body), (200, &again.body));
    assert_eq!((other.status, other.code().as_str()), (409, "key_reused"));
    // Changed on the way: a signature, a payload, and a body that says another thing under the old signature.
    let package: Package<Parcel> = strict(&told).unwrap();
    let with = |messages: Vec<Signed>| bytes_of(&Package::new(node, Parcel { messages }));
    let refused = async |messages: Vec<Signed>| {
        let verdicts = hand_in(&centre, node, &with(messages)).await.unwrap();
        verdicts.into_iter().map(|one| (one.fate, one.code.unwrap_or_default())).collect::<Vec<_>>()
    };
    let no = |code: &str| (Fate::Refused, code.to_owned());
    for message in &package.content.messages {
        let mut signature = message.clone();
        signature.signature[9] ^= 1;
        let mut payload = message.clone();
        let text = String::from_utf8(payload.payload).unwrap();
        payload.payload = text.replacen("\"seq\":\"", "\"seq\":\"9", 1).into_bytes();
        let mut cut = message.clone();
        cut.payload.pop();
        let found = refused(vec![signature, payload, cut]).await;
        assert_eq!(found, [no("message_signature"), no("message_signature"), no("message")]);
    }
    // Of a kind that no node sends, by a stranger in the node's name, and of another node.
    let own = nodes::signer_of(&remote.identity);
    let stranger = keylink::SoftSigner::new(&[7; 32]);
    let receipt: Receipt = package.content.messages[0].peek().unwrap();
    let next = |node| Receipt {
        head: Head { seq: U64(receipt.head.seq.0 + 40), ..receipt.head },
        node,
        ..receipt.clone()
    };
    let offered = strict::<Package<Mail>>(&offer).unwrap().content.messages.remove(0);
    let found = refused(vec![
        offered,
        Signed::seal(&next(node), &stranger),
        Signed::seal(&next(NodeId::of(&keylink::Sign::key(&stranger))), &stranger),
        Signed::seal(&next(node), &own),
    ])
    .await;
    assert_eq!(found, [no("message"), no("message_signature"), no("other_node"), no("receipt_gap")]);
    // A wish for the full state from before: the node has said later things since, so it has lost nothing.
    let resync = |utc_ms: u64| Resync {
        head: Head {
            version: PROTOCOL,
            kmc: remote.identity.kmc,
            audience: Audience::Kmc,
            epoch: U64(1),
            seq: U64(1),
            not_after: U64(keymgr::client::utc_ms() + 60_000),
        },
        node,
        nonce: Hex([5; 16]),
        manifest: None,
        root: 1,
        held: vec![],
        utc_ms: U64(utc_ms),
    };
    let old = Signed::seal(&resync(keymgr::client::utc_ms() - 3_600_000), &own);
    assert_eq!(refused(vec![old]).await, [(Fate::Again, String::new())]);
    let mut expired = resync(keymgr::client::utc_ms());
    expired.head.not_after = U64(1);
    assert_eq!(refused(vec![Signed::seal(&expired, &own)]).await, [no("message_head")]);
    let mut foreign = resync(keymgr::client::utc_ms());
    foreign.head.kmc = keylink::KmcId([9; 32]);
    assert_eq!(refused(vec![Signed::seal(&foreign, &own)]).await, [no("message_head")]);
    // Whole packages: another node's, of another format, too many messages, too long, of nobody.
    let code = |answer: Result<Vec<Verdict>, ClientProblem>| match answer.unwrap_err() {
        ClientProblem::Refused(problem) => problem.code,
        other => panic!("{other}"),
    };
    let others: Vec<NodeView> = centre.operator.all("/nodes").await.unwrap();
    let other = others.iter().find(|one| one.id != node).unwrap().id;
    assert_eq!(code(hand_in(&centre, other, &told).await), "other_node");
    assert_eq!(code(hand_in(&centre, NodeId([1; 32]), &with(vec![])).await), "other_node");
    let path = format!("/nodes/{node}/parcel");
    let mut odd = json!(package);
    odd["format"] = json!("kmcpkg.v9");
    assert_eq!(code(centre.operator.post(&path, &odd).await), "malformed");
    let many = with(vec![package.content.messages[0].clone(); 641]);
    assert_eq!(code(hand_in(&centre, node, &many).await), "too_large");
    odd["content"] = json!("0".repeat(2 << 20));
    assert_eq!(code(centre.operator.post(&path, &odd).await), "too_large");
    let none = NodeId([3; 32]);
    let missing: Result<Package<Mail>, _> =
        centre.operator.post(&format!("/nodes/{none}/package"), &json!({})).await;
    assert!(matches!(missing, Err(ClientProblem::Refused(problem)) if problem.code == "unknown"));
    assert_eq!(standing().await, before);

    // The node: a package of another node is none, an old one is answered and changes nothing, and the manager hears.
    let strange = Package::new(other, Mail::default()).to_bytes();
    assert_eq!(remote.carry(&strange).await, None);
    let mut changed: Package<Mail> = strict(&keys).unwrap();
    // Under the old signature; with another signature the same manifest has the stored receipts for an answer.
    let manifest = &mut changed.content.messages[0];
    let text = String::from_utf8(manifest.payload.clone()).unwrap();
    manifest.payload = text.replacen("\"seq\":\"", "\"seq\":\"9", 1).into_bytes();
    let state = |remote: &Remote| remote.asking.store.load(node).unwrap().unwrap();
    let kept = state(&remote);
    for (file, reason) in [(&offer, "Replayed"), (&changed.to_bytes(), "Signature")] {
        let back = remote.carry(file).await.unwrap();
        let verdicts = hand_in(&centre, node, &back).await.unwrap();
        let named = |one: &Verdict| {
            one.kind == "refused" && one.detail.as_ref().is_some_and(|text| text.contains(reason))
        };
        assert!(verdicts.iter().any(named), "{reason}: {verdicts:?}");
    }
    assert_eq!(state(&remote), kept);
    assert_eq!(standing().await, before);
    // A node that is not served is not carried to.
    let path = format!("/nodes/{node}/quarantine");
    let _: serde_json::Value = centre.operator.post(&path, &json!({ "reason": "a test" })).await.unwrap();
    let path = format!("/nodes/{node}/package");
    let never: Result<Package<Mail>, _> = centre.operator.post(&path, &json!({})).await;
    assert!(matches!(never, Err(ClientProblem::Refused(problem)) if problem.code == "suspended"));
    centre.end().await;
    side.abort();
}

// The private key of an offer does not outlive the process: the acceptance is refused by name and the next package has
// another offer. A confirmation that nobody has taken yet is there again.
#[tokio::test]
async fn a_root_kek_by_files_through_restarts() {
    let mut centre = Centre::begin().await;
    let (side, remote) = zone(&centre).await;
    let node = remote.identity.node();
    let offer = fetch(&centre, node).await;
    // As often as it is fetched, the offer on its way stays the one that is open.
    let first = |file: &[u8]| strict::<Package<Mail>>(file).unwrap().content.messages.remove(0);
    assert_eq!(first(&fetch(&centre, node).await), first(&offer));
    let accepted = remote.carry(&offer).await.unwrap();
    centre.end().await;
    centre.again().await;
    let verdicts = hand_in(&centre, node, &accepted).await.unwrap();
    assert_eq!((verdicts[0].fate, verdicts[0].code.as_deref()), (Fate::Refused, Some("offer")));
    let (there, _, _) = round(&centre, &remote).await;
    assert!(kinds(&there).contains(&"root-kek-offer".to_owned()));
    assert!(view(&centre, node).await.next_root_kek.is_some());
    centre.end().await;
    centre.again().await;
    let (there, back, _) = round(&centre, &remote).await;
    assert_eq!(kinds(&there)[0], "root-kek-confirm");
    assert_eq!(receipts(&back)[0], keylink::message::ReceiptKind::KekInstalled);
    assert!(!kinds(&fetch(&centre, node).await).contains(&"root-kek-confirm".to_owned()));
    centre.end().await;
    side.abort();
}
