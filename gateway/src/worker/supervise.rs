//! The supervisor: starts workers one after the other, hands their sockets to cores, and starts another one
//! when a core has lost its worker. A thread of its own, so that nothing of it holds up a frame.

use super::login::Logins;
use super::wire::{Answer, LENGTH, RECORD_MAX, Refusal, Request, from_hello};
use super::{Spawn, WorkerError, Workers};
use crate::gateway::{Facts, Health};
use crate::metrics::{Metrics, WorkerLoss};
use hsm::{LmkId, LmkInfo};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A worker opens its backend in so long.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Between two tries of a worker that does not come up; doubles.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_LONGEST: Duration = Duration::from_millis(500);
/// A worker that ended sooner did not really come up.
const LIVED: Duration = Duration::from_millis(100);
/// What an ended gateway waits for its workers before it kills them.
const FAREWELL: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(5);

/// What the supervisor is told.
pub(crate) enum Event {
    /// The worker of a place is of no use any more.
    Lost(usize, WorkerLoss),
    /// The gateway ends.
    Stop,
}

/// Where cores tell it.
pub(crate) type Events = mpsc::Sender<Event>;

/// Gives the socket of a place to the core that uses it.
pub(crate) type Hand = Box<dyn Fn(usize, UnixStream) + Send>;

/// A process, ended and waited for when this is dropped.
struct Process(Child);

impl Process {
    fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A worker that serves.
struct Raised {
    process: Process,
    stream: UnixStream,
    facts: Facts,
}

fn raise(spawn: &Spawn) -> Result<Raised, WorkerError> {
    let (mut stream, theirs) = UnixStream::pair().map_err(WorkerError::Spawn)?;
    let process = Process(spawn(OwnedFd::from(theirs)).map_err(WorkerError::Spawn)?);
    stream.set_read_timeout(Some(START_LIMIT)).map_err(WorkerError::Spawn)?;
    let record = read_record(&mut stream).map_err(WorkerError::Ended)?;
    match Answer::read(&record).map_err(|_| WorkerError::Version)? {
        Answer::Hello(body) => {
            let (class, lmks) = from_hello(body).map_err(|_| WorkerError::Version)?;
            Ok(Raised { process, stream, facts: Facts { lmks, class } })
        }
        Answer::Refused(why, text) => Err(WorkerError::Refused(why, text.to_owned())),
        _ => Err(WorkerError::Version),
    }
}

fn read_record(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut field = [0; LENGTH];
    stream.read_exact(&mut field)?;
    let length = usize::try_from(u32::from_le_bytes(field)).unwrap_or(usize::MAX);
    if length > RECORD_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut record = vec![0; length];
    stream.read_exact(&mut record)?;
    Ok(record)
}

/// A worker of its own for one table, so that the workers in traffic are not held up.
pub(super) fn encrypt_table(spawn: &Spawn, lmk: LmkId, table: &[u8; 16]) -> Result<Vec<u8>, String> {
    let mut worker = raise(spawn).map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    Request::Table(lmk, *table).write(&mut out);
    worker.stream.write_all(&out).map_err(|error| error.to_string())?;
    let record = read_record(&mut worker.stream).map_err(|error| error.to_string())?;
    match Answer::read(&record) {
        Ok(Answer::Table(Ok(field))) => Ok(field.to_vec()),
        Ok(Answer::Table(Err(why))) => Err(why.to_owned()),
        _ => Err(WorkerError::Version.to_string()),
    }
}

/// Workers that are up and have no core yet.
pub(crate) struct Starting {
    spawn: Arc<Spawn>,
    raised: Vec<Raised>,
    events: Events,
    told: Receiver<Event>,
}

/// Starts all workers, one after the other: a PIN that the token refuses is tried once only.
pub(crate) fn start(workers: &Workers) -> Result<Starting, WorkerError> {
    let raised = (0..workers.count.max(1)).map(|_| raise(&*workers.spawn)).collect::<Result<_, _>>()?;
    let (events, told) = mpsc::channel();
    Ok(Starting { spawn: Arc::clone(&workers.spawn), raised, events, told })
}

impl Starting {
    /// What the workers say of their backend.
    pub(crate) fn facts(&self) -> Option<Facts> {
        self.raised.first().map(|worker| worker.facts.clone())
    }

    pub(crate) fn events(&self) -> Events {
        self.events.clone()
    }

