//! The node side's own backend: a thread that unwraps delivered keys, proves them and wraps them under the LMK, for any
//! number of nodes. Cores are not disturbed by it.

use crate::BackendFactory;
use hostcmd::managed::{Delivery, DeliveryFault, ManagedKind, install, run_alone, seal_kek, wrap_throw_away};
use hsm::{Hsm, KeyToken, LmkId, LmkInfo};
use keylink::message::{KeyKind, Possession, PossessionMethod, Reason};
use keylink::node::{Agreed, InstallOrder, Installed, KekOrder, KekRecord};
use keylink::root_kek::{Ephemeral, Transcript, derive};
use keylink::wire::Blob;
use keylink::{KmcId, NodeId};
use paytypes::ClearKey;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// Under which LMKs things go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstallerLmks {
    /// Keys of traffic.
    pub traffic: LmkId,
    /// Root KEKs: an AES key-block LMK.
    pub kek: LmkId,
}

enum Job {
    Install(Vec<InstallOrder>, oneshot::Sender<Vec<Result<Installed, Reason>>>),
    Agree(KekOrder, KmcId, NodeId, oneshot::Sender<Result<Agreed, Reason>>),
    // In a box: the queue frees its memory without wiping it.
    Form(u32, Box<ClearKey>, [u8; 32], oneshot::Sender<Result<(KekRecord, String), Reason>>),
}

/// The thread, from outside. Clones share it.
#[derive(Clone)]
pub struct Installer(mpsc::Sender<Job>);

impl std::fmt::Debug for Installer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Installer")
    }
}

impl Installer {
    /// Starts the thread; `None` when the backend has not both LMKs, or the second is no AES key-block LMK.
    pub fn start(backend: Arc<BackendFactory>, lmks: InstallerLmks) -> Option<Self> {
        let (jobs, queue) = mpsc::channel();
        let (ready, is_ready) = mpsc::channel();
        let work = move || {
            let mut bench = match Bench::new(backend.as_ref(), lmks) {
                Some(bench) => bench,
                None => return,
            };
            if ready.send(()).is_err() {
                return;
            }
            for job in queue {
                // Who asked for it hears that it was not done. What the backend was at is not known: another one goes on.
                if catch_unwind(AssertUnwindSafe(|| bench.run(job))).is_err() {
                    tracing::error!("the backend for delivered keys has panicked and is made anew");
                    let Some(another) = Bench::new(backend.as_ref(), lmks) else { return };
                    bench = another;
                }
            }
        };
        std::thread::Builder::new().name("node-keys".to_owned()).spawn(work).ok()?;
        is_ready.recv().ok()?;
        Some(Self(jobs))
    }

    /// Installs keys; an answer for each, in order.
    pub async fn install(&self, orders: Vec<InstallOrder>) -> Vec<Result<Installed, Reason>> {
        let count = orders.len();
        let (done, answer) = oneshot::channel();
        let sent = self.0.send(Job::Install(orders, done)).is_ok();
        let busy = || vec![Err(Reason::Busy); count];
        if sent { answer.await.unwrap_or_else(|_| busy()) } else { busy() }
    }

    /// Agrees a root KEK.
    pub async fn agree(&self, order: KekOrder, kmc: KmcId, node: NodeId) -> Result<Agreed, Reason> {
        let (done, answer) = oneshot::channel();
        self.0.send(Job::Agree(order, kmc, node, done)).map_err(|_| Reason::Busy)?;
        answer.await.map_err(|_| Reason::Busy)?
    }

    /// Takes a root KEK that was formed from components in this process; gives it under the LMK, and the block of a
    /// throw-away key under it, with the challenge as its label. A key in a box leaves no copy where it passes.
    pub async fn form(
        &self,
        number: u32,
        kek: impl Into<Box<ClearKey>>,
        challenge: [u8; 32],
    ) -> Result<(KekRecord, String), Reason> {
        let (done, answer) = oneshot::channel();
        self.0.send(Job::Form(number, kek.into(), challenge, done)).map_err(|_| Reason::Busy)?;
        answer.await.map_err(|_| Reason::Busy)?
    }
}

struct Bench {
    hsm: Hsm,
    backend: Box<dyn hsm::Backend>,
    traffic: LmkInfo,
    kek: LmkId,
}

impl Bench {
    fn new(backend: &BackendFactory, lmks: InstallerLmks) -> Option<Self> {
        let backend = backend();
        let find = |id| backend.lmks().iter().find(|lmk| lmk.id == id).cloned();
        let kek = find(lmks.kek).filter(|lmk| lmk.scheme == hsm::LmkScheme::AesBlock)?;
        let traffic = find(lmks.traffic)?;
        Some(Self { hsm: Hsm::new(), backend, traffic, kek: kek.id })
    }

