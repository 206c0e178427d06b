//! A gateway from start to end: cores, listeners, admin port, drain.

use crate::accept::{self, Door};
use crate::admin;
use crate::admission::Admission;
use crate::core::{self, BackendFactory, CoreHandle, CoreSetup, CryptoSetup, Sender};
use crate::metrics::Metrics;
use crate::stats::Stats;
use crate::tls;
use crate::worker::{self, Supervisor, Workers};
use crate::{Config, Listener, StartError};
use hostcmd::{Authorised, KeyTable, Port, Role, Settings, Unit};
use hsm::{BackendClass, LmkId, LmkInfo};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use tokio::sync::mpsc::UnboundedSender;

/// Whether the gateway can serve, as `/readyz` tells it.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<HealthFlags>);

#[derive(Debug, Default)]
struct HealthFlags {
    listening: AtomicBool,
    draining: AtomicBool,
    backend_down: AtomicBool,
    core_lost: AtomicBool,
}

impl Health {
    /// True when commands are served.
    pub fn ready(&self) -> bool {
        self.obstacle().is_none()
    }

    /// Why not.
    pub fn obstacle(&self) -> Option<&'static str> {
        let flags = &self.0;
        [
            (flags.core_lost.load(Relaxed), "a worker thread ended"),
            (flags.backend_down.load(Relaxed), "backend not ready"),
            (flags.draining.load(Relaxed), "draining"),
            (!flags.listening.load(Relaxed), "starting"),
        ]
        .into_iter()
        .find_map(|(stands, why)| stands.then_some(why))
    }

    /// For whoever watches the backend.
    pub fn set_backend_ready(&self, ready: bool) {
        self.0.backend_down.store(!ready, Relaxed);
    }

    pub(crate) fn core_lost(&self) {
        self.0.core_lost.store(true, Relaxed);
    }
}

/// Starts gateways.
#[derive(Debug)]
pub struct Gateway;

impl Gateway {
    /// Takes all ports and serves. `backend` is called once on every worker thread.
    pub fn start(config: Config, backend: Arc<BackendFactory>) -> Result<Running, StartError> {
        let cores = match config.cores {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        Self::open(config, cores, CryptoSetup::Here(backend), None)
    }

    /// Starts the workers, takes all ports and serves. Workers are dealt to cores, so that there are no more
    /// cores than workers; one core, which only frames and judges, when none are named.
    pub fn start_with_workers(config: Config, workers: &Workers) -> Result<Running, StartError> {
        let starting = worker::start(workers)?;
        let facts = starting.facts().ok_or(StartError::Backend)?;
        let cores = config.cores.clamp(1, workers.count.max(1));
        let crypto = CryptoSetup::Away(facts, starting.events(), workers.deadline);
        Self::open(config, cores, crypto, Some(starting))
    }

    fn open(
        config: Config,
        cores: usize,
        crypto: CryptoSetup,
        workers: Option<worker::Starting>,
    ) -> Result<Running, StartError> {
        let (stats, health) = (Stats::new(cores), Health::default());
        let metrics = Metrics::new(stats.clone());
        let tls = config.tls.as_ref().filter(|_| config.listeners.iter().any(|l| l.spec.tls));
        let tls = tls.map(tls::load).transpose()?;
        let setup = CoreSetup {
            limits: config.limits,
            header_length: config.header_length,
            echo: config.echo,
            unit: Unit {
                authorised: config.authorised,
                sockets: u32::try_from(config.limits.per_address.min(config.limits.connections))
                    .unwrap_or(u32::MAX),
                ..config.unit.clone()
            },
            stats,
            metrics: Arc::clone(&metrics),
            health: health.clone(),
            tls,
            crypto,
        };
        let cores = core::start(cores, &setup)?;
        let facts = cores.first().map(CoreHandle::facts).ok_or(StartError::Backend)?;
        let (sockets, listeners) = bind_all(crate::check_listeners(&config, &facts.lmks)?)?;
        let ports: Arc<[Port]> = listeners.iter().map(|l| port(&config, l)).collect();
        let names: Arc<[Arc<str>]> = listeners.iter().map(|l| l.name.as_str().into()).collect();
        let secure: Arc<[bool]> = listeners.iter().map(|l| l.tls).collect();
        cores.iter().for_each(|core| core.open(&ports, &names, &secure));

        let admission = Admission::new(config.limits.connections, config.limits.per_address);
        let doors = sockets.into_iter().zip(&listeners).enumerate().map(|(index, (socket, listener))| Door {
            index,
            socket,
            gauge: metrics.connections(&listener.name),
            allow: config.listeners.get(listener.config).map(|l| l.allow.clone()).unwrap_or_default(),
        });
        let senders: Vec<Sender> = cores.iter().map(CoreHandle::sender).collect();
        let supervisor = workers
            .map(|workers| {
                let senders = senders.clone();
                let hand = move |place: usize, stream| {
                    let core = place.checked_rem(senders.len()).and_then(|at| senders.get(at));
                    if let Some(core) = core {
                        core.give_worker(place, stream);
                    }
                };
                workers.watch(Box::new(hand), health.clone(), Arc::clone(&metrics))
            })
            .transpose()
            .map_err(StartError::Thread)?;
        let admin =
            config.admin.map(|at| admin::start(at, Arc::clone(&metrics), health.clone())).transpose()?;
        let acceptor = accept::start(doors.collect(), admission, Arc::clone(&metrics), senders)?;
        health.0.listening.store(true, Relaxed);
        for listener in &listeners {
            let (lmk, role, tls) = (listener.lmk, listener.role.name(), listener.tls);
            tracing::info!(listen = %listener.address, %lmk, role, tls, "listening");
        }
        let acceptor = Some(acceptor);
        Ok(Running { listeners, facts, health, cores, acceptor, admin, supervisor })
    }
}

fn port(config: &Config, listener: &Listener) -> Port {
    let own = config.listeners.get(listener.config);
    Port {
        lmk: listener.lmk,
        header_length: config.header_length,
        ebcdic: own.is_some_and(|l| l.ebcdic),
        role: listener.role,
        settings: own.map_or(Settings::STRICT, |l| l.settings),
        generation_trailer: own.is_some_and(|l| l.generation_trailer),
    }
}

fn bind_all(mut listeners: Vec<Listener>) -> Result<(Vec<TcpListener>, Vec<Listener>), StartError> {
    let mut sockets = Vec::with_capacity(listeners.len());
    for listener in &mut listeners {
        let socket = accept::bind(listener.address)
            .map_err(|source| StartError::Bind { address: listener.address, source })?;
        if let Ok(taken) = socket.local_addr() {
            listener.name = listener.name.replace(&listener.address.to_string(), &taken.to_string());
            listener.address = taken;
        }
        sockets.push(socket);
    }
    Ok((sockets, listeners))
}

/// What the backend says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) lmks: Vec<LmkInfo>,
    pub(crate) class: BackendClass,
}

