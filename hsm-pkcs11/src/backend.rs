//! The backend: answers batches of operations with objects of a token. Blocks are gathered by object
//! (`group`); everything else is done in turn. When sessions are lost they are opened anew, and what had no
//! answer is tried once more.

use crate::block::{self, Form};
use crate::cache::Objects;
use crate::group::Groups;
use crate::link::Link;
use crate::lmk::{self, TokenLmk};
use crate::mac::{CmacKey, chain, cmac, retail};
use crate::material::{Material, Source};
use crate::resident;
use crate::selftest;
use crate::template::Purpose;
use crate::token::Token;
use cryptoki::object::ObjectHandle;
use hsm::{
    Backend, BackendClass, Binding, HsmError, Hygiene, Key, KeyAttributes, KeyToken, LmkId, LmkInfo, Op,
    OpBatch, Outcome, Scheme, SealAs,
};
use paytypes::bytes::xor_into;
use paytypes::parity::{Weakness, is_odd, make_odd, weakness};
use paytypes::secret::KEY_LENGTH_MAX;
use paytypes::{CipherError, CipherKind, ClearKey, Direction, KeyShape, MacAlgorithm, MacValue};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Pause after a failed try to connect, and the longest that it grows to.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The backend of one thread, over a token.
pub struct TokenBackend {
    token: Token,
    infos: Vec<LmkInfo>,
    open: Option<Open>,
    objects: Objects<ObjectHandle>,
    groups: Groups,
    pause: Duration,
    not_before: Option<Instant>,
}

// What stands while the token does.
struct Open {
    link: Link,
    lmks: Vec<TokenLmk>,
}

impl core::fmt::Debug for TokenBackend {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "TokenBackend({:?}, {} objects)", self.infos, self.objects.len())
    }
}

impl TokenBackend {
    pub(crate) fn new(token: Token, infos: Vec<LmkInfo>) -> Self {
        let most = token.options().objects_max.unwrap_or(token.capability().objects_max());
        Self {
            token,
            infos,
            open: None,
            objects: Objects::new(most),
            groups: Groups::default(),
            pause: PAUSE,
            not_before: None,
        }
    }

    /// Session objects that stand for opened keys now.
    pub fn objects(&self) -> usize {
        self.objects.len()
    }

    /// True when the token answered last time, or was not asked yet.
    pub fn is_ready(&self) -> bool {
        self.not_before.is_none()
    }

    // Connects unless a try has just failed. `answered` is called for each answer of the token.
    fn connect(&mut self, answered: &mut dyn FnMut()) {
        if self.open.is_some() || self.not_before.is_some_and(|at| Instant::now() < at) {
            return;
        }
        self.objects.forget();
        self.open = self.opened(answered);
        if self.open.is_some() {
            (self.pause, self.not_before) = (PAUSE, None);
        } else {
            self.not_before = Instant::now().checked_add(self.pause);
            self.pause = self.pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }

    // Another token in the slot, or another LMK under an identifier, is not what was started with. LMKs that
    // were added since are served by whoever starts next.
    fn opened(&self, answered: &mut dyn FnMut()) -> Option<Open> {
        let mut link = self.token.connect().ok()?;
        if !selftest::passes(&mut link, answered) {
            return None;
        }
        let mut lmks = lmk::find_all(&mut link, answered).ok()?;
        keep_known(&mut lmks, &self.infos).then_some(Open { link, lmks })
    }

    // One pass over the operations that have no answer, or none from the token.
    fn pass(&mut self, ops: &mut OpBatch) {
        self.connect(&mut || {});
        let Self { token, open, objects, groups, .. } = self;
        let Some(open) = open else {
            return ops.for_each_open(|outcome| *outcome = Some(Err(HsmError::Backend)));
        };
        for object in objects.begin() {
            open.link.destroy(object);
        }
        let mut desk = Desk { token, open, objects, groups };
        for index in 0..ops.len() {
            let Some(view) = ops.view(index) else { continue };
            if !is_open(view.outcome) {
                continue;
            }
            match desk.begin(index, view.op, view.iv, view.data) {
                Ok(Some(outcome)) => *view.outcome = Some(Ok(outcome)),
                Ok(None) => {}
                Err(error) => *view.outcome = Some(Err(error)),
            }
        }
        groups.run(&mut open.link, ops);
    }
}

trait Unanswered {
    fn for_each_open(&mut self, answer: impl FnMut(&mut Option<Result<Outcome, HsmError>>));
}

impl Unanswered for OpBatch {
    fn for_each_open(&mut self, mut answer: impl FnMut(&mut Option<Result<Outcome, HsmError>>)) {
        for index in 0..self.len() {
            if let Some(view) = self.view(index)
                && is_open(view.outcome)
            {
                answer(view.outcome);
            }
        }
    }
}

fn is_open(outcome: &Option<Result<Outcome, HsmError>>) -> bool {
    matches!(outcome, None | Some(Err(HsmError::Backend)))
}

impl Backend for TokenBackend {
    fn run(&mut self, ops: &mut OpBatch) {
        self.pass(ops);
        if self.open.as_ref().is_some_and(|open| open.link.is_lost()) {
            // Objects and sessions are gone. What failed changed no data, so it can be done again.
            self.open = None;
            self.pass(ops);
            if self.open.as_ref().is_some_and(|open| open.link.is_lost()) {
                self.open = None;
            }
        }
    }

