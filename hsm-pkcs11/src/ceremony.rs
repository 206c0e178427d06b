//! Making an LMK on a token. An AES LMK is made inside where the token can; what is derived from it, and every
//! LMK that is formed of components, is clear in this process's memory while the ceremony lasts, is wiped,
//! and is afterwards only on the token, in objects that cannot be extracted.

use crate::block::{self, Form};
use crate::error::TokenError;
use crate::link::Link;
use crate::lmk::{self, IDS, Part, TokenLmk};
use crate::template::{Purpose, Template, attributes};
use crate::token::Token;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectHandle};
use cryptoki::session::Session;
use hsm::{BlockAttributes, LmkId, LmkInfo, LmkPurpose, LmkScheme, lmk_working_key};
use paytypes::parity::{Weakness, make_odd, weakness};
use paytypes::soft::{Soft, SoftKey};
use paytypes::{
    Cipher, CipherError, CipherKind, ClearBytes, ClearKey, Direction, Exportability, KeyShape, KeyUsage,
    KeyVersion, MacAlgorithm, MacValue, ModeOfUse, now,
};
use tr31::sblock::SKeys;

/// Makes a random LMK. A variant set has no place on a token.
pub fn generate(token: &Token, id: LmkId, scheme: LmkScheme) -> Result<LmkInfo, TokenError> {
    let kind = prepare(token, id, scheme)?;
    let capability = token.capability();
    if kind == CipherKind::Aes && capability.aes_generate && capability.aes_cmac {
        return made(token, id, |session, maker| {
            let mut template = attributes(Purpose::Sign, KeyType::AES, true);
            template.push(Attribute::ValueLen(32.into()));
            template.push(Attribute::Label(Part::Master.label(id).into_bytes()));
            let master = session.generate_key(&Mechanism::AesKeyGen, &template)?;
            maker.objects.push(master);
            let inside = Inside { session, master };
            derive(&inside, &Derived::Master, |key| match key {
                Derived::Clear(clear) => Some(clear),
                Derived::Master => None,
            })
        });
    }
    let mut clear = ClearBytes::zeroed(if kind == CipherKind::Aes { 32 } else { 24 });
    let mut link = token.connect()?;
    loop {
        link.random(clear.expose_mut()).map_err(|_| TokenError::Derivation)?;
        if kind != CipherKind::Aes {
            make_odd(clear.expose_mut());
        }
        if kind == CipherKind::Aes || weakness(clear.expose()) == Weakness::None {
            break;
        }
    }
    drop(link);
    import(token, id, scheme, &clear)
}

/// Loads an LMK that was formed of components, or a public test LMK: 32 bytes for AES, 24 for 3DES.
pub fn import(
    token: &Token,
    id: LmkId,
    scheme: LmkScheme,
    clear: &ClearBytes,
) -> Result<LmkInfo, TokenError> {
    let kind = prepare(token, id, scheme)?;
    let length = if kind == CipherKind::Aes { 32 } else { 24 };
    if clear.len() != length || (kind == CipherKind::Tdes && weakness(clear.expose()) != Weakness::None) {
        return Err(TokenError::LmkWeak);
    }
    made(token, id, |_, maker| {
        let key = SoftKey::new(kind, clear.expose()).map_err(|_| TokenError::LmkWeak)?;
        let derived = derive(&Soft, &key, |key| Some(key.expose().duplicate()))?;
        maker.master = Some(ClearKey::new(clear.expose()).map_err(|_| TokenError::LmkWeak)?);
        Ok(derived)
    })
}