    // Whoever asked and has gone meanwhile asks again.
    fn run(&mut self, job: Job) {
        match job {
            Job::Install(orders, done) => {
                let _ = done.send(orders.iter().map(|order| self.install(order)).collect());
            }
            Job::Agree(order, kmc, node, done) => {
                let _ = done.send(self.agree(&order, kmc, node));
            }
            Job::Form(number, clear, challenge, done) => {
                let _ = done.send(self.form(number, &clear, &challenge));
            }
        }
    }

    fn install(&mut self, order: &InstallOrder) -> Result<Installed, Reason> {
        let kek = KeyToken::read(order.kek.as_bytes()).ok_or(Reason::NoKek)?;
        let label = order.label.to_string();
        let kind = kind(order.definition.kind);
        let delivery = Delivery {
            kek: &kek,
            kek_lmk: self.kek,
            lmk: &self.traffic,
            block: order.block.as_bytes(),
            label: &label,
            kind,
            attributes: order.definition.attributes(),
            shape: order.definition.shape.key_shape(),
            kcv: &order.kcv,
            challenge: &order.challenge,
            throw_away: order.throw_away.as_ref().map(String::as_bytes),
            kcv_only: order.kcv_only,
            version_b: false,
        };
        let work = install(&self.hsm, &delivery);
        let delivered = run_alone(&self.hsm, self.backend.as_mut(), work).ok_or(Reason::Busy)?;
        let delivered = delivered.map_err(reason)?;
        let mut token = Vec::new();
        delivered.token.write(&mut token);
        let method = match (&delivered.proof, kind) {
            (None, _) => PossessionMethod::KcvOnly,
            (Some(_), ManagedKind::Zpk | ManagedKind::Tpk) => PossessionMethod::PinBlock,
            (Some(_), _) => PossessionMethod::ThrowAwayKey,
        };
        let answer = delivered.proof.unwrap_or_else(|| delivered.kcv.clone());
        Ok(Installed {
            token: String::from_utf8(token).map_err(|_| Reason::Busy)?,
            kcv: delivered.kcv,
            possession: Possession { method, nonce: order.nonce, answer },
        })
    }

    fn agree(&mut self, order: &KekOrder, kmc: KmcId, node: NodeId) -> Result<Agreed, Reason> {
        let mut random = [0; 66];
        getrandom::fill(&mut random).map_err(|_| Reason::Busy)?;
        let own = Ephemeral::new(&mut random).map_err(|_| Reason::Busy)?;
        let public = own.public();
        let transcript =
            Transcript { kmc, node, number: order.number, offer: order.offer, node_public: &public };
        let agreement = derive(&own, &order.public.0, &transcript).map_err(|_| Reason::Evidence)?;
        let kek = self.seal_kek(order.number, &agreement.kek)?;
        let (confirm, expected) = (agreement.of_node, agreement.of_manager);
        Ok(Agreed { public: Blob(public), confirm, expected, kek })
    }

    fn form(
        &mut self,
        number: u32,
        clear: &ClearKey,
        challenge: &[u8; 32],
    ) -> Result<(KekRecord, String), Reason> {
        if clear.len() != keylink::root_kek::KEK_LENGTH {
            return Err(Reason::Strength);
        }
        let mut pool = Zeroizing::new([0; 96]);
        getrandom::fill(pool.as_mut()).map_err(|_| Reason::Busy)?;
        let work = wrap_throw_away(&self.hsm, clear, challenge, pool.as_ref());
        let proof = run_alone(&self.hsm, self.backend.as_mut(), work).ok_or(Reason::Busy)?.map_err(reason)?;
        Ok((self.seal_kek(number, clear)?, proof))
    }

    fn seal_kek(&mut self, number: u32, clear: &ClearKey) -> Result<KekRecord, Reason> {
        let work = seal_kek(&self.hsm, self.kek, clear);
        let (token, kcv) =
            run_alone(&self.hsm, self.backend.as_mut(), work).ok_or(Reason::Busy)?.map_err(reason)?;
        let mut text = Vec::new();
        token.write(&mut text);
        Ok(KekRecord { number, token: String::from_utf8(text).map_err(|_| Reason::Busy)?, kcv })
    }
}

const fn kind(kind: KeyKind) -> ManagedKind {
    match kind {
        KeyKind::Zmk => ManagedKind::Zmk,
        KeyKind::Zpk => ManagedKind::Zpk,
        KeyKind::Tmk => ManagedKind::Tmk,
        KeyKind::Tpk => ManagedKind::Tpk,
    }
}

const fn reason(fault: DeliveryFault) -> Reason {
    match fault {
        DeliveryFault::Kek => Reason::NoKek,
        DeliveryFault::Block => Reason::Block,
        DeliveryFault::Label => Reason::Label,
        DeliveryFault::Attributes | DeliveryFault::Lmk => Reason::Attributes,
        DeliveryFault::CheckValue => Reason::CheckValue,
        DeliveryFault::Strength => Reason::Strength,
        DeliveryFault::WeakKey => Reason::WeakKey,
        DeliveryFault::Challenge => Reason::Challenge,
        DeliveryFault::Backend => Reason::Busy,
    }
}