    fn lmks(&self) -> &[LmkInfo] {
        &self.infos
    }

    fn class(&self) -> BackendClass {
        BackendClass::B
    }

    // Known answers, and the check values of the LMKs anew: a token that is gone, or has begun to lie, is found
    // here. A call of this that failed is done again as one of a command would be: in new sessions.
    fn alive(&mut self, answered: &mut dyn FnMut()) -> bool {
        let Some(open) = &mut self.open else { return self.is_ready() };
        let sound = selftest::passes(&mut open.link, answered)
            && lmk::find_all(&mut open.link, answered)
                .is_ok_and(|mut found| keep_known(&mut found, &self.infos));
        if !open.link.is_lost() {
            return sound;
        }
        self.open = None;
        self.connect(answered);
        self.open.is_some()
    }
}

// True when all that are known are there; the others are dropped.
fn keep_known(found: &mut Vec<TokenLmk>, known: &[LmkInfo]) -> bool {
    let is = |found: &TokenLmk, info: &LmkInfo| {
        (found.info.id, found.info.scheme, found.info.check) == (info.id, info.scheme, info.check)
    };
    found.retain(|found| known.iter().any(|info| is(found, info)));
    found.len() == known.len()
}

// What one pass works with.
struct Desk<'a> {
    token: &'a Token,
    open: &'a mut Open,
    objects: &'a mut Objects<ObjectHandle>,
    groups: &'a mut Groups,
}

