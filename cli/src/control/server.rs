//! The server's end of the control socket: one client after the other, each with one request.

use super::authority::Authority;
use super::officers::{self, Officers};
use super::tries::Tries;
use super::wire::{Consent, REQUEST_MAX, Reply, Request, Standing, logged};
use super::{SECONDS_MAX, TableMaker, activities, tables};
use crate::exit::Failure;
use gateway::Switches;
use hsm::LmkId;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// A client has so long to send its request, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// When no client can be taken, descriptors may be short.
const PAUSE: Duration = Duration::from_millis(200);

/// Why a request is refused, in a sentence for the client.
type Refusal = String;

pub struct Server {
    folder: PathBuf,
    authority: Arc<Authority>,
    switches: Switches,
    maker: TableMaker,
    built_in: Vec<[u8; 16]>,
    decoy: String,
    tries: Tries,
}

impl Server {
    pub fn new(
        folder: PathBuf,
        authority: Arc<Authority>,
        switches: Switches,
        maker: TableMaker,
        built_in: Vec<[u8; 16]>,
    ) -> Result<Self, Failure> {
        let mut random = Zeroizing::new([0; 32]);
        getrandom::fill(random.as_mut()).map_err(Failure::environment)?;
        let decoy = officers::hash(random.as_ref())?;
        Ok(Self { folder, authority, switches, maker, built_in, decoy, tries: Tries::default() })
    }

    /// Serves for ever.
    pub fn serve(mut self, listener: &UnixListener) {
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    if let Err(error) = self.client(stream) {
                        tracing::debug!(%error, "a client of the control socket");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "control socket");
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    fn client(&mut self, mut stream: UnixStream) -> io::Result<()> {
        let line = read_line(&mut stream)?;
        let reply = match keylink::wire::read(&line) {
            Ok(request) => self.answer(request).unwrap_or_else(Reply::Refused),
            // The text of the error could hold some of the request.
            Err(_) => Reply::Refused("not a request of this version".to_owned()),
        };
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(format!("{}\n", serde_json::to_string(&reply)?).as_bytes())
    }

    fn answer(&mut self, request: Request) -> Result<Reply, Refusal> {
        match request {
            Request::Show {} => Ok(self.show()),
            Request::Authorise { activity, seconds, officers } => {
                self.authorise(&activity, seconds, &officers)
            }
            Request::Revoke { activity, officer } => self.revoke(&activity, &officer),
            Request::DectabAdd { table, officers } => self.add_table(&table, &officers),
            Request::DectabEncrypt { table, lmk, officers } => self.encrypt_table(&table, lmk, &officers),
        }
    }

    fn show(&self) -> Reply {
        let row = |(activity, left): (hostcmd::Activity, Option<Duration>)| Standing {
            activity: activity.name().to_owned(),
            seconds: left.map(|left| left.as_secs().max(1)),
        };
        Reply::Standing(self.authority.standing().into_iter().map(row).collect())
    }

    fn authorise(&mut self, name: &str, seconds: u64, officers: &[Consent; 2]) -> Result<Reply, Refusal> {
        let chosen = activities(name).ok_or("no such activity")?;
        if !(1..=SECONDS_MAX).contains(&seconds) {
            return Err("an authorisation lasts a second to 12 hours".to_owned());
        }
        self.judge(officers)?;
        let until = Instant::now().checked_add(Duration::from_secs(seconds)).ok_or("no such time")?;
        self.authority.change(|grants| grants.grant(&chosen, until));
        let [first, second] = officers;
        tracing::info!(activity = name, seconds, first = first.name, second = second.name, "authorised");
        Ok(Reply::Done)
    }

    fn revoke(&mut self, name: &str, officer: &Consent) -> Result<Reply, Refusal> {
        let chosen = activities(name).ok_or("no such activity")?;
        self.judge(std::slice::from_ref(officer))?;
        self.authority.change(|grants| grants.revoke(&chosen));
        tracing::info!(activity = name, officer = officer.name, "authorisation revoked");
        Ok(Reply::Done)
    }

    fn add_table(&mut self, table: &str, officers: &[Consent; 2]) -> Result<Reply, Refusal> {
        let table = tables::parse(table).ok_or(tables::RULE)?;
        self.judge(officers)?;
        let registered = tables::add(&self.folder, table).map_err(|failure| failure.message)?;
        self.switches.set_decimalisation_tables(&[registered.as_slice(), &self.built_in].concat());
        let [first, second] = officers;
        tracing::info!(first = first.name, second = second.name, "decimalisation table registered");
        Ok(Reply::Done)
    }

    // An encrypted table is taken by every listener, for ever, like a registered one.
    fn encrypt_table(&mut self, table: &str, lmk: u8, officers: &[Consent; 2]) -> Result<Reply, Refusal> {
        let table = tables::parse(table).ok_or(tables::RULE)?;
        self.judge(officers)?;
        let field = self.maker.encrypt(LmkId(lmk), &table)?;
        let [first, second] = officers;
        tracing::info!(lmk, first = first.name, second = second.name, "decimalisation table encrypted");
        Ok(Reply::Table(field))
    }

    // Different people, each with the right passphrase. Which of them was wrong, and in what, is not told.
    fn judge(&mut self, consents: &[Consent]) -> Result<(), Refusal> {
        if !self.tries.admit(Instant::now()) {
            tracing::warn!("officers failed too often: refused unheard");
            return Err("too many failures: wait ten minutes".to_owned());
        }
        if let [first, second] = consents
            && first.name == second.name
        {
            return Err("two different officers are needed".to_owned());
        }
        let officers = Officers::load(&self.folder).map_err(|failure| failure.message)?;
        let verify =
            |consent: &Consent| officers.verify(&consent.name, consent.passphrase.expose(), &self.decoy);
        if consents.iter().fold(true, |all, consent| all & verify(consent)) {
            return Ok(());
        }
        self.tries.failed(Instant::now());
        let names: Vec<_> = consents.iter().map(|consent| logged(&officers, &consent.name)).collect();
        tracing::warn!(officers = names.join(" "), "officers refused");
        Err("an officer or a passphrase is not right".to_owned())
    }
}

// A line within its time and size, in a buffer that is wiped and never moves.
fn read_line(stream: &mut UnixStream) -> io::Result<Zeroizing<Vec<u8>>> {
    let began = Instant::now();
    let mut line = Zeroizing::new(vec![0; REQUEST_MAX]);
    let mut length = 0;
    loop {
        let left = PATIENCE.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let rest = line.get_mut(length..).unwrap_or_default();
        let count = stream.read(rest)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = rest.iter().take(count).position(|byte| *byte == b'\n');
        length += end.unwrap_or(count);
        if end.is_some() {
            line.truncate(length);
            return Ok(line);
        }
    }
}
