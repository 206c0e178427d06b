//! Walks fields of a frame that came in.

use super::grammar::{self, END_OF_MESSAGE};
use super::{Alphabet, Number, Show, Step, Text, Untagged, Wire};
use crate::key_table::{Keys, References};
use crate::{Code, Settings};
use hsm::{KeyToken, LmkId, Scheme};

/// A field that a traced reader walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Name of the field.
    pub name: &'static str,
    /// First byte, counted from the start of the frame (header included).
    pub start: usize,
    /// Length in bytes.
    pub length: usize,
    /// How much of it people may see.
    pub show: Show,
}

/// Reads the body of a frame.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a [u8],
    raw: &'a [u8],
    at: usize,
    settings: &'a Settings,
    lmk: Option<LmkId>,
    lmk_walked: bool,
    trace: Option<&'a mut Vec<Span>>,
    keys: Option<&'a Keys>,
    references: References,
}

impl<'a> Reader<'a> {
    /// Over a frame, from offset `at`. `text` is the frame in ASCII, `raw` as it came: the same slice on
    /// an ASCII port.
    pub fn new(text: &'a [u8], raw: &'a [u8], at: usize, settings: &'a Settings) -> Self {
        Self {
            text,
            raw,
            at,
            settings,
            lmk: None,
            lmk_walked: false,
            trace: None,
            keys: None,
            references: References::default(),
        }
    }

    /// Notes every field that is walked.
    pub fn traced(mut self, trace: &'a mut Vec<Span>) -> Self {
        self.trace = Some(trace);
        self
    }

    /// Finds what key references mean.
    pub fn with_keys(mut self, keys: &'a Keys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// The key references that were walked.
    pub(crate) const fn references(&self) -> &References {
        &self.references
    }

    #[inline(always)]
    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    #[inline]
    fn advance(&mut self, name: &'static str, show: Show, length: usize) {
        if self.trace.is_some() {
            self.note(name, show, length);
        }
        self.at = self.at.saturating_add(length);
    }

    #[cold]
    fn note(&mut self, name: &'static str, show: Show, length: usize) {
        if length > 0
            && let Some(trace) = &mut self.trace
        {
            trace.push(Span { name, start: self.at, length, show });
        }
    }

    // A field of a length that the compiler knows.
    #[inline]
    fn take_exact<const N: usize>(
        &mut self,
        name: &'static str,
        alphabet: Alphabet,
        show: Show,
    ) -> Result<&'a [u8; N], Code> {
        let binary = alphabet == Alphabet::Binary;
        let from = if binary { self.raw.get(self.at..).unwrap_or_default() } else { self.rest() };
        match from.first_chunk::<N>() {
            Some(text) if grammar::belongs(alphabet, text) => {
                self.advance(name, show, N);
                Ok(text)
            }
            _ => Err(Code::INPUT),
        }
    }

    fn take(
        &mut self,
        name: &'static str,
        alphabet: Alphabet,
        show: Show,
        length: usize,
    ) -> Result<&'a [u8], Code> {
        let binary = alphabet == Alphabet::Binary;
        let from = if binary { self.raw.get(self.at..).unwrap_or_default() } else { self.rest() };
        match from.get(..length) {
            Some(taken) if grammar::belongs(alphabet, taken) => {
                self.advance(name, show, length);
                Ok(taken)
            }
            _ => Err(Code::INPUT),
        }
    }

    #[inline(never)]
    fn any_key(&mut self, name: &'static str, untagged: Untagged, value: &mut KeyToken) -> Step {
        let before = self.rest();
        let field = grammar::key(untagged, before).ok_or(Code::INPUT)?;
        self.advance(name, Show::Length, before.len().saturating_sub(field.rest.len()));
        value.set(field.scheme, field.text);
        if let Some(keys) = self.keys {
            self.references.resolve(keys, value);
        }
        Ok(())
    }

    /// The end of the frame: selector when the layout has not walked it, then nothing or the trailer, which
    /// is returned with its mark, as it came. Anything else is left over, and refused.
    pub fn finish(&mut self) -> Result<&'a [u8], Code> {
        if !self.lmk_walked {
            self.lmk()?;
        }
        let trailer = self.raw.get(self.at..).unwrap_or_default();
        match self.rest().split_first() {
            None => Ok(&[]),
            Some((&END_OF_MESSAGE, text))
                if text.len() <= 32 && grammar::belongs(Alphabet::Printable, text) =>
            {
                self.advance("trailer", Show::All, trailer.len());
                Ok(trailer)
            }
            Some(_) => Err(Code::INPUT),
        }
    }
}

