//! Translation of a PIN block: both keys, decipher, put the PIN into the new format, encipher.
//!
//! This is what a switch does all day, so it is a future written by hand: one small struct that holds what is
//! needed between two runs of the backend, where nested `async` functions keep every argument twice.

use super::keys::OpeningTwo;
use super::pins::{self, Side, code};
use crate::command::Answer;
use crate::wire::PinBlockText;
use crate::{Code, Cx};
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use hsm::{Asked, Hsm, HsmError, Key};
use paytypes::bytes::xor_into;
use paytypes::{Direction, Drawn};
use pinblock::encipher::passes;
use pinblock::{Account, ClearBlock, Format, RANDOM_LENGTH, Reformatted, rules};

/// Source and destination of a translation.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// Format and account of the block that came.
    pub from: (Format, Account),
    /// Format and account of the block to make.
    pub to: (Format, Account),
}

/// A translation under way. Judges control field and PIN length only, with one code, and carries the digits
/// unjudged (a code that told a digit above 9 would be an oracle, security.md 2 row 3); the legacy setting
/// `digit_check` judges them and the filler. Gives the PIN length and the new block.
pub struct Translation<'r> {
    hsm: Hsm,
    setting: rules::Setting,
    digit_check: bool,
    ends: Ends,
    block: PinBlockText,
    pin_length: u8,
    /// What waits, but for keys.
    asked: Option<Asked>,
    step: Step<'r>,
}

enum Step<'r> {
    /// The keys are being opened; apart, because it is long and keys that were seen before need none of it.
    Keys(Box<OpeningTwo<'r>>),
    /// The block is in the first pass of two; source and destination.
    FirstPass(Key, Key),
    /// The block is in its last pass; the random filler of the new block, and the destination.
    LastPass(Option<Asked>, Key),
    /// The new block is in the first pass of two; the key, and the field that enters between them.
    NewFirstPass(Key, [u8; 16]),
    /// The new block is in its last pass, or all is done.
    NewLastPass,
}

impl<'r> Translation<'r> {
    /// With keys that are being opened.
    #[inline]
    pub fn new(cx: &Cx, keys: OpeningTwo<'r>, ends: Ends, block: PinBlockText) -> Result<Self, Code> {
        match keys.now() {
            Ok(keys) => {
                let (source, destination) = keys?;
                let mut new = Self::at(cx, ends, block, Step::NewLastPass);
                new.begin(source, destination)?;
                Ok(new)
            }
            Err(keys) => Ok(Self::at(cx, ends, block, Step::Keys(Box::new(keys)))),
        }
    }

    /// With keys that are open.
    pub fn opened(cx: &Cx, from: Side<'_>, block: &PinBlockText, to: Side<'_>) -> Result<Self, Code> {
        let ends = Ends { from: (from.format, *from.account), to: (to.format, *to.account) };
        let mut new = Self::at(cx, ends, *block, Step::NewLastPass);
        new.begin(from.key.share(), to.key.share())?;
        Ok(new)
    }

    #[inline]
    fn at(cx: &Cx, ends: Ends, block: PinBlockText, step: Step<'r>) -> Self {
        let (hsm, setting, digit_check) = (cx.hsm.clone(), pins::setting(cx), cx.settings().digit_check);
        Self { hsm, setting, digit_check, ends, block, pin_length: 0, asked: None, step }
    }

    fn begin(&mut self, source: Key, destination: Key) -> Result<(), Code> {
        let Ends { from, to } = &self.ends;
        pins::permitted(self.setting, from, to)?;
        let block = self.block;
        let bytes = block.as_bytes();
        let kind = source.attributes().shape.kind;
        if passes(kind, from.0, bytes.len(), &from.1).map_err(code)?.is_some() {
            self.asked = Some(self.hsm.ask_ecb(source.share(), Direction::Decrypt, bytes));
            self.step = Step::FirstPass(source, destination);
        } else {
            self.last_pass(source, destination, bytes);
        }
        Ok(())
    }

    // Randomness is drawn only for formats whose filler is random.
    fn last_pass(&mut self, source: Key, destination: Key, bytes: &[u8]) {
        self.asked = Some(self.hsm.ask_ecb(source, Direction::Decrypt, bytes));
        let random = pins::has_random_fill(self.ends.to.0).then(|| self.hsm.ask_random::<RANDOM_LENGTH>());
        self.step = Step::LastPass(random, destination);
    }

