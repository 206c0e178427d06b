//! The supervisor: starts workers, hands their sockets to cores, and starts another one when a core has lost its
//! worker. A thread of its own, so that nothing of it holds up a frame. It waits for nobody: what a worker says first is
//! read by a thread of that start, so that a start that hangs holds up no other place.

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

/// A worker opens its backend in so long when the gateway starts.
const START_LIMIT: Duration = Duration::from_secs(20);
/// In place of a lost one it has so long, or so many times what the first ones took, if that is longer: a token that
/// hung is tried anew soon after it is back.
const RESTART_LIMIT: Duration = Duration::from_secs(3);
const RESTART_TIMES: u32 = 4;
/// A start that said nothing for so long holds up no other.
const PATIENCE: Duration = Duration::from_millis(250);
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
    /// What came of the start with this number.
    Started(u64, Result<(UnixStream, Facts), WorkerError>),
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
    let (process, mut stream) = begin(spawn, START_LIMIT)?;
    let facts = hear(&mut stream)?;
    Ok(Raised { process, stream, facts })
}

fn begin(spawn: &Spawn, limit: Duration) -> Result<(Process, UnixStream), WorkerError> {
    let (stream, theirs) = UnixStream::pair().map_err(WorkerError::Spawn)?;
    let process = Process(spawn(OwnedFd::from(theirs)).map_err(WorkerError::Spawn)?);
    stream.set_read_timeout(Some(limit)).map_err(WorkerError::Spawn)?;
    Ok((process, stream))
}

