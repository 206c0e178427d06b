//! The worker's side: takes what the gateway sends, runs everything that is there as one batch of the engine,
//! answers with one write. One thread, one connection.
//!
//! A batch gets a bounded number of rounds; frames that need more go on beside what came meanwhile, and are answered
//! when they are done.

use super::unit::read_unit;
use super::wire::{Answer, FACTS, Malformed, RECORD_MAX, Refusal, Request, facts, from_facts, hello, take};
use hostcmd::service::dectab;
use hostcmd::{Authorised, Code, Engine, Finished, Port, Ticket, Unit};
use hsm::{Backend, Hsm, LmkId};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};
use zeroize::Zeroize;

/// Bytes of one read; a record fits behind what was cut off by the one before.
const READ: usize = 64 * 1024;
/// Frames that begin together at most.
const BATCH: usize = 128;
/// How long the gateway hears nothing at most while the backend answers: it takes a worker that is silent for hung.
const SILENT: Duration = Duration::from_millis(20);
/// Bytes of frames that are not done, beyond which no more are read: the gateway queues them, and refuses what is too
/// much.
const HELD_MAX: usize = 16 << 20;
/// How often the backend is asked whether it is sound, while there is traffic; less often when asking takes long.
const CHECK: Duration = Duration::from_secs(1);
const CHECK_SHARE: u32 = 20;

/// Why a worker ended.
#[derive(Debug)]
pub enum Ended {
    /// The gateway closed the socket.
    Closed,
    /// The backend failed for good; everything that was done is answered.
    BackendLost,
    /// The socket failed.
    Socket(io::Error),
    /// The gateway speaks another version.
    Version,
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

impl From<Malformed> for Ended {
    fn from(_: Malformed) -> Self {
        Self::Version
    }
}

/// Tells the gateway why this worker does not serve.
pub fn report_failure(stream: &mut UnixStream, why: Refusal, text: &str) -> io::Result<()> {
    let mut out = Vec::new();
    Answer::Refused(why, text).write(&mut out);
    stream.write_all(&out)
}

/// Serves until the gateway closes the socket, or the backend has failed for good. Opened keys are kept in
/// `key_cache` bytes.
pub fn serve(mut stream: UnixStream, backend: Box<dyn Backend>, key_cache: usize) -> Ended {
    let mut out = Vec::new();
    Answer::Hello(&hello(backend.class(), backend.lmks())).write(&mut out);
    if let Err(error) = stream.write_all(&out) {
        return error.into();
    }
    let mut worker = Worker {
        engine: Engine::with_queue(backend, Unit::default(), Hsm::with_cache(key_cache)),
        ports: Vec::new(),
        authorised: Authorised::NONE,
        running: Vec::with_capacity(BATCH),
        later: Vec::new(),
        fresh: 0,
        held: 0,
        told_at: Instant::now(),
        // A reply is never longer than that, so it never moves.
        reply: Vec::with_capacity(RECORD_MAX),
        out: Vec::new(),
        failed: false,
        check_at: Instant::now(),
        stream,
    };
    match worker.serve() {
        Ok(ended) | Err(ended) => ended,
    }
}

/// A frame that is not answered: its number, its command, its length.
struct Running(u64, Ticket, usize);

struct Worker {
    engine: Engine,
    ports: Vec<([u8; FACTS], Rc<Port>)>,
    authorised: Authorised,
    running: Vec<Running>,
    /// Those that are left by a turn, while the others are answered.
    later: Vec<Running>,
    /// How many came since the last turn.
    fresh: usize,
    /// Bytes of all that run.
    held: usize,
    /// When the gateway last heard of it.
    told_at: Instant,
    reply: Vec<u8>,
    out: Vec<u8>,
    failed: bool,
    check_at: Instant,
    stream: UnixStream,
}

impl Worker {
    fn serve(&mut self) -> Result<Ended, Ended> {
        let mut buffer = vec![0; READ.saturating_add(RECORD_MAX)];
        let mut filled = 0_usize;
        loop {
            let room = buffer.get_mut(filled..).unwrap_or_default();
            let read = match self.read(room)? {
                Some(0) => return Ok(Ended::Closed),
                read => read.unwrap_or_default(),
            };
            filled = filled.saturating_add(read);
            let mut rest = buffer.get(..filled).unwrap_or_default();
            while let Some(record) = take(&mut rest)? {
                self.accept(Request::read(record)?)?;
            }
            self.turn()?;
            let kept = rest.len();
            let used = filled.saturating_sub(kept);
            buffer.copy_within(used..filled, 0);
            // Frames may carry clear PINs.
            buffer.get_mut(kept..filled).unwrap_or_default().zeroize();
            filled = kept;
            self.check_backend()?;
        }
    }

