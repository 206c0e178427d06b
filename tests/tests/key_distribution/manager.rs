//! A manager that is just enough to talk to: keys in the clear, everything in memory, gates left to the test.

use crate::common::{Centre, centre, evidence};
use gateway::node::{Answer, Transport};
use hostcmd::managed::possession;
use keylink::action::{ActionClass, Evidence, Grant};
use keylink::endpoint::Endpoint;
use keylink::envelope::{bytes_of, strict};
use keylink::label::Label;
use keylink::manager::{Link, Said, challenge_of, possession_holds};
use keylink::message::{
    Audience, CounterReceipt, Definition, Enrol, Enrolled, EnrolmentToken, GenerationTarget, Head, Hello,
    KeyKind, KeySetTarget, Mail, Manifest, PROTOCOL, Parcel, Possession, PossessionMethod, Pull, Receipt,
    ReceiptKind, RootKekConfirm, RootKekOffer, StatusBeat, Step, proof_holds,
};
use keylink::root_kek::{Ephemeral, Transcript, derive};
use keylink::wire::{Blob, Hex, U64};
use keylink::{CampaignId, Digest, Generation, KeySetId, NodeId, PublicKey, Signed, SoftSigner, TokenId};
use keymgr::house::{Authority, RingSigner};
use paytypes::soft::{Soft, SoftKey};
use paytypes::{CipherKind, ClearKey, now};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tr31::{BlockId, Header, Kbpk, Masking, OptionalBlocks, Policy, Version};

pub const SECRET: [u8; 32] = [0x77; 32];
pub const CAMPAIGN: CampaignId = CampaignId([9; 16]);

pub fn utc_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

#[derive(Default)]
pub struct Peer {
    pub link: Option<Link>,
    pub mail: Vec<Signed>,
    pub kek: Option<ClearKey>,
    agreeing: Option<(Ephemeral, Signed)>,
    csr: Vec<u8>,
    pub receipts: Vec<Receipt>,
    pub refused: Vec<keylink::message::Refused>,
    pub beats: Vec<StatusBeat>,
}

pub struct State {
    pub centre: Centre,
    pub peers: HashMap<NodeId, Peer>,
    pub approve_enrolment: bool,
    pub certify: Option<Certify>,
    pub authorities: Vec<PublicKey>,
    /// The manager does not answer.
    pub away: bool,
}

/// Issues a certificate for a request, or none.
pub type Certify = Box<dyn Fn(&[u8]) -> Option<Vec<u8>> + Send>;

#[derive(Clone)]
pub struct Manager(pub Arc<Mutex<State>>);

// By the authority that the root document names.
pub fn named(csr: &[u8], node: NodeId, at_ms: u64) -> Option<Vec<u8>> {
    let signer = RingSigner::here(SoftSigner::new(&[102; 32]));
    Authority::new(signer, utc_ms()).unwrap().certify(csr, &node.to_string(), at_ms, 397).ok()
}

pub fn approved(centre: &Centre, class: ActionClass, grants: &[Grant]) -> Evidence {
    evidence(centre, class, grants, &[1, 2])
}

