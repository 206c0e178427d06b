//! The thread of a core, and what others may say to it.

use super::away::Away;
use super::connection::Connection;
use super::stream::Stream;
use super::tally::Tally;
use super::{BackendFactory, Batch, Core, Crypto, READ};
use crate::accept::Guest;
use crate::admission::Reason;
use crate::clock;
use crate::frame::{FrameRules, LENGTH_FIELD};
use crate::gateway::{Facts, Health};
use crate::metrics::Metrics;
use crate::stats::Stats;
use crate::worker::Events;
use crate::{Limits, StartError};
use hostcmd::{Authorised, Engine, KeyTable, Port, Unit};
use hsm::Hsm;
use std::cell::{Cell, RefCell};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local, unconstrained};
use tokio_rustls::TlsAcceptor;

/// Between the begin of a drain and the end of the first connection: the event loop turns a few times, so
/// that what the kernel has received is seen.
const SETTLE: Duration = Duration::from_millis(20);
const LOOK: Duration = Duration::from_millis(5);

/// What all cores are made of.
#[derive(Clone)]
pub(crate) struct CoreSetup {
    pub(crate) limits: Limits,
    pub(crate) header_length: usize,
    pub(crate) echo: Option<usize>,
    pub(crate) unit: Unit,
    pub(crate) stats: Stats,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) health: Health,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) crypto: CryptoSetup,
}

/// Where the engine is to be.
#[derive(Clone)]
pub(crate) enum CryptoSetup {
    /// On the core's own thread.
    Here(Arc<BackendFactory>),
    /// In workers: what they say of their backend, whom to tell that one is lost, and when one is hung.
    Away(Facts, Events, Duration),
}

/// A connection on its way to a core.
pub(crate) struct Handed {
    pub(crate) stream: TcpStream,
    pub(crate) listener: usize,
    pub(crate) guest: Guest,
}

enum Message {
    Open(Arc<[Port]>, Arc<[Arc<str>]>, Arc<[bool]>),
    Connection(Handed),
    Authorised(Authorised),
    Tables(Arc<[[u8; 16]]>),
    Keys(Arc<KeyTable>, UnboundedSender<()>),
    Worker(usize, UnixStream),
    Drain,
}

/// Hands connections and changes to a core.
#[derive(Clone)]
pub(crate) struct Sender(UnboundedSender<Message>);

impl Sender {
    /// A core that has ended drops the connection, which closes it.
    pub(crate) fn hand(&self, handed: Handed) {
        self.tell(Message::Connection(handed));
    }

    pub(crate) fn set_authorised(&self, authorised: Authorised) {
        self.tell(Message::Authorised(authorised));
    }

    pub(crate) fn set_tables(&self, tables: &Arc<[[u8; 16]]>) {
        self.tell(Message::Tables(Arc::clone(tables)));
    }

    /// `done` hears of it when the core uses the table.
    pub(crate) fn set_keys(&self, table: &Arc<KeyTable>, done: &UnboundedSender<()>) {
        self.tell(Message::Keys(Arc::clone(table), done.clone()));
    }

    /// Gives the socket of a worker.
    pub(crate) fn give_worker(&self, place: usize, stream: UnixStream) {
        self.tell(Message::Worker(place, stream));
    }

    fn tell(&self, message: Message) {
        // A core that has ended is reported by `Health`, and by `join`.
        let _ = self.0.send(message);
    }
}

/// A core, from outside.
pub(crate) struct CoreHandle {
    sender: Sender,
    facts: Facts,
    thread: JoinHandle<()>,
}

impl CoreHandle {
    pub(crate) fn facts(&self) -> Facts {
        self.facts.clone()
    }

    pub(crate) fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Tells the ports, their names and which of them speak TLS; before the first connection.
    pub(crate) fn open(&self, ports: &Arc<[Port]>, names: &Arc<[Arc<str>]>, tls: &Arc<[bool]>) {
        self.sender.tell(Message::Open(Arc::clone(ports), Arc::clone(names), Arc::clone(tls)));
    }

    pub(crate) fn drain(&self) {
        self.sender.tell(Message::Drain);
    }

    /// Waits for the end; false when it came by a panic.
    pub(crate) fn join(self) -> bool {
        drop(self.sender);
        self.thread.join().is_ok()
    }
}