    // What is there; waits for it when there is nothing else to do.
    fn read(&mut self, room: &mut [u8]) -> io::Result<Option<usize>> {
        let busy = !self.running.is_empty();
        if busy && self.held >= HELD_MAX {
            return Ok(None);
        }
        if busy {
            self.stream.set_nonblocking(true)?;
        }
        let read = loop {
            match self.stream.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        if !busy {
            self.told_at = Instant::now();
            return read.map(Some);
        }
        self.stream.set_nonblocking(false)?;
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            read => read.map(Some),
        }
    }

    // After a failure, and once in a while: a token that lies does not fail.
    fn check_backend(&mut self) -> Result<(), Ended> {
        let failed = std::mem::take(&mut self.failed);
        let begun = Instant::now();
        if !failed && begun < self.check_at {
            return Ok(());
        }
        let Self { engine, stream, out, told_at, .. } = self;
        let mut told = Ok(());
        // It says nothing else meanwhile, and a slow token takes its time for this too.
        let alive = engine.alive(&mut || {
            if told_at.elapsed() >= SILENT {
                Answer::Busy.write(out);
                told = core::mem::replace(&mut told, Ok(())).and_then(|()| send(stream, out, told_at));
            }
        });
        told?;
        let pause = begun.elapsed().saturating_mul(CHECK_SHARE).max(CHECK);
        self.check_at = begun.checked_add(pause).unwrap_or(begun);
        if alive { Ok(()) } else { Err(Ended::BackendLost) }
    }

    fn accept(&mut self, request: Request<'_>) -> Result<(), Ended> {
        match request {
            Request::Frame(number, facts, frame) => {
                let (port, authorised) = self.port(facts)?;
                if authorised != self.authorised {
                    // Those before it have begun then, and are judged by what was authorised.
                    self.turn()?;
                    self.authorised = authorised;
                    self.engine.set_authorised(authorised);
                }
                let ticket = self.engine.submit(&port, frame);
                self.running.push(Running(number, ticket, frame.len()));
                self.held = self.held.saturating_add(frame.len());
                self.fresh = self.fresh.saturating_add(1);
                if self.fresh >= BATCH {
                    self.turn()?;
                }
            }
            // Nothing runs for it: whoever floods a gateway with commands that read counts cuts no batch.
            Request::Unit(fields) => {
                let mut read = Ok(());
                self.engine.update_unit(|unit| read = read_unit(fields, unit));
                read?;
            }
            Request::Table(lmk, digits) => self.encrypt_table(lmk, &digits)?,
        }
        Ok(())
    }

    // There are as many kinds of facts as listeners.
    fn port(&mut self, wanted: [u8; FACTS]) -> Result<(Rc<Port>, Authorised), Malformed> {
        let (port, authorised) = from_facts(wanted)?;
        let name = facts(&port, Authorised::NONE);
        if let Some((_, known)) = self.ports.iter().find(|(other, _)| *other == name) {
            return Ok((Rc::clone(known), authorised));
        }
        let port = Rc::new(port);
        self.ports.push((name, Rc::clone(&port)));
        Ok((port, authorised))
    }

