//! Translation of a PIN block: both keys, decipher, put the PIN into the new format, encipher.
//!
//! This is what a switch does all day, so it is a future written by hand: one small struct that holds what is
//! needed between two runs of the backend, where nested `async` functions keep every argument twice.

use super::keys::{self, OpeningTwo, Wanted};
use super::pins::{self, code};
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

/// Format and account of a block.
pub type End = (Format, Account);

/// A translation under way. Judges control field and PIN length only, with one code, and carries the digits
/// unjudged (a code that told a digit above 9 would be an oracle, security.md 2 row 3); the legacy setting
/// `digit_check` judges them and the filler. Gives the PIN length and the new block.
pub struct Translation<'r> {
    hsm: Hsm,
    setting: rules::Setting,
    digit_check: bool,
    from: End,
    to: End,
    block: PinBlockText,
    pin_length: u8,
    /// What waits, but for keys.
    asked: Option<Asked>,
    step: Step<'r>,
}

enum Step<'r> {
    /// It was refused before it began.
    Refused(Code),
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
    /// Not begun.
    #[inline]
    pub fn new(cx: &Cx) -> Self {
        let none = (Format::Iso0, Account::NONE);
        Self {
            hsm: cx.hsm.clone(),
            setting: pins::setting(cx),
            digit_check: cx.settings().digit_check,
            from: none,
            to: none,
            block: PinBlockText::default(),
            pin_length: 0,
            asked: None,
            step: Step::NewLastPass,
        }
    }

    /// What is translated into what.
    #[inline]
    pub fn of(&mut self, from: End, block: PinBlockText, to: End) {
        (self.from, self.block, self.to) = (from, block, to);
    }

    /// Begins with key fields.
    #[inline]
    pub fn with(
        &mut self,
        cx: &Cx,
        source: Wanted<'_, 'r>,
        destination: Wanted<'_, 'r>,
    ) -> Result<(), Code> {
        match keys::two_seen(cx, &source, &destination) {
            Some(keys) => {
                let (source, destination) = keys?;
                self.begin(source, destination)
            }
            None => {
                self.open(cx, source, destination);
                Ok(())
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn open(&mut self, cx: &Cx, source: Wanted<'_, 'r>, destination: Wanted<'_, 'r>) {
        self.step = Step::Keys(Box::new(keys::open_two(cx, source, destination)));
    }

    /// Begins with keys that are open.
    #[inline]
    pub fn begin(&mut self, source: Key, destination: Key) -> Result<(), Code> {
        let from = &self.from;
        pins::permitted(self.setting, from, &self.to)?;
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
    #[inline]
    fn last_pass(&mut self, source: Key, destination: Key, bytes: &[u8]) {
        self.asked = Some(self.hsm.ask_ecb(source, Direction::Decrypt, bytes));
        let random = pins::has_random_fill(self.to.0).then(|| self.hsm.ask_random::<RANDOM_LENGTH>());
        self.step = Step::LastPass(random, destination);
    }

    #[inline]
    fn make(&mut self, clear: &ClearBlock, random: Option<&Asked>, key: Key) -> Result<(), Code> {
        let made = match random {
            None => self.reformat(clear, &[])?,
            Some(asked) => self.reformat_random(clear, asked)?,
        };
        self.pin_length = made.pin_length;
        let (format, account) = &self.to;
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

    #[inline(never)]
    fn reformat_random(&self, clear: &ClearBlock, asked: &Asked) -> Result<Reformatted, Code> {
        let mut random = [0; RANDOM_LENGTH];
        match self.hsm.answer(asked, &mut random) {
            Poll::Ready(drawn) => drawn?,
            Poll::Pending => return Err(HsmError::Backend.into()),
        }
        self.reformat(clear, &random)
    }

    #[inline]
    fn reformat(&self, clear: &ClearBlock, random: &[u8]) -> Result<Reformatted, Code> {
        let (from, to) = (&self.from, &self.to);
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
                xor_into(block.expose_mut(), &self.from.1.pan_field().map_err(code)?);
                self.last_pass(source, destination, block.expose());
            }
            Step::NewFirstPass(key, field) => {
                xor_into(block.expose_mut(), &field);
                self.asked = Some(self.hsm.ask_ecb(key, Direction::Encrypt, block.expose()));
            }
            Step::Keys(_) | Step::Refused(_) => return Err(Code::INTERNAL),
        }
        Ok(false)
    }

    const fn format(&self) -> Format {
        match self.step {
            Step::FirstPass(..) | Step::LastPass(..) => self.from.0,
            _ => self.to.0,
        }
    }

    #[inline]
    fn go_on(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Code>> {
        if let Step::Keys(keys) = &mut self.step {
            let (source, destination) = ready!(Pin::new(keys.as_mut()).poll(cx))?;
            self.begin(source, destination)?;
            return Poll::Pending;
        }
        if let Step::Refused(code) = self.step {
            return Poll::Ready(Err(code));
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
    translation: Translation<'static>,
    reply: fn(u8, PinBlockText, [u8; 2]) -> R,
    format: [u8; 2],
}

impl<R> Translating<R> {
    /// Of what `begin` begins; `format` is the code of the new format, which replies repeat. What is refused
    /// is the answer.
    #[inline]
    pub fn new(
        cx: &Cx,
        format: [u8; 2],
        begin: impl FnOnce(&mut Translation<'static>) -> Result<(), Code>,
        reply: fn(u8, PinBlockText, [u8; 2]) -> R,
    ) -> Self {
        let mut new = Self { translation: Translation::new(cx), reply, format };
        if let Err(code) = begin(&mut new.translation) {
            new.translation.step = Step::Refused(code);
        }
        new
    }
}

impl<R> Future for Translating<R> {
    type Output = Answer<R>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (reply, format) = (self.reply, self.format);
        let (length, block) = ready!(Pin::new(&mut self.translation).poll(cx))?;
        Poll::Ready(Ok(reply(length, block, format).into()))
    }
}