/// Starts all cores and waits until each has its backend.
pub(crate) fn start(cores: usize, setup: &CoreSetup) -> Result<Vec<CoreHandle>, StartError> {
    let starting: Result<Vec<_>, _> = (0..cores).map(|index| spawn(index, setup.clone())).collect();
    let ready = |(sender, thread, facts): (Sender, JoinHandle<()>, mpsc::Receiver<Facts>)| {
        let facts = facts.recv().map_err(|_| StartError::Backend)?;
        Ok(CoreHandle { sender, facts, thread })
    };
    starting?.into_iter().map(ready).collect()
}

type Starting = (Sender, JoinHandle<()>, mpsc::Receiver<Facts>);

fn spawn(index: usize, setup: CoreSetup) -> Result<Starting, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(StartError::Thread)?;
    let (sender, messages) = unbounded_channel();
    let (facts, facts_out) = mpsc::channel();
    let run = move || {
        let lost = LostOnPanic(setup.health.clone());
        let tls = setup.tls.clone().map(TlsAcceptor::from);
        let (core, known) = Core::new(index, setup);
        let core = Rc::new(core);
        // Nobody waits for it when the start was given up meanwhile.
        let _ = facts.send(known);
        LocalSet::new().block_on(&runtime, serve(core, messages, tls));
        drop(lost);
    };
    let thread = std::thread::Builder::new().name(format!("core-{index}")).spawn(run);
    Ok((Sender(sender), thread.map_err(StartError::Thread)?, facts_out))
}

struct LostOnPanic(Health);

impl Drop for LostOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.core_lost();
        }
    }
}

impl Core {
    fn new(index: usize, setup: CoreSetup) -> (Self, Facts) {
        let now = clock::unix_seconds();
        let unit = Unit { started: clock::moment(now), now: clock::moment(now), ..setup.unit };
        let longest = setup.limits.frame_longest.min(gateway_config::FRAME_LONGEST);
        let (crypto, facts) = match setup.crypto {
            CryptoSetup::Here(factory) => {
                let backend = factory();
                let facts = Facts { lmks: backend.lmks().to_vec(), class: backend.class() };
                let queue = Hsm::with_cache(setup.limits.key_cache);
                let engine = Engine::with_queue(backend, unit.clone(), queue);
                (Crypto::Here(RefCell::new(engine), factory), facts)
            }
            CryptoSetup::Away(facts, events, deadline) => {
                (Crypto::Away(Box::new(Away::new(events, deadline, unit.clone()))), facts)
            }
        };
        let buffer = READ.saturating_add(longest).saturating_add(LENGTH_FIELD);
        let core = Self {
            limits: setup.limits,
            rules: FrameRules { header_length: setup.header_length, longest },
            echo: setup.echo,
            tally: RefCell::new(Tally::new(Arc::clone(&setup.metrics))),
            metrics: setup.metrics,
            stats: setup.stats,
            index,
            started: Instant::now(),
            crypto,
            unit,
            ports: RefCell::default(),
            keys: RefCell::default(),
            batch: RefCell::new(Batch::default()),
            held: RefCell::default(),
            buffer: RefCell::new(vec![0; buffer]),
            connections: RefCell::default(),
            flusher: RefCell::default(),
            now_ms: Cell::new(0),
            second: Cell::new(now),
            busy: Cell::default(),
            closing: Cell::new(false),
            lost: Cell::new(false),
            health: setup.health,
        };
        (core, facts)
    }
}