impl Manager {
    pub fn new() -> Self {
        let state = State {
            centre: centre(),
            peers: HashMap::new(),
            approve_enrolment: true,
            certify: None,
            authorities: Vec::new(),
            away: false,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    pub fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }

    pub fn token(&self, url: &str) -> EnrolmentToken {
        self.with(|state| EnrolmentToken {
            kmc: state.centre.kmc,
            root: state.centre.root.hash(),
            url: url.to_owned(),
            authorities: state.authorities.clone(),
            token: TokenId([4; 16]),
            secret: Hex(SECRET),
            not_after: U64(utc_ms() + 3_600_000),
        })
    }

    /// Waits until a node has sent `count` receipts of a kind.
    pub async fn wait(&self, node: NodeId, kind: ReceiptKind, count: usize) {
        for _ in 0..2_000 {
            let found = self.with(|s| s.peers[&node].receipts.iter().filter(|r| r.kind == kind).count());
            if found >= count {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let seen = self.with(|s| {
            let peer = &s.peers[&node];
            (peer.receipts.iter().map(|r| r.kind).collect::<Vec<_>>(), peer.refused.clone())
        });
        panic!("no {kind:?} in 20 s: {seen:?}");
    }
}

/// A key set with the clear keys of its generations.
#[derive(Clone)]
pub struct Keys {
    pub definition: Definition,
    pub clear: Vec<Vec<u8>>,
}

impl Keys {
    pub fn key(&self, generation: u32) -> SoftKey {
        SoftKey::new(self.definition.shape.key_shape().kind, &self.clear[generation as usize - 1]).unwrap()
    }
}

impl State {
    pub fn peer(&mut self, node: NodeId) -> &mut Peer {
        self.peers.get_mut(&node).expect("enrolled")
    }

    pub fn offer_kek(&mut self, node: NodeId) {
        let evidence = approved(&self.centre, ActionClass::RootKek, &[Grant::RootKek { node, number: 1 }]);
        let own = Ephemeral::new(&mut [0x35; 66]).unwrap();
        let peer = self.peers.get_mut(&node).unwrap();
        let link = peer.link.as_mut().unwrap();
        let head = link.next_head(1, utc_ms() + 60_000);
        let public = Blob(own.public());
        let offer = RootKekOffer { head, number: 1, public, nonce: Hex([1; 32]), evidence };
        let signed = Signed::seal(&offer, &self.centre.manifest);
        link.sent(head.seq, &signed);
        peer.agreeing = Some((own, signed.clone()));
        peer.mail.push(signed);
    }

    /// A target with its block under the node's root KEK.
    pub fn target(&self, node: NodeId, keys: &Keys, generation: u32, step: Step) -> GenerationTarget {
        let clear = &keys.clear[generation as usize - 1];
        let kek = self.peers[&node].kek.as_ref().expect("KEK agreed");
        let label = Label {
            kmc: self.centre.kmc,
            key_set: keys.definition.key_set,
            generation: Generation(generation),
            node: Some(node),
        };
        let nonce = [generation as u8; 32];
        let mut random = |out: &mut [u8]| out.fill(0x5B);
        let (block, kcv, throw_away) = now(async {
            let kek = SoftKey::new(CipherKind::Aes, kek.expose()).unwrap();
            let kbpk = Kbpk::new(&Soft, &kek, Version::D).await.unwrap();
            let mut blocks = OptionalBlocks::none();
            blocks.push(BlockId::LB, label.to_string().as_bytes()).unwrap();
            let header = Header { blocks, ..Header::new(Version::D, keys.definition.attributes()) };
            let policy = Policy::X9_143_STRICT;
            let block = tr31::wrap(&Soft, &kbpk, &header, clear, Masking::Standard, &policy, &mut random)
                .await
                .unwrap();
            let key = keys.key(generation);
            let kcv = tr31::kcv(&Soft, &key).await.unwrap().hex6();
            let challenge = challenge_of(&label, node, CAMPAIGN, &nonce);
            let mut n = 3u8;
            let mut random = |out: &mut [u8]| {
                out.iter_mut().for_each(|o| {
                    n = n.wrapping_mul(5).wrapping_add(29);
                    *o = n;
                });
            };
            let throw_away = match keys.definition.kind {
                KeyKind::Zmk | KeyKind::Tmk => {
                    Some(possession::make_throw_away(&Soft, &key, &challenge, &mut random).await.unwrap().0)
                }
                _ => None,
            };
            (block, kcv, throw_away)
        })
        .unwrap();
        GenerationTarget {
            generation: Generation(generation),
            campaign: CAMPAIGN,
            step,
            kcv: String::from_utf8(kcv.to_vec()).unwrap(),
            block: Some(String::from_utf8(block).unwrap()),
            nonce: Some(Hex(nonce)),
            throw_away,
            protect_from: None,
            originator_until: None,
            recipient_until: None,
        }
    }

    /// Puts a manifest into the mailbox. Everything is approved that it may need.
    pub fn post(&mut self, node: NodeId, keys: &Keys, generations: Vec<GenerationTarget>) -> Signed {
        let key_set = keys.definition.key_set;
        let mut grants = Vec::new();
        for target in &generations {
            grants.push(Grant::Generation { campaign: CAMPAIGN, key_set, generation: target.generation });
        }
        let mut evidence = vec![
            approved(&self.centre, ActionClass::KeySet, &[Grant::KeySet(keys.definition.clone())]),
            approved(&self.centre, ActionClass::Rotate, &grants),
        ];
        if let keylink::message::Scope::Zone(zone) = keys.definition.scope {
            evidence.push(approved(&self.centre, ActionClass::Zone, &[Grant::JoinZone { zone, node }]));
        }
        let root = self.centre.root.hash();
        let peer = self.peers.get_mut(&node).unwrap();
        let link = peer.link.as_mut().unwrap();
        let manifest = Manifest {
            head: link.next_head(1, utc_ms() + 60_000),
            previous: link.previous(),
            resync: None,
            root,
            suspended: false,
            key_sets: vec![KeySetTarget {
                definition: keys.definition.clone(),
                suspended: false,
                generations,
            }],
            evidence,
            checkpoint: None,
        };
        let signed = Signed::seal(&manifest, &self.centre.manifest);
        link.sent(manifest.head.seq, &signed);
        peer.mail.push(signed.clone());
        signed
    }

    pub fn mail(&mut self, node: NodeId, taken: u64) -> Mail {
        let number = |s: &Signed| {
            serde_json::from_slice::<serde_json::Value>(&s.payload).unwrap()["head"]["seq"]
                .as_str()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        };
        let peer = self.peer(node);
        peer.mail.retain(|message| message.kind == "counter-receipt" || number(message) > taken);
        let messages = peer.mail.clone();
        peer.mail.retain(|message| message.kind != "counter-receipt");
        Mail { roots: vec![], messages }
    }

    pub fn receive(&mut self, node: NodeId, signed: &Signed) {
        let now_ms = utc_ms();
        let kmc = self.centre.kmc;
        let peer = self.peers.get_mut(&node).unwrap();
        let link = peer.link.as_mut().unwrap();
        match signed.kind.as_str() {
            "beat" => {
                link.beat(now_ms, signed).unwrap();
                return;
            }
            "pull" => {
                link.pull(now_ms, signed).unwrap();
                return;
            }
            _ => {}
        }
        let confirmed = match link.receive(now_ms, signed).unwrap() {
            Said::Receipt(receipt, hash) => {
                peer.receipts.push(*receipt);
                Some(hash)
            }
            Said::Duplicate(hash) => Some(hash),
            Said::Unbound(receipt, _) => panic!("answers nothing: {receipt:?}"),
            Said::Refused(refused) => {
                peer.refused.push(*refused);
                None
            }
            Said::Resync(_) => None,
            Said::Accept(accept, hash) => {
                let (own, offer) = peer.agreeing.take().expect("offered");
                let transcript =
                    Transcript { kmc, node, number: 1, offer: offer.hash(), node_public: &accept.public.0 };
                let agreed = derive(&own, &accept.public.0, &transcript).unwrap();
                assert_eq!(agreed.of_node, accept.confirm, "the node has derived the same");
                peer.kek = Some(agreed.kek);
                let head = link.next_head(1, now_ms + 60_000);
                let confirm = RootKekConfirm { head, accept: hash, confirm: agreed.of_manager };
                let signed = Signed::seal(&confirm, &self.centre.manifest);
                link.sent(head.seq, &signed);
                peer.mail.push(signed);
                None
            }
        };
        if let Some(receipt) = confirmed {
            let seq = link.last_receipt().unwrap().0;
            let head = Head {
                version: PROTOCOL,
                kmc,
                audience: Audience::Node(node),
                epoch: U64(1),
                seq,
                not_after: U64(now_ms + 60_000),
            };
            let counter = CounterReceipt { head, receipt, checkpoint: None };
            peer.mail.push(Signed::seal(&counter, &self.centre.manifest));
        }
    }

    fn enrol(&mut self, signed: &Signed) -> Option<Vec<u8>> {
        let claimed: Enrol = signed.peek().unwrap();
        let enrol: Enrol = signed.open(&claimed.key).unwrap();
        assert!(proof_holds(&SECRET, &enrol));
        let node = enrol.node();
        if !self.approve_enrolment {
            return None;
        }
        let peer = self.peers.entry(node).or_default();
        peer.link.get_or_insert_with(|| Link::new(self.centre.kmc, enrol.key));
        peer.csr.clone_from(&enrol.csr.0);
        let grants = [Grant::EnrolNode { node, csr: Digest::of(&enrol.csr.0) }];
        let certificate = match &self.certify {
            Some(certify) => certify(&enrol.csr.0),
            None => named(&enrol.csr.0, node, utc_ms()),
        };
        let enrolled = Enrolled {
            head: Head {
                version: PROTOCOL,
                kmc: self.centre.kmc,
                audience: Audience::Node(node),
                epoch: U64(1),
                seq: U64(0),
                not_after: U64(utc_ms() + 60_000),
            },
            roots: vec![self.centre.root.clone()],
            certificates: certificate.map(Blob).into_iter().collect(),
            evidence: approved(&self.centre, ActionClass::Enrol, &grants),
        };
        Some(Signed::seal(&enrolled, &self.centre.manifest).to_bytes())
    }

    /// One request. `None`: officers have to decide.
    pub fn serve(&mut self, endpoint: Endpoint, body: &[u8]) -> Option<Vec<u8>> {
        let now_ms = utc_ms();
        match endpoint {
            Endpoint::Enrol => return self.enrol(&Signed::parse(body).unwrap()),
            Endpoint::Hello => {
                let signed = Signed::parse(body).unwrap();
                let node = signed.peek::<Hello>().unwrap().node;
                self.peer(node).link.as_mut().unwrap().hello(now_ms, &signed).unwrap();
            }
            Endpoint::Pull => {
                let signed = Signed::parse(body).unwrap();
                let node = signed.peek::<Pull>().unwrap().node;
                let pull = self.peer(node).link.as_mut().unwrap().pull(now_ms, &signed).unwrap();
                return Some(bytes_of(&self.mail(node, pull.taken.1.0)));
            }
            Endpoint::Receipts => {
                let parcel: Parcel = strict(body).unwrap();
                for signed in &parcel.messages {
                    let value: serde_json::Value = serde_json::from_slice(&signed.payload).unwrap();
                    let node: NodeId = value["node"].as_str().unwrap().parse().unwrap();
                    self.receive(node, signed);
                }
            }
            Endpoint::Beat => {
                let signed = Signed::parse(body).unwrap();
                let node = signed.peek::<StatusBeat>().unwrap().node;
                let peer = self.peer(node);
                peer.beats.extend(peer.link.as_mut().unwrap().beat(now_ms, &signed).unwrap());
            }
            Endpoint::Renew => panic!("no certificate here ends soon"),
        }
        Some(Vec::new())
    }
}

/// What the proof of a key must be.
pub fn proved(proof: &Possession, kmc: keylink::KmcId, node: NodeId, keys: &Keys, generation: u32) -> bool {
    let label =
        Label { kmc, key_set: keys.definition.key_set, generation: Generation(generation), node: Some(node) };
    let nonce = [generation as u8; 32];
    let challenge = challenge_of(&label, node, CAMPAIGN, &nonce);
    let answer = now(possession::pin_block(&Soft, &keys.key(generation), &challenge)).unwrap().unwrap();
    possession_holds(proof, PossessionMethod::PinBlock, &nonce, &answer)
}

impl Transport for Manager {
    fn post(&self, endpoint: Endpoint, body: Vec<u8>) -> gateway::node::Sending<'_> {
        let manager = self.clone();
        Box::pin(async move {
            if manager.with(|state| state.away) {
                return Err(gateway::node::TransportError::Unreachable("away".to_owned()));
            }
            // A long poll, as short as a test wants it.
            let wait = if endpoint == Endpoint::Pull { 20 } else { 0 };
            tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
            Ok(manager.with(|state| state.serve(endpoint, &body)).map_or(Answer::Waiting, Answer::Taken))
        })
    }
}

pub fn key_set(id: u8) -> KeySetId {
    KeySetId([id; 16])
}
