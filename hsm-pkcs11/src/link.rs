//! The sessions of one backend and the calls that are made in them. Buffers that the binding returns are
//! wiped; a call that fails says whether everything must begin anew.
//!
//! Every cipher call carries a block in front whose answer under that object is known from the first call. A
//! module that answers with another key, with what belongs to another call, or with a broken beginning is not
//! believed: a block more costs next to nothing beside the call. It is no proof against one that lies in what
//! stands behind.

use crate::capability::Capability;
use crate::error::TokenError;
use crate::fault::Fault;
use crate::template::{Purpose, Template};
use cryptoki::error::Error;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use foldhash::fast::RandomState;
use hsm::HsmError;
use paytypes::bytes::{left, xor_into};
use paytypes::{CipherKind, Direction};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

// One maker and destroyer of objects at a time in a process, for modules that need it.
static MAKING: Mutex<()> = Mutex::new(());

/// A session in which the operation of a key that comes again stays open. Modules such as SoftHSM take one
/// operation in a session, so each direction has a session of its own.
struct Lane {
    session: Session,
    way: Direction,
    open: Option<ObjectHandle>,
    last: Option<ObjectHandle>,
    stays_open: bool,
}

/// Sessions of a backend.
pub(crate) struct Link {
    main: Session,
    lanes: Option<[Lane; 2]>,
    capability: Capability,
    /// The block that goes in front, and what each object made of it in each direction.
    front: [u8; 16],
    answers: HashMap<(u64, bool), [u8; 16], RandomState>,
    lost: bool,
}

const fn ecb_of(kind: CipherKind) -> Mechanism<'static> {
    match kind {
        CipherKind::Des | CipherKind::Tdes => Mechanism::Des3Ecb,
        CipherKind::Aes => Mechanism::AesEcb,
    }
}

fn cbc_of(kind: CipherKind, iv: &[u8]) -> Mechanism<'static> {
    match kind {
        CipherKind::Des | CipherKind::Tdes => Mechanism::Des3Cbc(left(iv)),
        CipherKind::Aes => Mechanism::AesCbc(left(iv)),
    }
}

fn once(
    session: &Session,
    way: Direction,
    mechanism: &Mechanism<'_>,
    key: ObjectHandle,
    data: &[u8],
) -> Result<Vec<u8>, Error> {
    match way {
        Direction::Encrypt => session.encrypt(mechanism, key, data),
        Direction::Decrypt => session.decrypt(mechanism, key, data),
    }
}

impl Lane {
    fn new(session: Session, way: Direction) -> Self {
        Self { session, way, open: None, last: None, stays_open: true }
    }

    fn run(&mut self, kind: CipherKind, key: ObjectHandle, data: &[u8]) -> Result<Vec<u8>, Error> {
        let again = self.last == Some(key) && self.stays_open;
        let answer = if again { self.go_on(kind, key, data) } else { self.alone(kind, key, data) };
        self.last = answer.is_ok().then_some(key);
        answer
    }

    fn alone(&mut self, kind: CipherKind, key: ObjectHandle, data: &[u8]) -> Result<Vec<u8>, Error> {
        self.close();
        once(&self.session, self.way, &ecb_of(kind), key, data)
    }

    fn go_on(&mut self, kind: CipherKind, key: ObjectHandle, data: &[u8]) -> Result<Vec<u8>, Error> {
        if self.open != Some(key) {
            self.close();
            match self.way {
                Direction::Encrypt => self.session.encrypt_init(&ecb_of(kind), key)?,
                Direction::Decrypt => self.session.decrypt_init(&ecb_of(kind), key)?,
            }
            self.open = Some(key);
        }
        let answer = match self.way {
            Direction::Encrypt => self.session.encrypt_update(data),
            Direction::Decrypt => self.session.decrypt_update(data),
        };
        match answer {
            Ok(out) if out.len() == data.len() => Ok(out),
            // The module holds blocks back: it does so always, and this way is not for it.
            Ok(out) => {
                drop(Zeroizing::new(out));
                self.stays_open = false;
                self.alone(kind, key, data)
            }
            Err(error) => {
                self.close();
                Err(error)
            }
        }
    }