    fn make(&mut self, clear: &ClearBlock, random: Option<&Asked>, key: Key) -> Result<(), Code> {
        let made = match random {
            None => self.reformat(clear, &[])?,
            Some(asked) => {
                let mut random = [0; RANDOM_LENGTH];
                match self.hsm.answer(asked, &mut random) {
                    Poll::Ready(drawn) => drawn?,
                    Poll::Pending => return Err(HsmError::Backend.into()),
                }
                self.reformat(clear, &random)?
            }
        };
        self.pin_length = made.pin_length;
        let (format, account) = &self.ends.to;
        let block = made.block.expose();
        match passes(key.attributes().shape.kind, *format, block.len(), account).map_err(code)? {
            Some(field) => {
                self.asked = Some(self.hsm.ask_ecb(key.share(), Direction::Encrypt, block));
                self.step = Step::NewFirstPass(key, field);
            }
            None => self.asked = Some(self.hsm.ask_ecb(key, Direction::Encrypt, block)),
        }
        Ok(())
    }

    #[inline]
    fn reformat(&self, clear: &ClearBlock, random: &[u8]) -> Result<Reformatted, Code> {
        let Ends { from, to } = &self.ends;
        if self.digit_check {
            // Old units judge every position of the block, digits and filler.
            pinblock::decode(from.0, clear, &from.1).map_err(code)?;
        }
        pinblock::reformat(from.0, to.0, clear, &from.1, &to.1, &mut Drawn::new(random), false).map_err(code)
    }

    // A block came out of a pass. True at the end.
    #[inline]
    fn take(&mut self, block: &mut ClearBlock) -> Result<bool, Code> {
        match core::mem::replace(&mut self.step, Step::NewLastPass) {
            Step::LastPass(random, destination) => self.make(block, random.as_ref(), destination)?,
            Step::NewLastPass => {
                self.block = PinBlockText::from_block(block.expose());
                return Ok(true);
            }
            Step::FirstPass(source, destination) => {
                xor_into(block.expose_mut(), &self.ends.from.1.pan_field().map_err(code)?);
                self.last_pass(source, destination, block.expose());
            }
            Step::NewFirstPass(key, field) => {
                xor_into(block.expose_mut(), &field);
                self.asked = Some(self.hsm.ask_ecb(key, Direction::Encrypt, block.expose()));
            }
            Step::Keys(_) => return Err(Code::INTERNAL),
        }
        Ok(false)
    }

    const fn format(&self) -> Format {
        match self.step {
            Step::FirstPass(..) | Step::LastPass(..) => self.ends.from.0,
            _ => self.ends.to.0,
        }
    }

    fn go_on(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Code>> {
        if let Step::Keys(keys) = &mut self.step {
            let (source, destination) = ready!(Pin::new(keys.as_mut()).poll(cx))?;
            self.begin(source, destination)?;
            return Poll::Pending;
        }
        let asked = self.asked.as_ref().ok_or(Code::INTERNAL)?;
        let mut block = ClearBlock::room_for(self.format());
        ready!(self.hsm.answer(asked, block.expose_mut()))?;
        if self.take(&mut block)? { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl Future for Translation<'_> {
    type Output = Result<(u8, PinBlockText), Code>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.go_on(cx))?;
        Poll::Ready(Ok((self.pin_length, self.block)))
    }
}

/// A translation as a command: `reply` makes its reply.
pub struct Translating<R> {
    begun: Result<Translation<'static>, Code>,
    reply: fn(u8, PinBlockText, [u8; 2]) -> R,
    format: [u8; 2],
}

impl<R> Translating<R> {
    /// From what was begun, and the code of the new format, which replies repeat.
    #[inline]
    pub fn new(
        begun: Result<Translation<'static>, Code>,
        format: [u8; 2],
        reply: fn(u8, PinBlockText, [u8; 2]) -> R,
    ) -> Self {
        Self { begun, reply, format }
    }
}

impl<R> Future for Translating<R> {
    type Output = Answer<R>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (reply, format) = (self.reply, self.format);
        let translation = match &mut self.begun {
            Ok(translation) => translation,
            Err(code) => return Poll::Ready(Err(*code)),
        };
        let (length, block) = ready!(Pin::new(translation).poll(cx))?;
        Poll::Ready(Ok(reply(length, block, format).into()))
    }
}