// Judges what can be judged beforehand, and clears away what a ceremony that was cut short left behind: an
// LMK that is not complete has never served.
fn prepare(token: &Token, id: LmkId, scheme: LmkScheme) -> Result<CipherKind, TokenError> {
    if id.0 >= IDS {
        return Err(TokenError::LmkNumber);
    }
    let (kind, name) = match scheme {
        LmkScheme::AesBlock => (CipherKind::Aes, "AES"),
        LmkScheme::TdesBlock => (CipherKind::Tdes, "3DES"),
        LmkScheme::Variant => return Err(TokenError::NotOffered("variant LMKs")),
    };
    if !token.capability().offers(kind) {
        return Err(TokenError::NotOffered(name));
    }
    let session = token.open_ceremony()?;
    let mut left = Vec::new();
    let mut parts = 0usize;
    for part in Part::ALL {
        let found = lmk::find(&session, &part.label(id))?;
        parts = parts.saturating_add(usize::from(!found.is_empty()));
        left.extend(found);
    }
    if parts == Part::ALL.len() {
        return Err(TokenError::LmkExists(id));
    }
    for object in left {
        session.destroy_object(object)?;
    }
    Ok(kind)
}

// The keys that are derived from an LMK, in clear until they are stored.
struct DerivedKeys {
    kind: CipherKind,
    kbek: ClearKey,
    kbak: ClearKey,
    pin: ClearKey,
    table: ClearKey,
}

fn derive<C: Cipher>(
    cipher: &C,
    master: &C::Key,
    clear: impl Fn(C::Key) -> Option<ClearKey>,
) -> Result<DerivedKeys, TokenError> {
    let refused = TokenError::Derivation;
    let keys = now(SKeys::new(cipher, master)).and_then(Result::ok).ok_or(TokenError::Derivation)?;
    let (kbek, kbak) = keys.into_parts();
    let working = |purpose| {
        let made = now(lmk_working_key(cipher, master, purpose)).and_then(Result::ok);
        made.and_then(&clear).ok_or(TokenError::Derivation)
    };
    let pin = working(LmkPurpose::PinStorage)?;
    let table = working(LmkPurpose::DecimalisationTable)?;
    let kind = cipher.shape(master).kind;
    match clear(kbek).zip(clear(kbak)) {
        Some((kbek, kbak)) => Ok(DerivedKeys { kind, kbek, kbak, pin, table }),
        None => Err(refused),
    }
}

// Objects that were made so far, to be taken back when the ceremony fails.
struct Maker<'t> {
    token: &'t Token,
    id: LmkId,
    aes_cmac: bool,
    objects: Vec<ObjectHandle>,
    /// The LMK itself when it came from outside: stored last, since it is what backends look for.
    master: Option<ClearKey>,
}

impl Maker<'_> {
    fn store(
        &mut self,
        session: &Session,
        part: Part,
        purpose: Purpose,
        kind: CipherKind,
        clear: &[u8],
    ) -> Result<(), TokenError> {
        let mut template = Template::of_key(self.token.capability(), purpose, kind, clear, true);
        template.0.push(Attribute::Label(part.label(self.id).into_bytes()));
        self.objects.push(session.create_object(&template.0)?);
        Ok(())
    }

    fn store_all(&mut self, session: &Session, keys: &DerivedKeys) -> Result<(), TokenError> {
        let kind = keys.kind;
        let signs = kind == CipherKind::Aes && self.aes_cmac;
        let kbak = if signs { Purpose::Sign } else { Purpose::Encrypt };
        for (part, purpose, key) in [
            (Part::KbekEncrypt, Purpose::Encrypt, &keys.kbek),
            (Part::KbekDecrypt, Purpose::Decrypt, &keys.kbek),
            (Part::Kbak, kbak, &keys.kbak),
            (Part::PinEncrypt, Purpose::Encrypt, &keys.pin),
            (Part::PinDecrypt, Purpose::Decrypt, &keys.pin),
            (Part::TableEncrypt, Purpose::Encrypt, &keys.table),
            (Part::TableDecrypt, Purpose::Decrypt, &keys.table),
        ] {
            self.store(session, part, purpose, kind, key.expose())?;
        }
        match self.master.take() {
            Some(master) => self.store(session, Part::Master, kbak, kind, master.expose()),
            None => Ok(()),
        }
    }
}

