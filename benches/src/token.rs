//! One measurement on a SoftHSM token in a process of its own: the module reads its environment once, and one
//! processor serves one loop.

use crate::frames::{self, Maker};
use crate::host;
use clap::ValueEnum;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use hostcmd::{Authorised, Engine, Port, Settings, Unit};
use hsm::{Hsm, LmkId, LmkScheme};
use hsm_pkcs11::{Options, Pin, Token, TokenUri, ceremony, known_module};
use hsm_sim::LmkSet;
use std::io;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const LABEL: &str = "payhsm-bench";
const PIN: &str = "48151623";
/// Keys that the loops take in turn.
pub const KEYS: usize = 64;
/// The AES key-block test LMK.
pub const LMK: LmkId = LmkId(2);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Single-part decryption and encryption of a block, one session, no code of ours.
    Direct,
    /// The same with multi-part calls.
    DirectUpdate,
    /// The engine with keys that were seen.
    Engine,
    /// The engine, opening both keys of every command anew.
    Uncached,
}

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(long, value_enum)]
    what: What,
    #[arg(long)]
    seconds: f64,
    #[arg(long, default_value_t = 512)]
    depth: usize,
    #[arg(long)]
    processor: usize,
}

/// A fresh token in a folder; loops and servers that are started with [`Folder::environment`] see it.
pub struct Folder(TempDir);

impl Folder {
    /// Makes it, with the public AES test LMK.
    pub fn new() -> io::Result<Self> {
        if known_module().is_none() {
            return Err(io::Error::other("no SoftHSM here (apt package softhsm2)"));
        }
        let folder = Self(TempDir::new()?);
        let path = folder.0.path();
        std::fs::create_dir(path.join("tokens"))?;
        let text = format!("directories.tokendir = {}/tokens\nlog.level = ERROR\n", path.display());
        std::fs::write(path.join("softhsm2.conf"), text)?;
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", LABEL, "--so-pin", "31415926", "--pin", PIN])
            .envs(folder.environment())
            .output()?;
        if made.status.success() { Ok(folder) } else { Err(io::Error::other("softhsm2-util failed")) }
    }

    /// What a process needs to see the token.
    pub fn environment(&self) -> [(String, String); 1] {
        let path = self.0.path().join("softhsm2.conf");
        [("SOFTHSM2_CONF".to_owned(), path.display().to_string())]
    }
}

/// The token that the environment names, with its LMK.
pub fn open() -> io::Result<Token> {
    let uri = TokenUri::parse(&format!("pkcs11:token={LABEL}")).map_err(io::Error::other)?;
    let pin = Pin::new(PIN.to_owned().into());
    let token = Token::open(&uri, Some(pin), Options::default()).map_err(io::Error::other)?;
    if token.lmks().map_err(io::Error::other)?.is_empty() {
        for secret in LmkSet::public_test().iter().filter(|lmk| lmk.id == LMK) {
            ceremony::import(&token, LMK, LmkScheme::AesBlock, &secret.clear).map_err(io::Error::other)?;
        }
        token.lmks().map_err(io::Error::other)?;
    }
    Ok(token)
}

/// Measures and prints translations a second.
pub fn run(args: &Args) -> io::Result<()> {
    host::pin(&[args.processor]);
    let duration = Duration::try_from_secs_f64(args.seconds).map_err(io::Error::other)?;
    let rate = match args.what {
        What::Direct | What::DirectUpdate => direct(args.what, duration).map_err(io::Error::other)?,
        What::Engine => engine(Hsm::new(), args.depth, duration)?,
        What::Uncached => engine(Hsm::with_cache(0), args.depth, duration)?,
    };
    println!("{rate}");
    Ok(())
}

fn direct(what: What, duration: Duration) -> Result<f64, Box<dyn std::error::Error + Send + Sync>> {
    let module = Pkcs11::new(known_module().ok_or("no module")?)?;
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    let slots = module.get_slots_with_initialized_token()?;
    let session = module.open_ro_session(*slots.first().ok_or("no token")?)?;
    session.login(UserType::User, Some(&AuthPin::new(PIN.into())))?;
    let keys = (0..KEYS).map(|n| key(&session, n)).collect::<Result<Vec<_>, _>>()?;
    let mut block = vec![0x12, 0x34, 0x56, 0x78, 0x9A, 0xBC, 0xDE, 0xF0];
    let (mut done, start) = (0u64, Instant::now());
    while start.elapsed() < duration {
        for pair in keys.chunks_exact(2) {
            block = if what == What::Direct {
                let clear = session.decrypt(&Mechanism::Des3Ecb, pair[0], &block)?;
                session.encrypt(&Mechanism::Des3Ecb, pair[1], &clear)?
            } else {
                session.decrypt_init(&Mechanism::Des3Ecb, pair[0])?;
                let clear = session.decrypt_update(&block)?;
                session.decrypt_final()?;
                session.encrypt_init(&Mechanism::Des3Ecb, pair[1])?;
                let block = session.encrypt_update(&clear)?;
                session.encrypt_final()?;
                block
            };
            done += 1;
        }
    }
    Ok(done as f64 / start.elapsed().as_secs_f64())
}

fn key(session: &Session, number: usize) -> cryptoki::error::Result<ObjectHandle> {
    let value: Vec<u8> = (0..16u8).map(|i| (number as u8).wrapping_mul(37).wrapping_add(i * 29)).collect();
    session.create_object(&[
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::DES2),
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Value(value),
    ])
}

// Replies are compared with those of the simulator under the same LMK.
fn engine(queue: Hsm, depth: usize, duration: Duration) -> io::Result<f64> {
    let token = open()?;
    let mut maker = Maker::new();
    let exchanges = maker.translations(LMK, KEYS, depth)?;
    let batch = frames::batches(&exchanges, depth).swap_remove(0);
    let (frames, replies) = (batch.frames(), batch.replies());
    let unit = Unit { authorised: Authorised::ALL, ..Unit::default() };
    let mut engine = Engine::with_queue(Box::new(token.backend()), unit, queue);
    let port = Rc::new(Port::new(LMK, Settings::STRICT));
    let (mut tickets, mut out) = (Vec::new(), Vec::new());
    let (mut done, start) = (0u64, Instant::now());
    while start.elapsed() < duration {
        tickets.extend(frames.iter().map(|frame| engine.submit(&port, frame)));
        engine.run();
        for (ticket, reply) in tickets.drain(..).zip(&replies) {
            out.clear();
            engine.finish(ticket, &mut out);
            if out != *reply {
                return Err(io::Error::other("a wrong reply"));
            }
        }
        done += depth as u64;
    }
    Ok(done as f64 / start.elapsed().as_secs_f64())
}

/// Runs one measurement in a process of its own.
pub fn measure(folder: &Folder, what: What, seconds: f64, depth: usize) -> io::Result<f64> {
    let name = what.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
    let program = std::env::current_exe()?;
    let output = Command::new(Path::new(&program))
        .args(["token-loop", "--what", &name, "--processor", "0"])
        .args(["--seconds", &seconds.to_string(), "--depth", &depth.to_string()])
        .envs(folder.environment())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
}
