//! Officers, an operator, nodes, zones, and the manager that dies under them.

use crate::child::{self, PASSPHRASE, Plain};
use crate::journal::{Journal, Told, Written, lost};
use crate::nodes::{Asking, installer};
use crate::tail::Tail;
use gateway::node::{
    HttpsTransport, Identity, NodeSide, Nowhere, Pace, Parts, Renewal, SideHandle, Store as NodeStore,
    SystemClock, Transport, run,
};
use keylink::message::{EnrolmentToken, KeyKind, Overlap, Shape};
use keylink::node::{About, Rules};
use keylink::root::Recovery;
use keylink::succession::CentreKey;
use keymgr::api::SuccessorView;
use keymgr::audit::{Head, Options, Report, verify_store};
use keymgr::channel::ListenerKey;
use keymgr::client::{
    Client, ClientProblem, ManagerAddress, RotateWishes, ZoneWishes, plan_rotation, plan_zone,
};
use keymgr::core::action::Act;
use keymgr::core::campaign::{Campaign, Mark, Phase};
use keymgr::core::node::{BackendClass, NewNode, Zone};
use keymgr::core::people::Role;
use keymgr::house::{Beginning, Genesis, House, Limits, Settings};
use keymgr::person::{Home, PersonRequest};
use keymgr::server::GENESIS;
use keymgr::store::{Location, Store};
use serde_json::{Value, json};
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const NODES: [&str; 2] = ["n1", "n2"];
/// A rotation takes two seconds and more, since that is the shortest overlap: of so many zones, some are always at work.
const ZONES: [&str; 8] = ["east", "home", "isles", "north", "polar", "south", "upper", "west"];

pub struct World {
    folder: tempfile::TempDir,
    location: Location,
    officers: Vec<Client>,
    operator: Client,
    journal: Arc<Mutex<Journal>>,
    // How much of the journal was found in the store.
    checked: usize,
    tail: Tail,
    // The nodes' sides end with their centre.
    sides: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.sides.get_mut().unwrap().iter().for_each(JoinHandle::abort);
    }
}

fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

impl World {
    /// A centre with zones whose nodes hold their first keys.
    pub async fn begin(store: Option<String>) -> Self {
        Self::begin_in(tempfile::tempdir().unwrap(), store, false).await
    }

    /// The same with keys in sealed files, as they are wherever one of them is changed.
    pub async fn begin_sealed() -> Self {
        Self::begin_in(tempfile::tempdir().unwrap(), None, true).await
    }

