//! Key tokens to be opened. Apart from the other operations, as single blocks are: keys that were never seen come
//! two for each command, and a list of nothing else is short and is gone through in one loop.

use crate::cache::{Meaning, Name};
use crate::{HsmError, Key, KeyType, LmkId, Scheme};
use core::fmt;

/// A key token that is to be opened, as a backend sees it.
#[derive(Clone, Copy)]
pub struct ToOpen<'t> {
    /// LMK.
    pub lmk: LmkId,
    /// Type, used by variant LMKs.
    pub key_type: KeyType,
    /// Scheme of the token.
    pub scheme: Scheme,
    /// Its text without the tag.
    pub text: &'t [u8],
}

/// Without the text, which is a cryptogram.
impl fmt::Debug for ToOpen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lmk, key_type, scheme, text } = self;
        write!(f, "ToOpen({lmk:?}, {key_type:?}, {scheme:?}, {} characters)", text.len())
    }
}

#[derive(Debug)]
struct OpenOp {
    /// By which the token was looked for.
    hash: u64,
    answer: Option<Result<Key, HsmError>>,
    /// Of its text among those of the batch.
    start: u32,
    length: u32,
    lmk: LmkId,
    key_type: KeyType,
    scheme: Scheme,
}

/// The key tokens of a batch. Their texts are no secrets.
#[derive(Default)]
pub(crate) struct Tokens {
    ops: Vec<OpenOp>,
    texts: Vec<u8>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.ops.len())
    }
}

impl Tokens {
    pub(crate) const fn len(&self) -> usize {
        self.ops.len()
    }

    // Keys that were seen do not come here, and theirs is the path to be short.
    #[inline(never)]
    pub(crate) fn push(&mut self, lmk: LmkId, key_type: KeyType, scheme: Scheme, name: &Name<'_>) -> usize {
        let index = self.ops.len();
        // Four gigabytes of tokens do not come in one batch; did they, the last would be no tokens.
        let [start, length] =
            [self.texts.len(), name.text.len()].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        self.texts.extend_from_slice(name.text);
        self.ops.push(OpenOp { hash: name.hash, answer: None, start, length, lmk, key_type, scheme });
        index
    }

    #[inline]
    fn text<'t>(texts: &'t [u8], op: &OpenOp) -> Option<&'t [u8]> {
        let start = usize::try_from(op.start).ok()?;
        texts.get(start..)?.get(..usize::try_from(op.length).ok()?)
    }

    /// The token at `index`.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<ToOpen<'_>> {
        let op = self.ops.get(index)?;
        let text = Self::text(&self.texts, op)?;
        Some(ToOpen { lmk: op.lmk, key_type: op.key_type, scheme: op.scheme, text })
    }

    #[inline]
    pub(crate) fn answer(&mut self, index: usize, answer: Result<Key, HsmError>) {
        if let Some(op) = self.ops.get_mut(index) {
            op.answer = Some(answer);
        }
    }

    /// True until there is an answer.
    pub(crate) fn is_open(&self, index: usize) -> bool {
        self.ops.get(index).is_some_and(|op| op.answer.is_none())
    }

    /// Takes an answer, and with a key the name by which it was looked for.
    #[inline]
    pub(crate) fn take(&mut self, index: usize) -> Result<(Key, Name<'_>), HsmError> {
        let op = self.ops.get_mut(index).ok_or(HsmError::Backend)?;
        let key = op.answer.take().unwrap_or(Err(HsmError::Backend))?;
        let meaning = Meaning::new(op.lmk, op.scheme, op.key_type);
        let text = Self::text(&self.texts, op).ok_or(HsmError::Backend)?;
        Ok((key, Name { meaning, text, hash: op.hash }))
    }

    /// Forgets all; keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.ops.clear();
        self.texts.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Binding, Hygiene, KeyAttributes};
    use paytypes::{CipherKind, KeyShape};

    fn key(n: u32) -> Key {
        let shape = KeyShape { kind: CipherKind::Tdes, length: 16 };
        Key::new(KeyAttributes { shape, binding: Binding::Session, hygiene: Hygiene::GOOD }, n)
    }

    fn push(tokens: &mut Tokens, scheme: Scheme, text: &[u8], hash: u64) -> usize {
        let meaning = Meaning::new(LmkId(3), scheme, KeyType::ZPK);
        tokens.push(LmkId(3), KeyType::ZPK, scheme, &Name { meaning, text, hash })
    }

    #[test]
    fn tokens_keep_text_name_and_answer() {
        let mut tokens = Tokens::default();
        assert_eq!(push(&mut tokens, Scheme::U, b"0123", 7), 0);
        assert_eq!(push(&mut tokens, Scheme::S, b"", 8), 1);
        assert_eq!(push(&mut tokens, Scheme::T, b"456789", 9), 2);
        let token = tokens.get(2).unwrap();
        assert_eq!((token.text, token.scheme, token.lmk), (b"456789".as_slice(), Scheme::T, LmkId(3)));
        assert!(!format!("{token:?} {tokens:?}").contains("4567"));
        assert!(tokens.get(3).is_none());
        tokens.answer(2, Ok(key(5)));
        tokens.answer(0, Err(HsmError::Token));
        tokens.answer(9, Err(HsmError::Token));
        let (opened, name) = tokens.take(2).unwrap();
        assert_eq!((opened.material(), name.text, name.hash), (Some(&5u32), b"456789".as_slice(), 9));
        assert!(name.meaning == Meaning::new(LmkId(3), Scheme::T, KeyType::ZPK));
        // Taken, refused, not answered, not there.
        for (index, error) in
            [(2, HsmError::Backend), (0, HsmError::Token), (1, HsmError::Backend), (3, HsmError::Backend)]
        {
            assert_eq!(tokens.take(index).err(), Some(error), "{index}");
        }
        tokens.clear();
        assert_eq!((tokens.len(), tokens.get(0).is_none()), (0, true));
    }

    #[test]
    fn a_token_that_waits_is_small() {
        assert!(size_of::<OpenOp>() <= 40);
    }
}