fn made(
    token: &Token,
    id: LmkId,
    begin: impl FnOnce(&Session, &mut Maker<'_>) -> Result<DerivedKeys, TokenError>,
) -> Result<LmkInfo, TokenError> {
    let session = token.open_ceremony()?;
    let aes_cmac = token.capability().aes_cmac;
    let mut maker = Maker { token, id, aes_cmac, objects: Vec::new(), master: None };
    let done = begin(&session, &mut maker)
        .and_then(|keys| maker.store_all(&session, &keys))
        .and_then(|()| proven(token, id));
    if done.is_err() {
        for object in maker.objects {
            // What cannot be taken back now is cleared away by the next ceremony of this LMK.
            let _ = session.destroy_object(object);
        }
    }
    done
}

// The LMK as a backend will find it, with a key that goes into a block and comes out again.
fn proven(token: &Token, id: LmkId) -> Result<LmkInfo, TokenError> {
    let mut link = token.connect()?;
    let lmks = lmk::find_all(&mut link, &mut || {})?;
    let found = lmks.iter().find(|lmk| lmk.info.id == id).ok_or(TokenError::Derivation)?;
    if comes_back(&mut link, found) != Some(true) {
        return Err(TokenError::Derivation);
    }
    Ok(found.info.clone())
}

fn comes_back(link: &mut Link, lmk: &TokenLmk) -> Option<bool> {
    let mut clear = ClearKey::new(&[0; 16]).ok()?;
    link.random(clear.expose_mut()).ok()?;
    let attributes = BlockAttributes {
        usage: KeyUsage(*b"D0"),
        mode: ModeOfUse::BOTH,
        version: KeyVersion::UNUSED,
        exportability: Exportability::NONE,
    };
    let form = Form { attributes: &attributes, optional_count: 0, optional: &[] };
    let sealed = block::seal(link, lmk, CipherKind::Aes, &clear, &form).ok()?;
    let opened = block::open(link, lmk, sealed.text()).ok()?;
    Some(opened.clear.same_as(&clear))
}

// The LMK that was made inside: it derives by signing, and is never seen.
struct Inside<'s> {
    session: &'s Session,
    master: ObjectHandle,
}

enum Derived {
    Master,
    Clear(ClearKey),
}

impl Cipher for Inside<'_> {
    type Key = Derived;

    fn shape(&self, key: &Derived) -> KeyShape {
        let length = match key {
            Derived::Master => 32,
            Derived::Clear(clear) => clear.len(),
        };
        KeyShape { kind: CipherKind::Aes, length }
    }

    async fn load(&self, _: CipherKind, clear: &[u8]) -> Result<Derived, CipherError> {
        ClearKey::new(clear).map(Derived::Clear).map_err(|_| CipherError::KeyLength)
    }

    async fn variant(&self, _: &Derived, _: &[u8]) -> Result<Derived, CipherError> {
        Err(CipherError::Unsupported)
    }

    async fn ecb(&self, _: &Derived, _: Direction, _: &mut [u8]) -> Result<(), CipherError> {
        Err(CipherError::Unsupported)
    }

    async fn cbc(&self, _: &Derived, _: Direction, _: &[u8], _: &mut [u8]) -> Result<(), CipherError> {
        Err(CipherError::Unsupported)
    }

    async fn mac(
        &self,
        _: &Derived,
        algorithm: MacAlgorithm,
        iv: &[u8],
        data: &[u8],
    ) -> Result<MacValue, CipherError> {
        if algorithm != MacAlgorithm::Cmac || iv.iter().any(|b| *b != 0) {
            return Err(CipherError::Unsupported);
        }
        let made = self.session.sign(&Mechanism::AesCMac, self.master, data);
        let made = zeroize::Zeroizing::new(made.map_err(|_| CipherError::Backend)?);
        Ok(MacValue::new(&made))
    }
}
