//! Key tokens: the text by which a host names a key that it keeps wrapped under an LMK or a ZMK.

use core::fmt;

/// Key scheme: the tag in front of a key, or the lack of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// 16 hex digits, untagged or tagged `Z`: a single-length key.
    Single,
    /// 32 hex digits without a tag: both halves ECB under the plain pair.
    Pair,
    /// `U`: double length, variant method.
    U,
    /// `T`: triple length, variant method.
    T,
    /// `X`: double length, ANSI X9.17 ECB.
    X,
    /// `Y`: triple length, ANSI X9.17 ECB.
    Y,
    /// `S`: payment-HSM key block.
    S,
    /// `R`: TR-31 / X9.143 key block.
    R,
    /// `K` and an index: a key in user storage.
    K,
}

impl Scheme {
    /// The tag; `None` for untagged keys.
    pub const fn tag(self) -> Option<u8> {
        Some(match self {
            Self::Single | Self::Pair => return None,
            Self::U => b'U',
            Self::T => b'T',
            Self::X => b'X',
            Self::Y => b'Y',
            Self::S => b'S',
            Self::R => b'R',
            Self::K => b'K',
        })
    }

    /// The scheme that a tag names in a key scheme field (`Z` is single length).
    pub const fn from_tag(tag: u8) -> Option<Self> {
        Some(match tag {
            b'Z' => Self::Single,
            b'U' => Self::U,
            b'T' => Self::T,
            b'X' => Self::X,
            b'Y' => Self::Y,
            b'S' => Self::S,
            b'R' => Self::R,
            _ => return None,
        })
    }

    /// Key length in bytes that the scheme fixes; `None` for key blocks and references.
    pub const fn key_length(self) -> Option<usize> {
        match self {
            Self::Single => Some(8),
            Self::Pair | Self::U | Self::X => Some(16),
            Self::T | Self::Y => Some(24),
            Self::S | Self::R | Self::K => None,
        }
    }
}

/// Longest token held without allocation: an AES-256 key in an `S` block.
const INLINE: usize = 128;

/// A key token: scheme and the text behind its tag. The text is a cryptogram and is not printed.
#[derive(Clone)]
pub struct KeyToken {
    /// Scheme.
    pub scheme: Scheme,
    /// A note of whoever found the token, 0 for none; no part of it, and nothing to a backend.
    pub note: u8,
    // Of what is inline.
    length: u8,
    inline: [u8; INLINE],
    /// A longer text, and nothing inline.
    long: Option<Box<[u8]>>,
}

impl KeyToken {
    /// From scheme and the text without the tag.
    pub fn new(scheme: Scheme, text: &[u8]) -> Self {
        let mut token = Self::default();
        token.set(scheme, text);
        token
    }

    /// From its text with the tag, as [`KeyToken::write`] writes it; `None` when it has no tag that is known.
    pub fn read(text: &[u8]) -> Option<Self> {
        let (tag, rest) = text.split_first()?;
        Scheme::from_tag(*tag).map(|scheme| Self::new(scheme, rest))
    }

    /// Another token in the place of this one.
    #[inline]
    pub fn set(&mut self, scheme: Scheme, text: &[u8]) {
        (self.scheme, self.note) = (scheme, 0);
        // Double-length keys under a variant LMK are by far the most frequent: no call for them.
        if let (Ok(text), None, [head, ..]) =
            (<&[u8; 32]>::try_from(text), &self.long, self.inline.as_chunks_mut::<32>().0)
        {
            *head = *text;
            self.length = 32;
        } else {
            self.set_any(text);
        }
    }

    fn set_any(&mut self, text: &[u8]) {
        (self.length, self.long) = (0, None);
        match (u8::try_from(text.len()), self.inline.get_mut(..text.len())) {
            (Ok(length), Some(room)) => {
                room.copy_from_slice(text);
                self.length = length;
            }
            _ => self.long = Some(text.into()),
        }
    }

    /// The text without the tag.
    #[inline]
    pub fn text(&self) -> &[u8] {
        match &self.long {
            None => self.inline.get(..usize::from(self.length)).unwrap_or_default(),
            Some(long) => long,
        }
    }

    /// Appends tag and text.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.scheme.tag());
        out.extend_from_slice(self.text());
    }
}

impl Default for KeyToken {
    #[inline]
    fn default() -> Self {
        Self { scheme: Scheme::Single, note: 0, length: 0, inline: [0; INLINE], long: None }
    }
}

impl PartialEq for KeyToken {
    fn eq(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.text() == other.text()
    }
}

impl Eq for KeyToken {}

impl fmt::Debug for KeyToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyToken({:?}, {} characters)", self.scheme, self.text().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_round_trip_and_content_stays_quiet() {
        for s in [Scheme::U, Scheme::T, Scheme::X, Scheme::Y, Scheme::S, Scheme::R] {
            assert_eq!(s.tag().and_then(Scheme::from_tag), Some(s));
        }
        let token = KeyToken::new(Scheme::U, b"0123456789ABCDEF0123456789ABCDEF");
        assert_eq!(format!("{token:?}"), "KeyToken(U, 32 characters)");
        let mut out = Vec::new();
        token.write(&mut out);
        assert_eq!(out.len(), 33);
        assert_eq!(KeyToken::read(&out), Some(token));
        assert_eq!(KeyToken::read(b"Q0"), None);
    }

    #[test]
    fn a_token_is_its_last_text_whatever_was_there_before() {
        let mut token = KeyToken::default();
        for length in [0usize, 32, 500, 32, 128, 129, 7, 32, 127, 300, 0] {
            let text = vec![u8::try_from(length % 251).unwrap(); length];
            token.set(Scheme::S, &text);
            assert_eq!(token.text(), text);
            assert_eq!(token, KeyToken::new(Scheme::S, &text));
            assert!(token != KeyToken::new(Scheme::R, &text) && token != KeyToken::new(Scheme::S, b"other"));
        }
    }
}
