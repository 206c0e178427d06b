//! Double-length keys of one kind under a variant LMK: nearly all keys of a batch that were never seen. All left
//! halves are wrapped under one key and all right ones under another, so that a pass needs nothing made for each but the
//! block itself, see [`tdes_lanes::Lanes::run_two`].

use crate::made;
use hsm::{Binding, KeyType, LmkId, OpBatch, Scheme, ToOpen};
use paytypes::{DesKey, hex};
use tdes_lanes::{Direction, Lanes};
use zeroize::Zeroize;

/// Type and scheme of keys under an LMK: they are wrapped under the same keys.
pub(crate) type Kind = (LmkId, KeyType, Scheme);

/// The halves of the keys that are being opened; memory is kept from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Halves {
    kind: Option<Kind>,
    /// Which tokens of the batch.
    tokens: Vec<usize>,
    /// Wrapped, until the lanes have run.
    halves: Vec<[u64; 2]>,
}

#[inline]
fn kind_of(token: &ToOpen<'_>) -> Kind {
    (token.lmk, token.key_type, token.scheme)
}

impl Halves {
    /// Number of halves.
    pub(crate) const fn len(&self) -> usize {
        self.halves.len().saturating_mul(2)
    }

    /// Which kind they are of; none while there are none.
    pub(crate) const fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// Takes a token of the kind that the others have; false when it has another, or is none.
    #[inline]
    pub(crate) fn takes(&mut self, index: usize, token: &ToOpen<'_>) -> bool {
        if self.kind != Some(kind_of(token)) {
            return false;
        }
        match token.text.as_chunks::<16>() {
            ([left, right], []) if hex::is_hex(token.text) => {
                self.push(index, [hex::word_of(left), hex::word_of(right)]);
                true
            }
            _ => false,
        }
    }

    /// Takes the first of a kind; false when there is another kind.
    pub(crate) fn begin(&mut self, index: usize, token: &ToOpen<'_>, halves: [u64; 2]) -> bool {
        if self.kind.is_some() {
            return false;
        }
        self.kind = Some(kind_of(token));
        self.push(index, halves);
        true
    }

    #[inline]
    fn push(&mut self, index: usize, halves: [u64; 2]) {
        self.tokens.push(index);
        self.halves.push(halves);
    }

    /// Opens all of them under the keys of their kind, and answers.
    pub(crate) fn open(&mut self, lanes: &mut Lanes, [left, right]: [&DesKey; 2], ops: &mut OpBatch) {
        let keys = [left, right].map(|key| {
            let [a, b, _] = key.expose_words();
            [a, b]
        });
        lanes.run_two(keys, Direction::Decrypt, self.halves.as_flattened_mut());
        let binding = self.kind.map_or(Binding::Session, |(_, key_type, _)| Binding::Variant(key_type));
        for (token, [left, right]) in self.tokens.iter().zip(&self.halves) {
            let key = made::opened_tdes(DesKey::of_parts([*left, *right, 0], 2), binding);
            ops.answer_token(*token, Ok(key));
        }
        self.halves.as_flattened_mut().zeroize();
        self.forget();
    }

    /// Gives all of them, with their kind, to whoever opens few.
    pub(crate) fn few(&mut self, mut to: impl FnMut(usize, [u64; 2])) {
        self.tokens.iter().zip(&self.halves).for_each(|(token, halves)| to(*token, *halves));
        self.forget();
    }

    fn forget(&mut self) {
        self.kind = None;
        self.tokens.clear();
        self.halves.clear();
    }
}

#[cfg(test)]
mod tests {
    use crate::{LmkSet, Options, Simulator};
    use core::task::Poll;
    use hsm::{Binding, Found, Hsm, HsmError, Key, KeyToken, KeyType, LmkId, Scheme};

    // Any text is a key under a variant LMK.
    fn token(n: usize) -> (KeyType, KeyToken) {
        let part = |n: usize| format!("{:016X}", (n as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let parts = |count: usize| (0..count).map(|at| part(3 * n + at)).collect::<String>();
        let (key_type, scheme, text) = match n % 8 {
            5 => (KeyType::ZPK, Scheme::T, parts(3)),
            6 => (KeyType::PVK, Scheme::U, parts(2)),
            7 => (KeyType::ZPK, Scheme::U, parts(2).replacen(|_| true, "x", 1)),
            _ => (KeyType::ZPK, Scheme::U, parts(2)),
        };
        (key_type, KeyToken::new(scheme, text.as_bytes()))
    }

    // Opened in one run.
    fn open(tokens: &[(KeyType, KeyToken)]) -> Vec<Result<Key, HsmError>> {
        let mut simulator = Simulator::new(&LmkSet::public_test(), Options::default()).unwrap();
        let hsm = Hsm::with_cache(0);
        let look = |(key_type, token): &(KeyType, KeyToken)| match hsm.look(LmkId(0), *key_type, token) {
            Found::Asked(asked) => asked,
            Found::Seen(_) => unreachable!("nothing is kept"),
        };
        let asked: Vec<_> = tokens.iter().map(look).collect();
        hsm.run(&mut simulator);
        let answer = |asked| match hsm.answer_opened(asked) {
            Poll::Ready(answer) => answer,
            Poll::Pending => unreachable!("it has run"),
        };
        asked.iter().map(answer).collect()
    }

    fn words(key: &Key) -> [u64; 3] {
        key.des_key::<crate::material::Own>().unwrap().expose_words()
    }

    #[test]
    fn many_keys_are_opened_as_each_alone() {
        for count in [1, 20, 100, 700] {
            let tokens: Vec<_> = (0..count).map(token).collect();
            for (together, token) in open(&tokens).into_iter().zip(&tokens) {
                let alone = open(core::slice::from_ref(token)).remove(0);
                let (Ok(together), Ok(alone)) = (&together, &alone) else {
                    assert_eq!((together.err(), alone.err()), (Some(HsmError::Token), Some(HsmError::Token)));
                    continue;
                };
                assert_eq!((words(together), together.attributes()), (words(alone), alone.attributes()));
                assert_eq!(together.attributes().binding, Binding::Variant(token.0));
            }
        }
    }
}