    // What an end has to say does not matter: nothing of an ECB operation is held back.
    fn close(&mut self) {
        if self.open.take().is_some() {
            let rest = match self.way {
                Direction::Encrypt => self.session.encrypt_final(),
                Direction::Decrypt => self.session.decrypt_final(),
            };
            drop(rest.map(Zeroizing::new));
        }
    }
}

impl Link {
    /// Over a session, and over two more for the directions when the token has plenty.
    pub(crate) fn new(
        main: Session,
        more: Option<[Session; 2]>,
        capability: Capability,
    ) -> Result<Self, TokenError> {
        let lanes = more.map(|[encrypt, decrypt]| {
            [Lane::new(encrypt, Direction::Encrypt), Lane::new(decrypt, Direction::Decrypt)]
        });
        let mut front = [0; 16];
        getrandom::fill(&mut front).map_err(|_| TokenError::Random)?;
        Ok(Self { main, lanes, capability, front, answers: HashMap::default(), lost: false })
    }

    pub(crate) const fn session(&self) -> &Session {
        &self.main
    }

    pub(crate) const fn capability(&self) -> &Capability {
        &self.capability
    }

    /// True when a call failed in a way after which sessions and objects must be made anew.
    pub(crate) const fn is_lost(&self) -> bool {
        self.lost
    }

    fn judge<T>(&mut self, answer: Result<T, Error>) -> Result<T, HsmError> {
        answer.map_err(|error| {
            let fault = Fault::from(&error);
            self.lost |= fault == Fault::Lost;
            HsmError::from(fault)
        })
    }

    /// ECB in place, whole blocks.
    pub(crate) fn ecb(
        &mut self,
        way: Direction,
        kind: CipherKind,
        key: ObjectHandle,
        data: &mut [u8],
    ) -> Result<(), HsmError> {
        let block = kind.block_length();
        let mut work = Zeroizing::new(Vec::with_capacity(data.len().saturating_add(block)));
        work.resize(block, 0);
        work.extend_from_slice(data);
        self.ecb_behind(way, kind, key, &mut work)?;
        data.copy_from_slice(work.get(block..).unwrap_or_default());
        Ok(())
    }

    /// As [`Link::ecb`], over what stands behind the first block, which is room for the block of known answer.
    pub(crate) fn ecb_behind(
        &mut self,
        way: Direction,
        kind: CipherKind,
        key: ObjectHandle,
        work: &mut [u8],
    ) -> Result<(), HsmError> {
        let block = kind.block_length();
        let first = work.get_mut(..block).ok_or(HsmError::Backend)?;
        first.copy_from_slice(self.front.get(..block).unwrap_or_default());
        let answer = match &mut self.lanes {
            Some([encrypt, _]) if way == Direction::Encrypt => encrypt.run(kind, key, work),
            Some([_, decrypt]) => decrypt.run(kind, key, work),
            None => once(&self.main, way, &ecb_of(kind), key, work),
        };
        let answer = self.judge(answer)?;
        take(answer, work)?;
        self.believe(way, key, work.get(..block).unwrap_or_default())
    }

    // What an object made of the block in front must be what it made of it before.
    fn believe(&mut self, way: Direction, key: ObjectHandle, first: &[u8]) -> Result<(), HsmError> {
        let name = (key.handle(), way == Direction::Encrypt);
        let first = left(first);
        if *self.answers.entry(name).or_insert(first) == first {
            return Ok(());
        }
        self.lost = true;
        Err(HsmError::Backend)
    }

    /// CBC in place, whole blocks, `iv` one block.
    pub(crate) fn cbc(
        &mut self,
        way: Direction,
        kind: CipherKind,
        key: ObjectHandle,
        iv: &[u8],
        data: &mut [u8],
    ) -> Result<(), HsmError> {
        match way {
            Direction::Encrypt => self.cbc_encrypt(kind, key, iv, data),
            Direction::Decrypt => {
                let before = [iv, data].concat();
                self.ecb(way, kind, key, data)?;
                xor_into(data, &before);
                Ok(())
            }
        }
    }