async fn serve(core: Rc<Core>, mut messages: UnboundedReceiver<Message>, tls: Option<TlsAcceptor>) {
    spawn_local(unconstrained(flush_for_ever(Rc::clone(&core))));
    spawn_local(tick_for_ever(Rc::clone(&core)));
    let mut secure: Arc<[bool]> = Arc::new([]);
    let mut drain_until = None;
    loop {
        let message = match drain_until {
            None => messages.recv().await,
            Some(until) => {
                if core.connections.borrow().is_empty() || Instant::now() >= until {
                    return;
                }
                tokio::time::sleep(LOOK).await;
                messages.try_recv().ok().or(Some(Message::Drain))
            }
        };
        match message {
            Some(Message::Open(ports, names, tls)) => {
                *core.ports.borrow_mut() = ports.iter().cloned().map(Rc::new).collect();
                core.tally.borrow_mut().open(&names);
                secure = tls;
            }
            Some(Message::Connection(handed)) => {
                let secure = secure.get(handed.listener).copied().unwrap_or_default();
                spawn_local(welcome(Rc::clone(&core), handed, tls.clone().filter(|_| secure)));
            }
            Some(Message::Authorised(authorised)) => core.update_unit(|unit| unit.authorised = authorised),
            Some(Message::Tables(tables)) => {
                core.update_unit(|unit| unit.decimalisation_tables = tables.to_vec());
            }
            Some(Message::Keys(table, done)) => {
                if core.set_keys(table) {
                    // Nobody waits for it when the node side has ended.
                    let _ = done.send(());
                } else {
                    tracing::error!("crypto workers are not handed key tables: nothing is switched");
                }
            }
            Some(Message::Worker(place, stream)) => core.attach(place, stream),
            Some(Message::Drain) | None => {
                if drain_until.is_none() {
                    drain_until = Instant::now().checked_add(core.limits.drain);
                    tokio::time::sleep(SETTLE).await;
                    core.close_all();
                }
            }
        }
    }
}

async fn flush_for_ever(core: Rc<Core>) {
    core::future::poll_fn(|cx| {
        if core.flusher.borrow().is_none() {
            *core.flusher.borrow_mut() = Some(cx.waker().clone());
        }
        core.flush();
        if core.holds() {
            // Another turn, but behind all that the kernel has meanwhile: its first poll asks for that.
            let _ = std::pin::pin!(tokio::task::yield_now()).poll(cx);
        }
        core::task::Poll::<()>::Pending
    })
    .await;
}

async fn tick_for_ever(core: Rc<Core>) {
    let tick = core.limits.tick();
    let mut ticks = tokio::time::interval(tick);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut looked, mut counted, mut spared) = (Instant::now(), Instant::now(), false);
    loop {
        ticks.tick().await;
        // A core that was held up reads what came meanwhile before it judges anybody, but not twice in
        // succession: limits hold under overload too.
        spared = !spared && looked.elapsed() >= tick.saturating_mul(3);
        if !spared {
            core.check_all();
        }
        core.check_workers();
        looked = Instant::now();
        let period = counted.elapsed();
        if period.as_secs() > 0 {
            counted = Instant::now();
            core.count_load(period);
        }
    }
}

// Takes the connection out of the core's list also when its task ends by a panic.
struct Listed {
    core: Rc<Core>,
    connection: Rc<Connection>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.core.forget(&self.connection);
        self.connection.kill();
    }
}

async fn welcome(core: Rc<Core>, handed: Handed, tls: Option<TlsAcceptor>) {
    let Handed { stream, listener, guest } = handed;
    let Ok(stream) = tokio::net::TcpStream::from_std(stream) else {
        core.metrics.rejected(Reason::Descriptors);
        return;
    };
    let stream = match tls {
        None => Some(Stream::Plain(stream)),
        // Boxed, so that a plain connection's task has no room for a handshake.
        Some(tls) => Box::pin(shake_hands(&core, tls, stream, listener)).await,
    };
    let Some(stream) = stream else { return };
    let connection = Rc::new(Connection::new(stream, listener, guest, core.read_clock()));
    let listed = Listed { core, connection };
    listed.core.enlist(&listed.connection);
    listed.connection.serve(&listed.core).await;
}

async fn shake_hands(
    core: &Core,
    tls: TlsAcceptor,
    stream: tokio::net::TcpStream,
    listener: usize,
) -> Option<Stream> {
    match tokio::time::timeout(core.limits.first_byte, tls.accept(stream)).await {
        Ok(Ok(stream)) => Some(Stream::Tls(Box::new(stream))),
        _ => {
            core.metrics.rejected(Reason::Handshake);
            tracing::debug!(listener = core.tally.borrow().name(listener), "TLS handshake failed");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, F>(_: fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    // An idle plain connection may take 2 KiB (security.md section 3, row 10); the event loop's own part,
    // a registration and a task header, is a few hundred bytes.
    #[test]
    fn an_idle_connection_is_small() {
        let (connection, task) = (size_of::<Connection>(), size_of_future(welcome));
        assert!(connection + task < 1024, "{connection} + {task}");
    }
}