    /// Hands the workers over, and watches them until [`Supervisor`] is dropped.
    pub(crate) fn watch(self, hand: Hand, health: Health, metrics: Arc<Metrics>) -> io::Result<Supervisor> {
        let Self { spawn, raised, events, told } = self;
        let facts = raised.first().map(|worker| worker.facts.clone());
        let mut places = Vec::with_capacity(raised.len());
        for (place, Raised { process, stream, .. }) in raised.into_iter().enumerate() {
            tracing::info!(worker = place, pid = process.0.id(), "worker up");
            hand(place, stream);
            places.push(Place::Up(process, Instant::now()));
        }
        metrics.workers_up(places.len());
        let mut watch = Watch { spawn, hand, health, metrics, facts, places, logins: Logins::default() };
        let thread = std::thread::Builder::new().name("supervisor".to_owned());
        let thread = thread.spawn(move || watch.run(&told))?;
        Ok(Supervisor { events, thread: Some(thread) })
    }
}

/// The thread that watches the workers; ends them when it is dropped, after the cores.
pub(crate) struct Supervisor {
    events: Events,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.events.send(Event::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

enum Place {
    Up(Process, Instant),
    Down { due: Instant, pause: Duration },
}

struct Watch {
    spawn: Arc<Spawn>,
    hand: Hand,
    health: Health,
    metrics: Arc<Metrics>,
    facts: Option<Facts>,
    places: Vec<Place>,
    logins: Logins,
}

impl Watch {
    fn run(&mut self, told: &Receiver<Event>) {
        loop {
            let event = match self.next_due() {
                None => told.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => told.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            match event {
                Ok(Event::Lost(place, why)) => self.lost(place, why),
                Err(RecvTimeoutError::Timeout) => self.raise_due(),
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => return self.farewell(),
            }
            self.report();
        }
    }

    fn next_due(&self) -> Option<Instant> {
        if self.logins.is_closed() {
            return None;
        }
        let due = |place: &Place| match place {
            Place::Up(..) => None,
            Place::Down { due, .. } => Some(*due),
        };
        self.places.iter().filter_map(due).min()
    }

    fn lost(&mut self, at: usize, why: WorkerLoss) {
        let Some(place) = self.places.get_mut(at) else { return };
        let Place::Up(process, since) = place else { return };
        let now = Instant::now();
        let pause = if now.saturating_duration_since(*since) < LIVED { PAUSE } else { Duration::ZERO };
        let pause = pause.max(self.logins.wait(now));
        tracing::warn!(worker = at, pid = process.0.id(), reason = why.name(), "worker lost");
        self.metrics.worker_lost(why);
        *place = Place::Down { due: now.checked_add(pause).unwrap_or(now), pause: PAUSE };
    }

    // One at a time, so that a refused PIN is seen before it is tried again.
    fn raise_due(&mut self) {
        let now = Instant::now();
        let due = |place: &Place| matches!(place, Place::Down { due, .. } if *due <= now);
        let Some(at) = self.places.iter().position(due) else { return };
        let raised = raise(&*self.spawn);
        let now = Instant::now();
        let Some(place) = self.places.get_mut(at) else { return };
        match raised {
            Ok(Raised { process, stream, facts }) if same(self.facts.as_ref(), &facts) => {
                tracing::info!(worker = at, pid = process.0.id(), "worker up");
                self.logins.succeeded();
                (self.hand)(at, stream);
                *place = Place::Up(process, now);
            }
            other => {
                let refusal = match &other {
                    Err(WorkerError::Refused(why, _)) => Some(*why),
                    _ => None,
                };
                let error =
                    other.err().map_or_else(|| "it has other LMKs".to_owned(), |error| error.to_string());
                tracing::error!(worker = at, error, "a worker does not come up");
                if refusal == Some(Refusal::Login) {
                    self.logins.failed(now);
                }
                if let Place::Down { due, pause } = place {
                    let wait = (*pause).max(self.logins.wait(now));
                    *due = now.checked_add(wait).unwrap_or(now);
                    *pause = pause.saturating_mul(2).min(PAUSE_LONGEST);
                }
                self.put_off_all(now);
            }
        }
    }

    // After a refused PIN nobody tries before its time.
    fn put_off_all(&mut self, now: Instant) {
        if self.logins.is_closed() {
            tracing::error!("the token refused the PIN twice: nobody tries again before a restart");
        }
        let earliest = now.checked_add(self.logins.wait(now)).unwrap_or(now);
        for place in &mut self.places {
            if let Place::Down { due, .. } = place {
                *due = (*due).max(earliest);
            }
        }
    }

    fn report(&self) {
        let up = self.places.iter().filter(|place| matches!(place, Place::Up(..))).count();
        self.metrics.workers_up(up);
        self.health.set_backend_ready(up > 0);
    }

    // The cores are gone and with them the sockets, at which workers end.
    fn farewell(&mut self) {
        let until = Instant::now().checked_add(FAREWELL);
        let runs = |place: &mut Place| match place {
            Place::Up(process, _) => !process.has_ended(),
            Place::Down { .. } => false,
        };
        while self.places.iter_mut().any(runs) && until.is_some_and(|until| Instant::now() < until) {
            std::thread::sleep(LOOK);
        }
        self.places.clear();
    }
}

// A worker under another LMK would answer with keys that nobody knows. One that was added meanwhile harms nobody.
fn same(facts: Option<&Facts>, other: &Facts) -> bool {
    let name = |lmk: &LmkInfo| (lmk.id, lmk.scheme, lmk.check);
    let has = |lmk: &LmkInfo| other.lmks.iter().any(|there| name(there) == name(lmk));
    facts.is_none_or(|facts| facts.class == other.class && facts.lmks.iter().all(has))
}
