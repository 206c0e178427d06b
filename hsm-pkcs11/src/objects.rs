//! What is on the token, attribute by attribute, and what must not be: for reports, and for the test that
//! looks at every object that was made.

use crate::error::TokenError;
use crate::token::Token;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

/// Labels of objects that this program makes begin so; session objects have none.
pub const OWN: &str = "payhsm/";

/// Uses of a key object, by the names of their attributes.
const USES: [(AttributeType, &str); 7] = [
    (AttributeType::Encrypt, "CKA_ENCRYPT"),
    (AttributeType::Decrypt, "CKA_DECRYPT"),
    (AttributeType::Sign, "CKA_SIGN"),
    (AttributeType::Verify, "CKA_VERIFY"),
    (AttributeType::Wrap, "CKA_WRAP"),
    (AttributeType::Unwrap, "CKA_UNWRAP"),
    (AttributeType::Derive, "CKA_DERIVE"),
];

/// A secret key object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectFacts {
    /// Its label; session objects of this program have none.
    pub label: String,
    /// `AES`, `DES2`, `DES3`, or another.
    pub cipher: &'static str,
    /// It stays when the process ends.
    pub on_token: bool,
    /// Only seen after login.
    pub private: bool,
    /// Its value is never shown in clear.
    pub sensitive: bool,
    /// It can leave wrapped.
    pub extractable: bool,
    /// Its attributes can be changed.
    pub modifiable: bool,
    /// It was made inside the token.
    pub made_inside: bool,
    /// The names of the uses that are true.
    pub uses: Vec<&'static str>,
}

impl ObjectFacts {
    /// True for an object that this program made: by label, or a session object of this process.
    pub fn is_ours(&self) -> bool {
        self.label.starts_with(OWN) || !self.on_token
    }

    /// What must not be, in words; empty for a sound object. A key that does two things lets one undo the
    /// other: what is wrapped can be decrypted, what is encrypted can be unwrapped.
    pub fn conflicts(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut must = |holds: bool, what: &str| {
            if !holds {
                found.push(what.to_owned());
            }
        };
        must(self.sensitive, "not CKA_SENSITIVE");
        must(!self.extractable, "CKA_EXTRACTABLE");
        must(!self.modifiable, "CKA_MODIFIABLE");
        must(self.private, "not CKA_PRIVATE");
        if self.uses.len() != 1 {
            found.push(format!("not one use but {}: {}", self.uses.len(), self.uses.join(" ")));
        }
        found
    }
}

/// Facts of every secret key that this login sees: on the token, and session objects of this process.
pub fn dump(token: &Token) -> Result<Vec<ObjectFacts>, TokenError> {
    let session = token.open_session()?;
    let all = session.find_objects(&[Attribute::Class(ObjectClass::SECRET_KEY)])?;
    all.into_iter().map(|object| facts(&session, object)).collect()
}

pub(crate) fn facts(session: &Session, object: ObjectHandle) -> Result<ObjectFacts, TokenError> {
    let mut wanted = vec![
        AttributeType::Label,
        AttributeType::KeyType,
        AttributeType::Token,
        AttributeType::Private,
        AttributeType::Sensitive,
        AttributeType::Extractable,
        AttributeType::Modifiable,
        AttributeType::Local,
    ];
    wanted.extend(USES.iter().map(|(kind, _)| *kind));
    let mut facts = ObjectFacts::default();
    for attribute in session.get_attributes(object, &wanted)? {
        match attribute {
            Attribute::Label(label) => facts.label = String::from_utf8_lossy(&label).into_owned(),
            Attribute::KeyType(kind) => facts.cipher = cipher_name(kind),
            Attribute::Token(is) => facts.on_token = is,
            Attribute::Private(is) => facts.private = is,
            Attribute::Sensitive(is) => facts.sensitive = is,
            Attribute::Extractable(is) => facts.extractable = is,
            Attribute::Modifiable(is) => facts.modifiable = is,
            Attribute::Local(is) => facts.made_inside = is,
            other => facts.uses.extend(use_name(&other)),
        }
    }
    Ok(facts)
}

fn use_name(attribute: &Attribute) -> Option<&'static str> {
    let is_true = matches!(
        attribute,
        Attribute::Encrypt(true)
            | Attribute::Decrypt(true)
            | Attribute::Sign(true)
            | Attribute::Verify(true)
            | Attribute::Wrap(true)
            | Attribute::Unwrap(true)
            | Attribute::Derive(true)
    );
    let kind = attribute.attribute_type();
    USES.iter().find(|(known, _)| is_true && *known == kind).map(|(_, name)| *name)
}

fn cipher_name(kind: KeyType) -> &'static str {
    match kind {
        KeyType::AES => "AES",
        KeyType::DES => "DES",
        KeyType::DES2 => "DES2",
        KeyType::DES3 => "DES3",
        KeyType::GENERIC_SECRET => "generic secret",
        _ => "another",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> ObjectFacts {
        ObjectFacts {
            label: "payhsm/lmk/02/kbak".into(),
            cipher: "AES",
            on_token: true,
            private: true,
            sensitive: true,
            uses: vec!["CKA_SIGN"],
            ..ObjectFacts::default()
        }
    }

    #[test]
    fn each_conflict_is_named() {
        assert!(sound().conflicts().is_empty() && sound().is_ours());
        let changed = |change: fn(&mut ObjectFacts)| {
            let mut facts = sound();
            change(&mut facts);
            facts.conflicts().join(", ")
        };
        assert_eq!(changed(|f| f.sensitive = false), "not CKA_SENSITIVE");
        assert_eq!(changed(|f| f.extractable = true), "CKA_EXTRACTABLE");
        assert_eq!(changed(|f| f.modifiable = true), "CKA_MODIFIABLE");
        assert_eq!(changed(|f| f.private = false), "not CKA_PRIVATE");
        assert_eq!(changed(|f| f.uses.push("CKA_DECRYPT")), "not one use but 2: CKA_SIGN CKA_DECRYPT");
        assert_eq!(changed(|f| f.uses.clear()), "not one use but 0: ");
    }
}