// What a worker says when it is ready to serve, or why it is not.
fn hear(stream: &mut UnixStream) -> Result<Facts, WorkerError> {
    let record = read_record(stream).map_err(WorkerError::Ended)?;
    match Answer::read(&record).map_err(|_| WorkerError::Version)? {
        Answer::Hello(body) => {
            let (class, lmks) = from_hello(body).map_err(|_| WorkerError::Version)?;
            Ok(Facts { lmks, class })
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
    /// What the slowest of them took.
    took: Duration,
    events: Events,
    told: Receiver<Event>,
}

/// Starts all workers, one after the other: a PIN that the token refuses is tried once only.
pub(crate) fn start(workers: &Workers) -> Result<Starting, WorkerError> {
    let (mut raised, mut took) = (Vec::new(), Duration::ZERO);
    for _ in 0..workers.count.max(1) {
        let begun = Instant::now();
        raised.push(raise(&*workers.spawn)?);
        took = took.max(begun.elapsed());
    }
    let (events, told) = mpsc::channel();
    Ok(Starting { spawn: Arc::clone(&workers.spawn), raised, took, events, told })
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
        let Self { spawn, raised, took, events, told } = self;
        let limit = took.saturating_mul(RESTART_TIMES).clamp(RESTART_LIMIT, START_LIMIT);
        let facts = raised.first().map(|worker| worker.facts.clone());
        let mut places = Vec::with_capacity(raised.len());
        for (place, Raised { process, stream, .. }) in raised.into_iter().enumerate() {
            tracing::info!(worker = place, pid = process.0.id(), "worker up");
            hand(place, stream);
            places.push(Place::Up(process, Instant::now()));
        }
        metrics.workers_up(places.len());
        let (started, logins) = (events.clone(), Logins::default());
        let mut watch =
            Watch { spawn, hand, health, metrics, facts, places, logins, limit, started, number: 0 };
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
    /// Number of the start, its process, when it began, and the pause behind it when nothing comes of it.
    Starting {
        number: u64,
        _process: Process,
        since: Instant,
        pause: Duration,
    },
    Down {
        due: Instant,
        pause: Duration,
    },
}

impl Place {
    const fn pause(&self) -> Duration {
        match self {
            Self::Up(..) => PAUSE,
            Self::Starting { pause, .. } | Self::Down { pause, .. } => *pause,
        }
    }
}

struct Watch {
    spawn: Arc<Spawn>,
    hand: Hand,
    health: Health,
    metrics: Arc<Metrics>,
    facts: Option<Facts>,
    places: Vec<Place>,
    logins: Logins,
    /// Of a start in place of a lost worker.
    limit: Duration,
    started: Events,
    /// Of the last such start.
    number: u64,
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
                Ok(Event::Started(number, result)) => self.settle(number, result),
                Err(RecvTimeoutError::Timeout) => self.begin_due(),
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => return self.farewell(),
            }
            self.report();
        }
    }

    // Another start begins when the one before it is answered, so that a refused PIN is seen before it is tried again,
    // or was silent for too long; and there are never more of them than refusals that may follow.
    fn next_due(&self) -> Option<Instant> {
        let starting = self.places.iter().filter_map(|place| match place {
            Place::Starting { since, .. } => since.checked_add(PATIENCE),
            _ => None,
        });
        let due = |place: &Place| match place {
            Place::Up(..) | Place::Starting { .. } => None,
            Place::Down { due, .. } => Some(*due),
        };
        if starting.clone().count() >= self.logins.left() {
            return None;
        }
        let due = self.places.iter().filter_map(due).min()?;
        Some(starting.max().map_or(due, |patient| patient.max(due)))
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

    fn begin_due(&mut self) {
        let now = Instant::now();
        let due = |place: &Place| matches!(place, Place::Down { due, .. } if *due <= now);
        let Some(at) = self.places.iter().position(due) else { return };
        self.number = self.number.wrapping_add(1);
        let number = self.number;
        match begin(&*self.spawn, self.limit) {
            Ok((process, stream)) => {
                if let Some(place) = self.places.get_mut(at) {
                    let pause = place.pause();
                    *place = Place::Starting { number, _process: process, since: now, pause };
                }
                self.listen(number, stream);
            }
            Err(error) => self.failed(at, &error.to_string(), false),
        }
    }

    // The thread ends with the start: when the worker speaks, ends, or is silent for too long.
    fn listen(&self, number: u64, mut stream: UnixStream) {
        let started = self.started.clone();
        let listen = move || {
            let heard = hear(&mut stream).map(|facts| (stream, facts));
            // Nobody listens when the gateway ends.
            let _ = started.send(Event::Started(number, heard));
        };
        let thread = std::thread::Builder::new().name("worker-start".to_owned()).spawn(listen);
        if let Err(error) = thread {
            let _ = self.started.send(Event::Started(number, Err(WorkerError::Spawn(error))));
        }
    }

    fn settle(&mut self, number: u64, heard: Result<(UnixStream, Facts), WorkerError>) {
        let is_it = |place: &Place| matches!(place, Place::Starting { number: own, .. } if *own == number);
        // One that was given up may speak all the same.
        let Some(at) = self.places.iter().position(is_it) else { return };
        match heard {
            Ok((stream, facts)) if same(self.facts.as_ref(), &facts) => self.up(at, stream),
            Ok(_) => self.failed(at, "it has other LMKs", false),
            Err(WorkerError::Refused(Refusal::Login, text)) => self.failed(at, &text, true),
            Err(error) => self.failed(at, &error.to_string(), false),
        }
    }

    fn up(&mut self, at: usize, stream: UnixStream) {
        let Some(place) = self.places.get_mut(at) else { return };
        let down = Place::Down { due: Instant::now(), pause: PAUSE };
        if let Place::Starting { _process: process, .. } = std::mem::replace(place, down) {
            tracing::info!(worker = at, pid = process.0.id(), "worker up");
            *place = Place::Up(process, Instant::now());
            self.logins.succeeded();
            (self.hand)(at, stream);
        }
    }

    fn failed(&mut self, at: usize, error: &str, login: bool) {
        let now = Instant::now();
        tracing::error!(worker = at, error, "a worker does not come up");
        if login {
            self.logins.failed(now);
        }
        let wait = self.logins.wait(now);
        if let Some(place) = self.places.get_mut(at) {
            let pause = place.pause();
            let due = now.checked_add(pause.max(wait)).unwrap_or(now);
            *place = Place::Down { due, pause: pause.saturating_mul(2).min(PAUSE_LONGEST) };
        }
        self.put_off_all(now);
        if login {
            self.give_up_starts(now);
        }
    }

    // Those that are on their way bring the same PIN.
    fn give_up_starts(&mut self, now: Instant) {
        let due = now.checked_add(self.logins.wait(now)).unwrap_or(now);
        for place in &mut self.places {
            if let Place::Starting { pause, .. } = place {
                *place = Place::Down { due, pause: *pause };
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
            Place::Down { .. } | Place::Starting { .. } => false,
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