impl Desk<'_> {
    // Answers at once, or puts the operation into a group.
    fn begin(
        &mut self,
        index: usize,
        op: &Op,
        iv: &[u8],
        data: &mut [u8],
    ) -> Result<Option<Outcome>, HsmError> {
        Ok(Some(match op {
            Op::Ecb { key, way } => return self.blocks(index, key, *way, data),
            Op::Cbc { key, way } => return self.cbc(index, key, *way, iv, data),
            Op::Mac { key, algorithm } => Outcome::Mac(self.mac(key, *algorithm, iv, data)?),
            Op::Open { lmk, scheme, .. } => Outcome::Key(self.open(*lmk, *scheme, data)?),
            Op::Seal { lmk, key, form } => Outcome::Token(Box::new(self.seal(*lmk, key, form)?)),
            Op::Generate { shape } => Outcome::Key(self.generate(*shape)?),
            Op::Random => {
                self.open.link.random(data)?;
                Outcome::Done
            }
            Op::Load { kind } => Outcome::Key(self.session_key(*kind, data)?),
            Op::Variant { key } => Outcome::Key(self.masked(key, data)?),
            // Through a token, a step at a time.
            Op::Dukpt { .. } => return Err(HsmError::Cipher(CipherError::NotOffered)),
            Op::Reveal { key } => Outcome::Clear(Box::new(self.clear(Material::of(key)?)?)),
            Op::LmkKey { lmk, purpose } => {
                let kind = self.lmk(*lmk)?.kind;
                let length = if kind == CipherKind::Aes { 32 } else { 24 };
                let shape = KeyShape { kind, length };
                Outcome::Key(self.key(shape, Binding::Session, Hygiene::GOOD, Source::Lmk(*lmk, *purpose)))
            }
        }))
    }

    fn lmk(&self, id: LmkId) -> Result<&TokenLmk, HsmError> {
        self.open.lmks.iter().find(|lmk| lmk.info.id == id).ok_or(HsmError::NoSuchLmk)
    }

    fn opened(&mut self, id: LmkId, text: &[u8]) -> Result<block::Opened, HsmError> {
        let Open { link, lmks } = &mut *self.open;
        let lmk = lmks.iter().find(|lmk| lmk.info.id == id).ok_or(HsmError::NoSuchLmk)?;
        block::open(link, lmk, text)
    }

    fn key(&self, shape: KeyShape, binding: Binding, hygiene: Hygiene, source: Source) -> Key {
        let material = Material::new(shape, source, self.objects.dropped());
        Key::new(KeyAttributes { shape, binding, hygiene }, material)
    }

    // A key of a cipher that the token does not have is refused before anything is done with it.
    fn offered(&self, kind: CipherKind) -> Result<(), HsmError> {
        if self.open.link.capability().offers(kind) {
            Ok(())
        } else {
            Err(HsmError::Cipher(CipherError::NotOffered))
        }
    }

    fn open(&mut self, id: LmkId, scheme: Scheme, text: &[u8]) -> Result<Key, HsmError> {
        if scheme == Scheme::K || text.first() == Some(&b'K') {
            return self.resident(text);
        }
        self.lmk(id)?;
        if scheme != Scheme::S {
            return Err(HsmError::Scheme);
        }
        let opened = self.opened(id, text)?;
        self.offered(opened.kind)?;
        let shape = KeyShape { kind: opened.kind, length: opened.clear.len() };
        let hygiene = hygiene(opened.kind, opened.clear.expose());
        let source = Source::Sealed(id, KeyToken::new(Scheme::S, text));
        Ok(self.key(shape, Binding::Block(opened.attributes), hygiene, source))
    }

    fn resident(&mut self, text: &[u8]) -> Result<Key, HsmError> {
        let index = text.strip_prefix(b"K").unwrap_or(text);
        let residents = &self.token.options().residents;
        let known = residents.iter().find(|r| r.index.as_bytes() == index).ok_or(HsmError::EmptyIndex)?;
        let shape = resident::shape(self.open.link.session(), &known.label)?;
        self.offered(shape.kind)?;
        Ok(self.key(shape, known.binding, Hygiene::GOOD, Source::Resident(known.label.clone())))
    }

    fn seal(&mut self, id: LmkId, key: &Key, form: &SealAs) -> Result<KeyToken, HsmError> {
        let material = Material::of(key)?;
        self.lmk(id)?;
        let SealAs::Block { attributes, optional_count, optional } = form else {
            return Err(HsmError::Scheme);
        };
        let clear = self.clear(material)?;
        let form = Form { attributes, optional_count: *optional_count, optional };
        let Open { link, lmks } = &mut *self.open;
        let lmk = lmks.iter().find(|lmk| lmk.info.id == id).ok_or(HsmError::NoSuchLmk)?;
        block::seal(link, lmk, material.shape.kind, &clear, &form)
    }

    fn generate(&mut self, shape: KeyShape) -> Result<Key, HsmError> {
        self.offered(shape.kind)?;
        if !shape.kind.takes(shape.length) {
            return Err(HsmError::KeyLength);
        }
        let mut clear = Zeroizing::new([0; KEY_LENGTH_MAX]);
        let room = clear.get_mut(..shape.length).ok_or(HsmError::KeyLength)?;
        loop {
            self.open.link.random(room)?;
            if shape.kind == CipherKind::Aes {
                break;
            }
            make_odd(room);
            if weakness(room) == Weakness::None {
                break;
            }
        }
        self.session_key(shape.kind, room)
    }

    fn session_key(&self, kind: CipherKind, clear: &[u8]) -> Result<Key, HsmError> {
        self.offered(kind)?;
        if !kind.takes(clear.len()) {
            return Err(HsmError::KeyLength);
        }
        let shape = KeyShape { kind, length: clear.len() };
        let source = Source::Clear(ClearKey::new(clear).map_err(|_| HsmError::KeyLength)?);
        Ok(self.key(shape, Binding::Session, hygiene(kind, clear), source))
    }

    fn masked(&mut self, key: &Key, mask: &[u8]) -> Result<Key, HsmError> {
        let material = Material::of(key)?;
        let mut clear = self.clear(material)?;
        if mask.len() != clear.len() {
            return Err(HsmError::KeyLength);
        }
        xor_into(clear.expose_mut(), mask);
        self.session_key(material.shape.kind, clear.expose())
    }

    /// The clear bytes, for a moment. What lives in the token has none here.
    fn clear(&mut self, material: &Material) -> Result<ClearKey, HsmError> {
        match &material.source {
            Source::Clear(clear) => Ok(clear.duplicate()),
            Source::Sealed(id, token) => Ok(self.opened(*id, token.text())?.clear),
            Source::Lmk(..) | Source::Resident(_) => Err(HsmError::NotRevealed),
        }
    }

    // The object with which a key does something, made when it is first needed.
    fn object(&mut self, material: &Material, purpose: Purpose) -> Result<ObjectHandle, HsmError> {
        let ticket = material.ticket(purpose);
        if let Some(object) = ticket.get().and_then(|ticket| self.objects.get(ticket)) {
            return Ok(object);
        }
        match &material.source {
            Source::Lmk(id, what) => match purpose {
                Purpose::Encrypt => Ok(self.lmk(*id)?.pair(*what).encrypt),
                Purpose::Decrypt => Ok(self.lmk(*id)?.pair(*what).decrypt),
                Purpose::Sign | Purpose::Left => Err(HsmError::Cipher(CipherError::Unsupported)),
            },
            Source::Resident(label) => resident::object(self.open.link.session(), label, purpose),
            Source::Clear(_) | Source::Sealed(..) => {
                let clear = self.clear(material)?;
                if let Some(oldest) = self.objects.evict() {
                    self.open.link.destroy(oldest);
                }
                let object = self.open.link.create(purpose, material.shape.kind, clear.expose())?;
                ticket.set(Some(self.objects.put(object)));
                Ok(object)
            }
        }
    }

    fn blocks(
        &mut self,
        index: usize,
        key: &Key,
        way: Direction,
        data: &[u8],
    ) -> Result<Option<Outcome>, HsmError> {
        let material = Material::of(key)?;
        let kind = material.shape.kind;
        if !data.len().is_multiple_of(kind.block_length()) {
            return Err(HsmError::Cipher(CipherError::DataLength));
        }
        if data.is_empty() {
            return Ok(Some(Outcome::Done));
        }
        let purpose = match way {
            Direction::Encrypt => Purpose::Encrypt,
            Direction::Decrypt => Purpose::Decrypt,
        };
        let object = self.object(material, purpose)?;
        self.groups.add(index, way, kind, object, data.len());
        Ok(None)
    }

    fn cbc(
        &mut self,
        index: usize,
        key: &Key,
        way: Direction,
        iv: &[u8],
        data: &mut [u8],
    ) -> Result<Option<Outcome>, HsmError> {
        let material = Material::of(key)?;
        let kind = material.shape.kind;
        let block = kind.block_length();
        if iv.len() != block || !data.len().is_multiple_of(block) {
            return Err(HsmError::Cipher(CipherError::DataLength));
        }
        if way == Direction::Decrypt || data.len() <= block {
            return self.blocks(index, key, way, data);
        }
        let object = self.object(material, Purpose::Encrypt)?;
        self.open.link.cbc(way, kind, object, iv, data)?;
        Ok(Some(Outcome::Done))
    }

    fn mac(
        &mut self,
        key: &Key,
        algorithm: MacAlgorithm,
        iv: &[u8],
        data: &[u8],
    ) -> Result<MacValue, HsmError> {
        let material = Material::of(key)?;
        let kind = material.shape.kind;
        match algorithm {
            MacAlgorithm::Cmac => {
                let key = self.cmac_key(material)?;
                cmac(&mut self.open.link, kind, key, iv, data)
            }
            MacAlgorithm::Iso1 => {
                let object = self.object(material, Purpose::Encrypt)?;
                chain(&mut self.open.link, kind, object, iv, data)
            }
            _ if kind == CipherKind::Aes => Err(HsmError::Cipher(CipherError::Unsupported)),
            MacAlgorithm::Iso3Chain => {
                let part = self.object(material, Purpose::Left)?;
                chain(&mut self.open.link, kind, part, iv, data)
            }
            MacAlgorithm::Iso3 => {
                let whole = self.object(material, Purpose::Encrypt)?;
                let part = if data.len() > 8 { Some(self.object(material, Purpose::Left)?) } else { None };
                retail(&mut self.open.link, part, whole, iv, data)
            }
        }
    }

    // AES keys sign where the module does CMAC; the keys of an LMK have no object that does.
    fn cmac_key(&mut self, material: &Material) -> Result<CmacKey, HsmError> {
        let signs = material.shape.kind == CipherKind::Aes
            && self.open.link.capability().aes_cmac
            && !matches!(material.source, Source::Lmk(..));
        if signs {
            Ok(CmacKey::Sign(self.object(material, Purpose::Sign)?))
        } else {
            Ok(CmacKey::Encrypt(self.object(material, Purpose::Encrypt)?))
        }
    }
}

fn hygiene(kind: CipherKind, clear: &[u8]) -> Hygiene {
    match kind {
        CipherKind::Aes => Hygiene::GOOD,
        _ => Hygiene { odd_parity: is_odd(clear), weakness: weakness(clear) },
    }
}