impl Wire for Reader<'_> {
    fn reading(&self) -> bool {
        true
    }

    fn settings(&self) -> &Settings {
        self.settings
    }

    fn fixed(&mut self, name: &'static str, alphabet: Alphabet, show: Show, value: &mut [u8]) -> Step {
        let taken = self.take(name, alphabet, show, value.len())?;
        value.copy_from_slice(taken);
        if alphabet == Alphabet::Hex {
            value.make_ascii_uppercase();
        }
        Ok(())
    }

    fn sized(
        &mut self,
        name: &'static str,
        alphabet: Alphabet,
        show: Show,
        length: usize,
        value: &mut Vec<u8>,
    ) -> Step {
        let taken = self.take(name, alphabet, show, length)?;
        value.extend_from_slice(taken);
        Ok(())
    }

    fn mark(&mut self, name: &'static str, mark: u8, present: &mut bool) -> Step {
        *present = self.rest().first() == Some(&mark);
        if *present {
            self.advance(name, Show::All, 1);
        }
        Ok(())
    }

    fn more(&mut self, present: &mut bool) -> Step {
        *present = self.rest().first().is_some_and(u8::is_ascii_alphanumeric);
        Ok(())
    }

    #[inline(always)]
    fn key(&mut self, name: &'static str, untagged: Untagged, value: &mut KeyToken) -> Step {
        if let Some(digits) = grammar::double_key(self.rest()) {
            value.set(Scheme::U, digits);
            self.advance(name, Show::Length, 33);
            return Ok(());
        }
        self.any_key(name, untagged, value)
    }

    #[inline]
    fn exact<const N: usize>(
        &mut self,
        name: &'static str,
        alphabet: Alphabet,
        show: Show,
        value: &mut [u8; N],
    ) -> Step {
        *value = *self.take_exact(name, alphabet, show)?;
        if alphabet == Alphabet::Hex {
            value.make_ascii_uppercase();
        }
        Ok(())
    }

    #[inline(always)]
    fn hex_word(&mut self, name: &'static str, show: Show, value: &mut [u8; 8]) -> Step {
        let text = self.rest().first_chunk::<16>().ok_or(Code::INPUT)?;
        *value = paytypes::hex::decode_word(text).ok_or(Code::INPUT)?;
        self.advance(name, show, 16);
        Ok(())
    }

    #[inline]
    fn digits<const N: usize>(&mut self, name: &'static str, value: &mut [u8; N]) -> Step {
        *value = *self.take_exact(name, Alphabet::Digits, Show::All)?;
        Ok(())
    }

    #[inline]
    fn number<const N: usize>(&mut self, name: &'static str, value: &mut Number<N>) -> Step {
        *value = Number::from_digits(*self.take_exact(name, Alphabet::Digits, Show::All)?);
        Ok(())
    }

    fn until(&mut self, name: &'static str, mark: u8, show: Show, value: &mut Text) -> Step {
        let rest = self.rest();
        let length = rest.iter().position(|c| *c == mark || *c == END_OF_MESSAGE).unwrap_or(rest.len());
        if length == 0 {
            return Err(Code::INPUT);
        }
        *value = Text::new(self.take(name, Alphabet::Printable, show, length)?);
        let mut present = false;
        self.mark("delimiter", mark, &mut present)
    }

    fn lmk(&mut self) -> Step {
        self.lmk_walked = true;
        if self.rest().first() != Some(&b'%') {
            self.lmk = None;
            return Ok(());
        }
        let (_, id) = grammar::selector(self.rest()).map_err(|_| Code::INPUT)?;
        self.lmk = id;
        if id.is_some() {
            self.advance("LMK identifier", Show::All, 3);
        }
        Ok(())
    }

    fn selected(&self) -> Option<LmkId> {
        self.lmk
    }

    fn ahead(&self) -> &[u8] {
        self.rest()
    }
}