/// What may be changed on a gateway that serves: on every core before its next batch. Works from any thread,
/// and does nothing once the gateway has ended.
#[derive(Clone)]
pub struct Switches(Arc<[Sender]>);

impl std::fmt::Debug for Switches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Switches({} cores)", self.0.len())
    }
}

impl Switches {
    /// Changes what is authorised.
    pub fn set_authorised(&self, authorised: Authorised) {
        self.0.iter().for_each(|core| core.set_authorised(authorised));
    }

    /// Number of cores, for [`hostcmd::key_table::Uses`].
    pub fn cores(&self) -> usize {
        self.0.len()
    }

    /// Hands a key table to every core; `done` hears once from each that uses it.
    pub fn set_key_table(&self, table: &Arc<KeyTable>, done: &UnboundedSender<()>) {
        self.0.iter().for_each(|core| core.set_keys(table, done));
    }

    /// Replaces the clear decimalisation tables that strict listeners take.
    pub fn set_decimalisation_tables(&self, tables: &[[u8; 16]]) {
        let tables: Arc<[[u8; 16]]> = tables.into();
        self.0.iter().for_each(|core| core.set_tables(&tables));
    }
}

/// A gateway that serves. Dropping it drains it.
pub struct Running {
    listeners: Vec<Listener>,
    facts: Facts,
    health: Health,
    cores: Vec<CoreHandle>,
    acceptor: Option<(accept::Stop, JoinHandle<()>)>,
    admin: Option<admin::Admin>,
    supervisor: Option<Supervisor>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

impl Running {
    /// The ports that were taken.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Address of the first port of an LMK.
    pub fn address(&self, lmk: LmkId) -> Option<SocketAddr> {
        self.listeners.iter().find(|l| l.lmk == lmk).map(|l| l.address)
    }

    /// Address of the admin port.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(admin::Admin::address)
    }

    /// The LMKs that the backend has loaded.
    pub fn lmks(&self) -> &[LmkInfo] {
        &self.facts.lmks
    }

    /// What the backend may claim.
    pub const fn backend_class(&self) -> BackendClass {
        self.facts.class
    }

    /// True when a listener has every role: only under a test LMK.
    pub fn any_role(&self) -> bool {
        self.listeners.iter().any(|l| l.role == Role::Any)
    }

    /// Whether it can serve.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Changes what is authorised, on every core before its next batch.
    pub fn set_authorised(&self, authorised: Authorised) {
        self.switches().set_authorised(authorised);
    }

    /// What may be changed while it serves, for other threads.
    pub fn switches(&self) -> Switches {
        Switches(self.cores.iter().map(CoreHandle::sender).collect())
    }

    /// Begins the drain: nothing is accepted any more, what was received is answered, connections end.
    pub fn shutdown(&mut self) {
        if !self.health.0.draining.swap(true, Relaxed) {
            tracing::info!("draining");
            if let Some((stop, _)) = &self.acceptor {
                stop.stop();
            }
            self.cores.iter().for_each(CoreHandle::drain);
        }
    }

    /// Waits until the drain is over, which [`Running::shutdown`] begins. False when a worker thread had
    /// ended before its time.
    pub fn wait(mut self) -> bool {
        self.end()
    }

    fn end(&mut self) -> bool {
        self.shutdown();
        let mut sound = true;
        if let Some((_, thread)) = self.acceptor.take() {
            sound &= thread.join().is_ok();
        }
        for core in self.cores.drain(..) {
            sound &= core.join();
        }
        drop(self.admin.take());
        drop(self.supervisor.take());
        sound
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}