    // Some rounds of everything that was submitted, and the answers to what is done.
    fn turn(&mut self) -> io::Result<()> {
        if self.running.is_empty() {
            return Ok(());
        }
        self.fresh = 0;
        for _ in 0..Engine::ROUNDS {
            if !self.engine.round() {
                break;
            }
            // A round that ends shows that the backend answers, however slowly.
            if self.told_at.elapsed() >= SILENT {
                Answer::Busy.write(&mut self.out);
                self.send()?;
            }
        }
        self.answer_done();
        if self.out.is_empty() { Ok(()) } else { self.send() }
    }

    fn answer_done(&mut self) {
        for running in self.running.drain(..) {
            if !self.engine.is_done(&running.1) {
                self.later.push(running);
                continue;
            }
            let Running(number, ticket, length) = running;
            self.held = self.held.saturating_sub(length);
            match self.engine.finish(ticket, &mut self.reply) {
                Finished::Reply { code, .. } => {
                    self.failed |= code == Code::DEVICE;
                    Answer::Reply(number, code, &self.reply).write(&mut self.out);
                }
                Finished::Close => Answer::Close(number).write(&mut self.out),
            }
            self.reply.as_mut_slice().zeroize();
            self.reply.clear();
        }
        std::mem::swap(&mut self.running, &mut self.later);
    }

    fn send(&mut self) -> io::Result<()> {
        send(&mut self.stream, &mut self.out, &mut self.told_at)
    }

    fn encrypt_table(&mut self, lmk: LmkId, digits: &[u8; 16]) -> io::Result<()> {
        let field = dectab::encrypt_over(self.engine.backend(), lmk, digits);
        let mut out = Vec::new();
        match &field {
            Ok(field) => Answer::Table(Ok(field.text())).write(&mut out),
            Err(code) => {
                Answer::Table(Err(code.explain().unwrap_or("refused by the backend"))).write(&mut out);
            }
        }
        self.stream.write_all(&out)
    }
}

fn send(stream: &mut UnixStream, out: &mut Vec<u8>, told_at: &mut Instant) -> io::Result<()> {
    let sent = stream.write_all(out);
    out.as_mut_slice().zeroize();
    out.clear();
    *told_at = Instant::now();
    sent
}

#[cfg(test)]
mod tests {
    use super::super::write_unit;
    use super::*;
    use hostcmd::Settings;
    use hsm::{BackendClass, HsmError, LmkInfo, LmkScheme, OpBatch};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    struct Refusing(Vec<LmkInfo>, Arc<AtomicUsize>);

    impl Backend for Refusing {
        fn run(&mut self, ops: &mut OpBatch) {
            self.1.fetch_add(1, Relaxed);
            ops.for_each(|_, _, _| Err(HsmError::Backend));
        }
        fn lmks(&self) -> &[LmkInfo] {
            &self.0
        }
        fn class(&self) -> BackendClass {
            BackendClass::C
        }
    }

    #[test]
    fn the_state_of_the_unit_cuts_no_batch() {
        let lmk = LmkInfo {
            id: LmkId(0),
            scheme: LmkScheme::Variant,
            test: true,
            check: *b"000000",
            comment: String::new(),
        };
        let runs = Arc::<AtomicUsize>::default();
        let backend = Refusing(vec![lmk], Arc::clone(&runs));
        let (mut stream, theirs) = UnixStream::pair().unwrap();
        let mut out = Vec::new();
        let port = facts(&Port::new(LmkId(0), Settings::STRICT), Authorised::NONE);
        for number in 0..10 {
            Request::Frame(number, port, b"HEADN0008").write(&mut out);
            let mut fields = Vec::new();
            write_unit(&Unit::default(), &mut fields);
            Request::Unit(&fields).write(&mut out);
        }
        // Before it begins, so that one read brings all.
        stream.write_all(&out).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(matches!(serve(theirs, Box::new(backend), 0), Ended::Closed));
        let mut answers = Vec::new();
        stream.read_to_end(&mut answers).unwrap();
        let mut rest = answers.as_slice();
        let mut replies = 0;
        while let Some(record) = take(&mut rest).unwrap() {
            replies += usize::from(matches!(Answer::read(record), Ok(Answer::Reply(..))));
        }
        assert_eq!((replies, runs.load(Relaxed)), (10, 1));
    }
}
