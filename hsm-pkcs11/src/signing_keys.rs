//! Ed25519 keys of a service in a token: made inside, never extractable, found again by their public halves. A key is
//! made in two steps, since its label may name its public half: first for this session only, then under its label on
//! the token, where nothing of it can be changed any more.

use crate::error::TokenError;
use crate::fault::Fault;
use crate::signer::{NEEDED_WHAT, generate, offered, point, sound};
use crate::token::Token;
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use std::collections::HashMap;

/// A public half, Ed25519.
type Public = [u8; 32];

/// The keys of a token, in sessions of its own. After a failure the sessions are opened anew.
pub struct SigningKeys {
    token: Token,
    session: Option<Session>,
    found: HashMap<Public, ObjectHandle>,
    // Made and not on the token yet: they go with their session.
    made: Option<Session>,
    waiting: HashMap<Public, [ObjectHandle; 2]>,
}

impl core::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SigningKeys")
    }
}

impl SigningKeys {
    /// Refuses a token that does not offer Ed25519.
    pub fn new(token: &Token) -> Result<Self, TokenError> {
        offered(token)?;
        let (found, waiting) = (HashMap::new(), HashMap::new());
        Ok(Self { token: token.clone(), session: None, found, made: None, waiting })
    }

    // After a call that failed in a way that says so, everything begins anew.
    fn judged<T>(&mut self, answer: Result<T, TokenError>) -> Result<T, TokenError> {
        if let Err(TokenError::Token(error)) = &answer
            && Fault::from(error) == Fault::Lost
        {
            (self.session, self.made) = (None, None);
            self.found.clear();
            self.waiting.clear();
        }
        answer
    }

    fn session(&mut self) -> Result<&Session, TokenError> {
        if self.session.is_none() {
            self.session = Some(self.token.open_session()?);
        }
        self.session.as_ref().ok_or(TokenError::Sessions)
    }

    /// Makes a key, for as long as this session lasts.
    pub fn make(&mut self) -> Result<Public, TokenError> {
        let made = self.make_in_session();
        self.judged(made)
    }

    fn make_in_session(&mut self) -> Result<Public, TokenError> {
        if self.made.is_none() {
            self.made = Some(self.token.open_ceremony()?);
        }
        let session = self.made.as_ref().ok_or(TokenError::Sessions)?;
        let (public, private) = generate(session, "payhsm/made", false)?;
        let point = point(session, public)?.ok_or(TokenError::NotOffered(NEEDED_WHAT))?;
        self.waiting.insert(point, [public, private]);
        Ok(point)
    }

    /// Puts a key that was made on the token, under a label.
    pub fn keep(&mut self, key: &Public, label: &str) -> Result<(), TokenError> {
        let kept = self.keep_on_token(key, label);
        self.judged(kept)
    }

    fn keep_on_token(&mut self, key: &Public, label: &str) -> Result<(), TokenError> {
        let missing = || TokenError::NoKey(label.to_owned());
        let (Some(session), Some(pair)) = (&self.made, self.waiting.get(key)) else { return Err(missing()) };
        let on_token = [
            Attribute::Token(true),
            Attribute::Label(label.as_bytes().to_vec()),
            Attribute::Modifiable(false),
        ];
        // The public half first: by it the other is found, also by whoever destroys what was not finished. Alone it is
        // no key.
        for half in pair {
            session.copy_object(*half, &on_token)?;
        }
        for half in pair {
            // The copies are there; what is left goes with the session.
            let _ = session.destroy_object(*half);
        }
        self.waiting.remove(key);
        if self.label(key)?.as_deref() == Some(label) { Ok(()) } else { Err(missing()) }
    }

    /// The label of a key; none if the token does not hold both halves of it, the private one as it must be.
    pub fn label(&mut self, key: &Public) -> Result<Option<String>, TokenError> {
        let found = self.look(key);
        Ok(self.judged(found)?.map(|(label, _)| label))
    }

    fn look(&mut self, key: &Public) -> Result<Option<(String, ObjectHandle)>, TokenError> {
        let session = self.session()?;
        let Some((label, _)) = public_half(session, key)? else { return Ok(None) };
        let wanted =
            [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label(label.as_bytes().to_vec())];
        let private = match session.find_objects(&wanted)?.as_slice() {
            [private] if sound(session, *private)? => *private,
            _ => return Ok(None),
        };
        self.found.insert(*key, private);
        Ok(Some((label, private)))
    }

    /// Signs.
    pub fn sign(&mut self, key: &Public, message: &[u8]) -> Result<[u8; 64], TokenError> {
        let signed = self.sign_here(key, message);
        self.judged(signed)
    }

    fn sign_here(&mut self, key: &Public, message: &[u8]) -> Result<[u8; 64], TokenError> {
        let private = match (self.waiting.get(key), self.found.get(key)) {
            (Some([_, private]), _) | (None, Some(private)) => *private,
            (None, None) => {
                self.look(key)?.map(|(_, private)| private).ok_or_else(|| TokenError::NoKey(short(key)))?
            }
        };
        let session = if self.waiting.contains_key(key) { self.made.as_ref() } else { Some(self.session()?) };
        let pure = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
        let signature = session.ok_or(TokenError::Sessions)?.sign(&pure, private, message)?;
        signature.try_into().map_err(|_| TokenError::NotOffered(NEEDED_WHAT))
    }

    /// Destroys both halves of a key, or what is there of it. One that is not there is no failure.
    pub fn destroy(&mut self, key: &Public) -> Result<(), TokenError> {
        let done = self.destroy_on_token(key);
        self.judged(done)
    }

    fn destroy_on_token(&mut self, key: &Public) -> Result<(), TokenError> {
        self.found.remove(key);
        if let (Some(pair), Some(session)) = (self.waiting.remove(key), &self.made) {
            for half in pair {
                // What is left goes with the session.
                let _ = session.destroy_object(half);
            }
        }
        let session = self.token.open_ceremony()?;
        let Some((label, public)) = public_half(&session, key)? else { return Ok(()) };
        let wanted = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label(label.into_bytes())];
        for private in session.find_objects(&wanted)? {
            session.destroy_object(private)?;
        }
        // Last: by this one the other is found.
        Ok(session.destroy_object(public)?)
    }
}

fn short(key: &Public) -> String {
    key.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

// Both spellings of a point are looked for; the token's own word decides.
fn public_half(session: &Session, key: &Public) -> Result<Option<(String, ObjectHandle)>, TokenError> {
    let octets = [&[0x04, 0x20], key.as_slice()].concat();
    for spelling in [octets, key.to_vec()] {
        let wanted = [
            Attribute::Class(ObjectClass::PUBLIC_KEY),
            Attribute::KeyType(KeyType::EC_EDWARDS),
            Attribute::Token(true),
            Attribute::EcPoint(spelling),
        ];
        for public in session.find_objects(&wanted)? {
            let facts = session.get_attributes(public, &[AttributeType::Label])?;
            let label = facts.into_iter().find_map(|fact| match fact {
                Attribute::Label(label) => String::from_utf8(label).ok(),
                _ => None,
            });
            if let (Some(label), true) = (label, point(session, public)? == Some(*key)) {
                return Ok(Some((label, public)));
            }
        }
    }
    Ok(None)
}
