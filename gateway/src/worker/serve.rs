//! The worker's side: takes what the gateway sends, runs everything that is there as one batch of the engine,
//! answers with one write. One thread, one connection.

use super::unit::read_unit;
use super::wire::{Answer, FACTS, Malformed, RECORD_MAX, Refusal, Request, facts, from_facts, hello, take};
use hostcmd::service::dectab;
use hostcmd::{Authorised, Code, Engine, Finished, Port, Ticket, Unit};
use hsm::{Backend, LmkId};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};
use zeroize::Zeroize;

/// Bytes of one read; a record fits behind what was cut off by the one before.
const READ: usize = 64 * 1024;
/// Frames that run together at most: the gateway hears of each batch, and takes a worker that is silent for
/// hung.
const BATCH: usize = 128;
/// How often the backend is asked whether it is sound, while there is traffic; less often when asking takes long.
const CHECK: Duration = Duration::from_secs(1);
const CHECK_SHARE: u32 = 20;

/// Why a worker ended.
#[derive(Debug)]
pub enum Ended {
    /// The gateway closed the socket.
    Closed,
    /// The backend failed for good; everything in flight was answered.
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

/// Serves until the gateway closes the socket, or the backend has failed for good.
pub fn serve(mut stream: UnixStream, backend: Box<dyn Backend>) -> Ended {
    let mut out = Vec::new();
    Answer::Hello(&hello(backend.class(), backend.lmks())).write(&mut out);
    if let Err(error) = stream.write_all(&out) {
        return error.into();
    }
    let mut worker = Worker {
        engine: Engine::new(backend, Unit::default()),
        ports: Vec::new(),
        authorised: Authorised::NONE,
        running: Vec::with_capacity(BATCH),
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

struct Worker {
    engine: Engine,
    ports: Vec<([u8; FACTS], Rc<Port>)>,
    authorised: Authorised,
    running: Vec<(u64, Ticket)>,
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
            let read = match self.stream.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if read == 0 {
                return Ok(Ended::Closed);
            }
            filled = filled.saturating_add(read);
            let mut rest = buffer.get(..filled).unwrap_or_default();
            while let Some(record) = take(&mut rest)? {
                self.accept(Request::read(record)?)?;
            }
            self.run()?;
            let kept = rest.len();
            let used = filled.saturating_sub(kept);
            buffer.copy_within(used..filled, 0);
            // Frames may carry clear PINs.
            buffer.get_mut(kept..filled).unwrap_or_default().zeroize();
            filled = kept;
            self.check_backend()?;
        }
    }

    // After a failure, and once in a while: a token that lies does not fail.
    fn check_backend(&mut self) -> Result<(), Ended> {
        let failed = std::mem::take(&mut self.failed);
        let begun = Instant::now();
        if !failed && begun < self.check_at {
            return Ok(());
        }
        let alive = self.engine.alive();
        let pause = begun.elapsed().saturating_mul(CHECK_SHARE).max(CHECK);
        self.check_at = begun.checked_add(pause).unwrap_or(begun);
        if alive { Ok(()) } else { Err(Ended::BackendLost) }
    }

    fn accept(&mut self, request: Request<'_>) -> Result<(), Ended> {
        match request {
            Request::Frame(number, facts, frame) => {
                let (port, authorised) = self.port(facts)?;
                if authorised != self.authorised {
                    self.run()?;
                    self.authorised = authorised;
                    self.engine.set_authorised(authorised);
                }
                let ticket = self.engine.submit(&port, frame);
                self.running.push((number, ticket));
                if self.running.len() >= BATCH {
                    self.run()?;
                }
            }
            Request::Unit(fields) => {
                self.run()?;
                let mut read = Ok(());
                self.engine.update_unit(|unit| read = read_unit(fields, unit));
                read?;
            }
            Request::Table(lmk, digits) => {
                self.run()?;
                self.encrypt_table(lmk, &digits)?;
            }
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

    // Everything that was submitted, and its answers in order.
    fn run(&mut self) -> io::Result<()> {
        if self.running.is_empty() {
            return Ok(());
        }
        self.engine.run();
        for (number, ticket) in self.running.drain(..) {
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
        let sent = self.stream.write_all(&self.out);
        self.out.as_mut_slice().zeroize();
        self.out.clear();
        sent
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