    async fn begin_in(folder: tempfile::TempDir, store: Option<String>, sealed: bool) -> Self {
        let world = Self::found(folder, store, sealed);
        let mut manager = child::start(world.folder.path(), "").await;
        world.enrol().await;
        let ended = Instant::now() + Duration::from_secs(120);
        world.step().await.unwrap();
        // Nobody waits for a node that is not in traffic, so a zone may be done before its nodes are.
        for node in NODES {
            while !world.in_traffic(node).await {
                assert!(Instant::now() < ended, "the first keys are not there in time");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        manager.kill().unwrap();
        manager.wait().unwrap();
        world
    }

    fn found(folder: tempfile::TempDir, store: Option<String>, sealed: bool) -> Self {
        let names = ["Ada", "Ben", "Cleo", "Otto"];
        let make = |name: &&str| Home::at(folder.path().join(name)).create(name, b"twelve or more").unwrap();
        let identities: Vec<_> = names.iter().map(make).collect();
        let role = |at| if at < 3 { Role::SecurityOfficer } else { Role::Operator };
        let persons = identities.iter().enumerate();
        let persons: Vec<_> = persons.map(|(at, one)| (PersonRequest::of(one), [role(at)].into())).collect();
        let settings = Settings {
            name: "killed centre".to_owned(),
            store: store.clone().unwrap_or_else(|| "store.db".to_owned()),
            listen: free_address(),
            link: free_address(),
            names: vec!["127.0.0.1".to_owned()],
            live: false,
            limits: Limits::default(),
        };
        let utc_ms = keymgr::client::utc_ms();
        let house = House::at(folder.path().join("kmc"));
        let keys = if sealed {
            house.create(&settings, PASSPHRASE).unwrap()
        } else {
            std::fs::create_dir(folder.path().join("kmc")).unwrap();
            let channel = ListenerKey::generate().unwrap().der().to_vec();
            let plain = Plain { signing: [[0x31; 32], [0x32; 32], [0x33; 32]], channel };
            plain.write(folder.path());
            plain.keys(&house)
        };
        let mut genesis = Genesis::draft(&Beginning {
            name: &settings.name,
            manifest: keys.ring.first(CentreKey::Manifest),
            checkpoint: keys.ring.first(CentreKey::Checkpoint),
            transport: keys.ring.first(CentreKey::Transport),
            persons: &persons,
            recovery: Recovery::default(),
            utc_ms,
        })
        .unwrap();
        identities.iter().take(3).for_each(|officer| genesis.sign(officer).unwrap());
        house.write(GENESIS, &genesis.to_bytes()).unwrap();
        house.write("kmc.toml", toml_of(&settings).as_bytes()).unwrap();
        let address = ManagerAddress {
            url: format!("https://{}", settings.listen),
            key: keys.channel.digest().unwrap(),
        };
        let mut officers: Vec<Client> =
            identities.into_iter().map(|identity| Client::new(&address, identity).unwrap()).collect();
        let operator = officers.pop().unwrap();
        let location = match store {
            Some(url) => Location::Postgres(url),
            None => Location::Sqlite(folder.path().join("kmc").join("store.db")),
        };
        let (journal, tail, sides) = (Arc::default(), Tail::default(), Mutex::default());
        Self { folder, location, officers, operator, journal, checked: 0, tail, sides }
    }

    pub fn name(&self) -> &'static str {
        if matches!(self.location, Location::Sqlite(_)) { "sqlite" } else { "postgresql" }
    }

    pub fn journal(&self) -> String {
        self.journal.lock().unwrap().to_string()
    }

    async fn enrol(&self) {
        let body = json!({ "count": NODES.len() });
        let tokens: Vec<EnrolmentToken> = self.operator.post("/enrolment-tokens", &body).await.unwrap();
        let mut asking = Vec::new();
        for (token, name) in tokens.iter().zip(NODES) {
            asking.push(Asking::ask(token, name, self.folder.path()).await);
        }
        let waiting: Vec<Value> = self.operator.all("/enrolments").await.unwrap();
        let word = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
        let list = waiting.iter().map(|one| NewNode {
            key: word(one, "key").parse().unwrap(),
            csr: word(one, "csr").parse().unwrap(),
            name: word(one, "name"),
            class: BackendClass::C,
        });
        self.operator.propose(&Act::EnrolNodes(list.collect())).await.unwrap();
        for zone in ZONES {
            let wishes = ZoneWishes {
                alias: zone.to_owned(),
                nodes: asking.iter().map(|one| one.enrolment.fingerprints().0).collect(),
                live: false,
                kind: KeyKind::Zpk,
                shape: Shape::Tdes2,
                base: None,
                overlap: Overlap::Time,
                overlap_ms: Some(2_000),
                lead_ms: Some(50),
                exportable: false,
            };
            let (_, acts) = plan_zone(&self.operator, &wishes).await.unwrap();
            for act in acts {
                self.operator.propose(&act).await.unwrap();
            }
            self.approve().await.unwrap();
        }
        for one in asking {
            let identity = one.once().await.unwrap();
            self.node(&identity, one.store.clone()).await;
        }
    }

    // The node side of `serve`, for as long as this test lasts.
    async fn node(&self, identity: &Identity, store: NodeStore) {
        let parts = Parts {
            store,
            installer: installer(),
            publish: Box::new(Nowhere),
            clock: Arc::new(SystemClock::new().unwrap()),
            about: About { software: "test".into(), backend_class: "C".into() },
            ready: Arc::new(|| true),
            stored: None,
        };
        let mut side = NodeSide::start(identity, parts, Rules::default()).await.unwrap();
        let https = HttpsTransport::new(&identity.url, &identity.tls()).unwrap();
        let path = self.folder.path().join(format!("{}.json", identity.node()));
        identity.save(&path).unwrap();
        let shown = https.clone();
        side.renew_by(Renewal::new(identity.clone(), &path, move |tls| shown.identify(tls)).unwrap());
        let transport: Arc<dyn Transport> =
            Arc::new(Written { node: identity.node(), https, journal: Arc::clone(&self.journal) });
        let (handle, requests) = SideHandle::new();
        let pace = Pace { retry_longest: Duration::from_millis(60), ..Pace::default() };
        let side = tokio::spawn(async move {
            let _handle = handle;
            run(side, Some(transport), requests, pace, std::future::pending()).await.unwrap();
        });
        self.sides.lock().unwrap().push(side);
    }

    // Whether it has the keys for that.
    async fn in_traffic(&self, name: &str) -> bool {
        let nodes: Vec<Value> = self.operator.all("/nodes").await.unwrap();
        let node = nodes.iter().find(|node| node["name"] == name).unwrap()["id"].as_str().unwrap().to_owned();
        let to = json!({ "to": "in_traffic" });
        match self.operator.post::<Value>(&format!("/nodes/{node}/traffic"), &to).await {
            Err(ClientProblem::Refused(why)) if why.code == "not_ready" => false,
            other => other.map(|_| true).unwrap(),
        }
    }

    async fn campaigns(&self) -> Result<Vec<Campaign>, ClientProblem> {
        let campaigns: Vec<Campaign> = self.operator.all("/campaigns").await?;
        campaigns.iter().for_each(|campaign| self.journal.lock().unwrap().saw(campaign));
        Ok(campaigns)
    }

    fn told(&self, told: Told) {
        self.journal.lock().unwrap().told.push(told);
    }

    // Whatever waits is approved by two.
    async fn approve(&self) -> Result<(), ClientProblem> {
        for officer in &self.officers[..2] {
            let me = officer.me().await?.person;
            for view in officer.pending().await? {
                if view.action.approvals.iter().all(|given| given.person != me) {
                    officer.approve(&view).await?;
                    self.told(Told::Approved(view.action.id, me));
                }
            }
        }
        Ok(())
    }

    // A zone at rest is rotated.
    async fn step(&self) -> Result<(), ClientProblem> {
        self.approve().await?;
        let campaigns = self.campaigns().await?;
        let zones: Vec<Zone> = self.operator.all("/zones").await?;
        for zone in zones {
            if campaigns.iter().any(|campaign| campaign.zone == zone.id && campaign.phase.is_live()) {
                continue;
            }
            let plan = plan_rotation(&self.operator, &zone.alias, &RotateWishes::default()).await?;
            let proposed = self.operator.propose(&plan.act).await?;
            self.told(Told::Proposed(proposed.action, proposed.hash));
            self.approve().await?;
        }
        Ok(())
    }

    /// A manager that is to die at a place. True when it did.
    pub async fn until_killed(&mut self, failpoint: &str, longest: Duration) -> bool {
        let mut manager = child::start(self.folder.path(), failpoint).await;
        let began = Instant::now();
        loop {
            if let Some(status) = manager.try_wait().unwrap() {
                assert_eq!(status.signal(), Some(9), "{failpoint}: it ended by itself: {status}");
                return true;
            }
            if began.elapsed() > longest {
                manager.kill().unwrap();
                manager.wait().unwrap();
                return false;
            }
            // A call that is cut off has told nothing.
            let _ = tokio::time::timeout(Duration::from_secs(1), self.step()).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    // Asks for another key in the place of one, unless that is asked for already; true once it signs alone.
    async fn change(&self, which: &str, old: &Value) -> Result<bool, ClientProblem> {
        let keys: Vec<Value> = self.operator.get("/signing-keys").await?;
        let own = keys.iter().find(|key| key["key"] == which).unwrap();
        if own["public"] != *old {
            return Ok(own["change"].is_null());
        }
        let waiting = self.operator.pending().await?;
        if own["change"].is_null() && waiting.is_empty() {
            let path = format!("/signing-keys/{which}/successor");
            let seen: SuccessorView = self.operator.post(&path, &json!({})).await?;
            let proposed = self.operator.propose(&seen.act).await?;
            self.told(Told::Proposed(proposed.action, proposed.hash));
        }
        self.approve().await?;
        Ok(false)
    }

    /// A key is changed by managers that die at these places, then by one that lives. Gives how often they died there.
    pub async fn change_through(&mut self, which: &str, places: &[&str]) -> usize {
        let mut manager = child::start(self.folder.path(), "").await;
        let keys: Vec<Value> = self.operator.get("/signing-keys").await.unwrap();
        let old = keys.iter().find(|key| key["key"] == which).unwrap()["public"].clone();
        let (mut died, mut places) = (0, places.iter());
        manager.kill().unwrap();
        manager.wait().unwrap();
        let until = Instant::now() + Duration::from_secs(420);
        loop {
            let place = places.next().map_or(String::new(), |place| format!("{place}:1"));
            let mut manager = child::start(self.folder.path(), &place).await;
            let longest = Duration::from_secs(if place.is_empty() { 240 } else { 15 });
            let began = Instant::now();
            let ended = loop {
                if let Some(status) = manager.try_wait().unwrap() {
                    assert_eq!(status.signal(), Some(9), "{place}: it ended by itself: {status}");
                    died += 1;
                    break false;
                }
                let step = tokio::time::timeout(Duration::from_secs(2), self.change(which, &old)).await;
                if matches!(step, Ok(Ok(true))) && place.is_empty() && self.key_files() == 3 {
                    break true;
                }
                if began.elapsed() > longest {
                    break false;
                }
                assert!(Instant::now() < until, "the change of the {which} key does not end: {step:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            };
            let _ = manager.kill();
            manager.wait().unwrap();
            self.check(ended).await;
            if ended {
                return died;
            }
        }
    }

    // Sealed keys that sign: those of the centre, without that of its listeners and the secret of tokens.
    fn key_files(&self) -> usize {
        let names = std::fs::read_dir(self.folder.path().join("kmc")).unwrap().flatten();
        let names = names.map(|file| file.file_name().to_string_lossy().into_owned());
        let of =
            |name: &String| ["manifest", "checkpoint", "transport"].iter().any(|key| name.starts_with(key));
        names.filter(|name| name.ends_with(".pem") && of(name)).count()
    }

    /// The journal against the store, as the dead manager left it.
    pub async fn check(&mut self, whole: bool) {
        let (told, phases, heads) = {
            let journal = self.journal.lock().unwrap();
            let from = if whole { 0 } else { self.checked };
            (journal.told[from..].to_vec(), journal.phases.clone(), newest(&journal))
        };
        self.checked = self.journal.lock().unwrap().told.len();
        let (location, tail) = (self.location.clone(), self.tail);
        let (lost, tail, report) = tokio::task::spawn_blocking(move || {
            let mut store = Store::read(&location).unwrap();
            let lost = lost(&mut store, &told, &phases);
            let tail = tail.verify(&mut store);
            (lost, tail, whole.then(|| judged(&mut store, heads, false)))
        })
        .await
        .unwrap();
        self.tail = tail;
        assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
        if let Some(report) = report {
            assert_sound(&report);
        }
    }

    /// A manager that lives: every rotation comes to its end, and the log holds.
    pub async fn settle(&mut self) {
        let mut manager: Child = child::start(self.folder.path(), "").await;
        let until = Instant::now() + Duration::from_secs(120);
        let campaigns = loop {
            let _ = self.approve().await;
            let campaigns = self.campaigns().await.unwrap();
            if campaigns.iter().all(|campaign| !campaign.phase.is_live()) {
                break campaigns;
            }
            assert!(Instant::now() < until, "{:?}", campaigns.iter().find(|c| c.phase.is_live()));
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let count = u32::try_from(NODES.len()).unwrap();
        for campaign in &campaigns {
            assert_eq!(campaign.phase, Phase::Completed, "{campaign:?}");
            for mark in [Mark::Proven, Mark::Accepting, Mark::Activated] {
                assert_eq!(campaign.counts.of(mark), count, "{campaign:?}");
            }
        }
        // No generation was made twice or left out.
        let mut numbers: Vec<_> = campaigns.iter().map(|c| (c.zone, c.new_generation().0)).collect();
        numbers.sort();
        let (mut zone, mut last) = (None, 0);
        for (of, number) in numbers {
            last = if zone == Some(of) { last + 1 } else { 1 };
            zone = Some(of);
            assert_eq!(number, last, "generations of {of}");
        }
        manager.kill().unwrap();
        manager.wait().unwrap();
        self.check(true).await;
        let (location, heads) = (self.location.clone(), newest(&self.journal.lock().unwrap()));
        let report =
            tokio::task::spawn_blocking(move || judged(&mut Store::read(&location).unwrap(), heads, true));
        assert_sound(&report.await.unwrap());
    }

    /// What durability rests on, as a writing session has it.
    pub async fn settings(&self) -> Vec<(String, String)> {
        let location = self.location.clone();
        tokio::task::spawn_blocking(move || Store::lead(&location).unwrap().settings().unwrap())
            .await
            .unwrap()
    }
}

// The newest checkpoints that nodes were shown.
fn newest(journal: &Journal) -> Vec<Head> {
    let notes = journal.heads.iter().rev().take(3);
    notes.map(|(size, note)| Head::parse(&format!("node at {size}"), note.as_bytes()).unwrap()).collect()
}

fn judged(store: &mut Store, heads: Vec<Head>, signatures: bool) -> (Report, usize) {
    let wanted = heads.len();
    (verify_store(store, Options { heads, signatures, ..Options::default() }).unwrap(), wanted)
}

fn assert_sound((report, heads): &(Report, usize)) {
    // The end of the log that no checkpoint covers is the next manager's to take over.
    let other = report.findings.iter().find(|finding| finding.kind != "uncovered");
    assert!(other.is_none(), "{other:?}");
    assert_eq!(report.heads, *heads as u64, "a checkpoint that a node was shown does not stand");
}

fn toml_of(settings: &Settings) -> String {
    let text = |value: &str| format!("{value:?}");
    format!(
        "name = {}\nstore = {}\nlisten = {}\nlink = {}\nnames = [\"127.0.0.1\"]\nlive = false\n",
        text(&settings.name),
        text(&settings.store),
        text(&settings.listen),
        text(&settings.link)
    )
}
