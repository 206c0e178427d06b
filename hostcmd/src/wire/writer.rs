//! Walks fields of a message that goes out.

use super::{Alphabet, Number, Show, Step, Text, Untagged, Wire, to_ebcdic};
use crate::Settings;
use hsm::{KeyToken, LmkId};

/// Appends fields to a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    settings: &'a Settings,
    ebcdic: bool,
    lmk: Option<LmkId>,
    lmk_walked: bool,
}

impl<'a> Writer<'a> {
    /// Onto the end of `out`; `lmk` is the selector to write, if any.
    pub fn new(out: &'a mut Vec<u8>, settings: &'a Settings, ebcdic: bool, lmk: Option<LmkId>) -> Self {
        Self { out, settings, ebcdic, lmk, lmk_walked: false }
    }

    /// Writes text in the character set of the port.
    #[inline]
    pub fn put(&mut self, text: &[u8]) {
        if self.ebcdic {
            self.put_ebcdic(text);
        } else {
            self.out.extend_from_slice(text);
        }
    }

    #[cold]
    #[inline(never)]
    fn put_ebcdic(&mut self, text: &[u8]) {
        self.out.extend(text.iter().map(|c| to_ebcdic(*c)));
    }

    /// Writes the selector when the layout has not.
    pub fn finish(&mut self) {
        if !self.lmk_walked {
            self.put_selector();
        }
    }

    fn put_selector(&mut self) {
        self.lmk_walked = true;
        if let Some(id) = self.lmk {
            let [a, b] = id.digits();
            self.put(&[b'%', a, b]);
        }
    }
}

impl Wire for Writer<'_> {
    fn reading(&self) -> bool {
        false
    }

    fn settings(&self) -> &Settings {
        self.settings
    }

    fn fixed(&mut self, _: &'static str, alphabet: Alphabet, _: Show, value: &mut [u8]) -> Step {
        if alphabet == Alphabet::Binary {
            self.out.extend_from_slice(value);
        } else {
            self.put(value);
        }
        Ok(())
    }

    fn sized(
        &mut self,
        name: &'static str,
        alphabet: Alphabet,
        show: Show,
        _: usize,
        value: &mut Vec<u8>,
    ) -> Step {
        self.fixed(name, alphabet, show, value)
    }

    fn mark(&mut self, _: &'static str, mark: u8, present: &mut bool) -> Step {
        if *present {
            self.put(&[mark]);
        }
        Ok(())
    }

    fn more(&mut self, _: &mut bool) -> Step {
        Ok(())
    }

    #[inline]
    fn exact<const N: usize>(
        &mut self,
        name: &'static str,
        alphabet: Alphabet,
        show: Show,
        value: &mut [u8; N],
    ) -> Step {
        if self.ebcdic {
            return self.fixed(name, alphabet, show, value);
        }
        self.out.extend_from_slice(value);
        Ok(())
    }

    #[inline(always)]
    fn hex_word(&mut self, name: &'static str, show: Show, value: &mut [u8; 8]) -> Step {
        // Each half as it comes out of the registers.
        let mut text = paytypes::hex::encode_word(*value);
        text.as_chunks_mut::<8>().0.iter_mut().try_for_each(|half| self.exact(name, Alphabet::Hex, show, half))
    }

    #[inline]
    fn digits<const N: usize>(&mut self, name: &'static str, value: &mut [u8; N]) -> Step {
        self.exact(name, Alphabet::Digits, Show::All, value)
    }

    #[inline]
    fn number<const N: usize>(&mut self, name: &'static str, value: &mut Number<N>) -> Step {
        self.exact(name, Alphabet::Digits, Show::All, &mut value.to_digits())
    }

    fn key(&mut self, _: &'static str, _: Untagged, value: &mut KeyToken) -> Step {
        if let Some(tag) = value.scheme.tag() {
            self.put(&[tag]);
        }
        self.put(value.text());
        Ok(())
    }

    fn until(&mut self, _: &'static str, mark: u8, _: Show, value: &mut Text) -> Step {
        self.put(value.as_bytes());
        self.put(&[mark]);
        Ok(())
    }

    fn lmk(&mut self) -> Step {
        self.put_selector();
        Ok(())
    }

    fn selected(&self) -> Option<LmkId> {
        self.lmk
    }

    fn ahead(&self) -> &[u8] {
        &[]
    }
}