    // The block in front begins the chain from zeros, so its answer is the one of ECB, and it takes the place
    // of the initial value; the first block makes up for the difference.
    fn cbc_encrypt(
        &mut self,
        kind: CipherKind,
        key: ObjectHandle,
        iv: &[u8],
        data: &mut [u8],
    ) -> Result<(), HsmError> {
        let block = kind.block_length();
        if !self.answers.contains_key(&(key.handle(), true)) {
            let mut alone = [0; 16];
            let alone = alone.get_mut(..block).unwrap_or_default();
            self.ecb_behind(Direction::Encrypt, kind, key, alone)?;
        }
        let known = *self.answers.get(&(key.handle(), true)).ok_or(HsmError::Backend)?;
        let mut work = Zeroizing::new(Vec::with_capacity(data.len().saturating_add(block)));
        work.extend_from_slice(self.front.get(..block).unwrap_or_default());
        work.extend_from_slice(data);
        if let Some(first) = work.get_mut(block..).filter(|first| !first.is_empty()) {
            xor_into(first, iv);
            xor_into(first, known.get(..block).unwrap_or_default());
        }
        let answer = once(&self.main, Direction::Encrypt, &cbc_of(kind, &[]), key, &work);
        let answer = self.judge(answer)?;
        take(answer, &mut work)?;
        self.believe(Direction::Encrypt, key, work.get(..block).unwrap_or_default())?;
        data.copy_from_slice(work.get(block..).unwrap_or_default());
        Ok(())
    }

    /// AES-CMAC of a message that begins here.
    pub(crate) fn sign(&mut self, key: ObjectHandle, data: &[u8]) -> Result<[u8; 16], HsmError> {
        let answer = self.main.sign(&Mechanism::AesCMac, key, data);
        let mut mac = [0; 16];
        take(self.judge(answer)?, &mut mac)?;
        Ok(mac)
    }

    /// Makes a session object of a clear key.
    pub(crate) fn create(
        &mut self,
        purpose: Purpose,
        kind: CipherKind,
        clear: &[u8],
    ) -> Result<ObjectHandle, HsmError> {
        let template = Template::of_key(&self.capability, purpose, kind, clear, false);
        let answer = {
            let _alone = self.making();
            self.main.create_object(&template.0)
        };
        self.judge(answer)
    }

    /// Destroys a session object. One that is gone already is no failure.
    pub(crate) fn destroy(&mut self, object: ObjectHandle) {
        for lane in self.lanes.iter_mut().flatten() {
            if lane.open == Some(object) {
                lane.close();
            }
            if lane.last == Some(object) {
                lane.last = None;
            }
        }
        for encrypts in [true, false] {
            self.answers.remove(&(object.handle(), encrypts));
        }
        let answer = {
            let _alone = self.making();
            self.main.destroy_object(object)
        };
        if let Err(error) = answer {
            self.lost |= Fault::from(&error) == Fault::Lost;
        }
    }

    fn making(&self) -> Option<std::sync::MutexGuard<'static, ()>> {
        self.capability.serial_objects().then(|| MAKING.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Random bytes: the token's XOR the operating system's, so that neither decides alone.
    pub(crate) fn random(&mut self, out: &mut [u8]) -> Result<(), HsmError> {
        getrandom::fill(out).map_err(|_| HsmError::Backend)?;
        if self.capability.random && !out.is_empty() {
            let mut inside = Zeroizing::new(vec![0; out.len()]);
            let answer = self.main.generate_random_slice(&mut inside);
            self.judge(answer)?;
            xor_into(out, &inside);
        }
        Ok(())
    }
}

// The answer of a call, which must be as long as it was asked for.
fn take(answer: Vec<u8>, data: &mut [u8]) -> Result<(), HsmError> {
    let answer = Zeroizing::new(answer);
    if answer.len() != data.len() {
        return Err(HsmError::Backend);
    }
    data.copy_from_slice(&answer);
    Ok(())
}
