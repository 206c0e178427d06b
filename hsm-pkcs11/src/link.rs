//! The sessions of one backend and the calls that are made in them. Buffers that the binding returns are
//! wiped; a call that fails says whether everything must begin anew.

use crate::capability::Capability;
use crate::fault::Fault;
use crate::template::{Purpose, Template};
use cryptoki::error::Error;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use hsm::HsmError;
use paytypes::bytes::{left, xor_into};
use paytypes::{CipherKind, Direction};
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
    pub(crate) fn new(main: Session, more: Option<[Session; 2]>, capability: Capability) -> Self {
        let lanes = more.map(|[encrypt, decrypt]| {
            [Lane::new(encrypt, Direction::Encrypt), Lane::new(decrypt, Direction::Decrypt)]
        });
        Self { main, lanes, capability, lost: false }
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
        let answer = match &mut self.lanes {
            Some([encrypt, _]) if way == Direction::Encrypt => encrypt.run(kind, key, data),
            Some([_, decrypt]) => decrypt.run(kind, key, data),
            None => once(&self.main, way, &ecb_of(kind), key, data),
        };
        let answer = self.judge(answer)?;
        take(answer, data)
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
        let answer = once(&self.main, way, &cbc_of(kind, iv), key, data);
        let answer = self.judge(answer)?;
        take(answer, data)
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
