//! Translation of a PIN block: both keys, decipher, put the PIN into the new format, encipher.
//!
//! This is what a switch does all day, so its state is written by hand: one small struct that holds what is
//! needed between two runs of the backend and is filled where it stands. Nested `async` functions keep every
//! argument twice, and each copy of a value that was just written waits for the memory.

use super::keys::{self, AskedTwo, Wanted};
use super::pins::{self, code};
use crate::managed::possession::refuse_reserved;
use crate::wire::{self, PinBlockText};
use crate::{Code, Cx};
use core::task::{Poll, ready};
use hsm::{Asked, Hsm, HsmError, Key};
use paytypes::bytes::xor_into;
use paytypes::{Direction, Drawn};
use pinblock::encipher::passes;
use pinblock::{Account, AccountRelation, ClearBlock, Format, RANDOM_LENGTH, rules};

/// A translation under way. Judges control field, PIN length and what binds the block to its account, with one
/// code, and carries the digits unjudged (a code that told a digit above 9 would be an oracle, security.md 2
/// row 3; [`pinblock::reformat`] has the rule); the legacy setting `digit_check` judges them and the filler. Gives
/// the PIN length and the new block.
pub struct Translation {
    setting: rules::Setting,
    digit_check: bool,
    from: Format,
    to: Format,
    account: Account,
    /// The account of the new block when it is not the same field.
    second: Option<Account>,
    /// The block that came, kept while keys are being opened.
    block: PinBlockText,
    pin_length: u8,
    /// What speaks against a format, an account or the maximum length. Keys come first.
    refused: Option<Code>,
    /// What waits, but for keys.
    asked: Option<Asked>,
    /// Keys that are being opened; not with the step, because it is long and moves.
    opening: Option<AskedTwo>,
    step: Step,
}

enum Step {
    /// The keys are being opened.
    Keys,
    /// The block is in the first pass of two; source and destination.
    FirstPass(Key, Key),
    /// The block is in its last pass; the random filler of the new block, and the destination.
    LastPass(Option<Asked>, Key),
    /// The new block is in the first pass of two; the key, and the field that enters between them.
    NewFirstPass(Key, [u8; 16]),
    /// The new block is in its last pass, or nothing goes on.
    NewLastPass,
}

impl Default for Translation {
    fn default() -> Self {
        Self {
            setting: rules::Setting::default(),
            digit_check: false,
            from: Format::Iso0,
            to: Format::Iso0,
            account: Account::NONE,
            second: None,
            block: PinBlockText::default(),
            pin_length: 0,
            refused: None,
            asked: None,
            opening: None,
            step: Step::NewLastPass,
        }
    }
}

impl Translation {
    /// What is translated into what, for one account, and the maximum PIN length. What is wrong with them is
    /// answered behind what is wrong with the keys.
    #[inline]
    pub fn of(
        &mut self,
        cx: &Cx,
        from: [u8; 2],
        to: [u8; 2],
        account: &wire::Account,
        maximum: wire::Number<2>,
    ) {
        self.second = None;
        self.refused = self.read(from, to, account).and_then(|()| pins::judge_maximum(maximum)).err();
        self.between(cx);
    }

    #[inline(always)]
    fn read(&mut self, from: [u8; 2], to: [u8; 2], account: &wire::Account) -> Result<(), Code> {
        (self.from, self.to) = (pins::format(from)?, pins::format(to)?);
        pins::account_into(account, &mut self.account)
    }

    #[inline]
    fn between(&mut self, cx: &Cx) {
        (self.setting, self.digit_check) = (pins::setting(cx), cx.settings().digit_check);
        self.asked = None;
        if self.refused.is_none() {
            let new = self.second.as_ref().map_or(Ok(()), |second| refuse_reserved(cx, second));
            self.refused = new.and_then(|()| refuse_reserved(cx, &self.account)).err();
        }
    }

    /// What is translated into what, each for its own account, or what is wrong with that; [`Translation::begin`]
    /// follows with the keys.
    pub fn of_two(&mut self, cx: &Cx, sides: Result<[(Format, Account); 2], Code>) {
        self.refused = sides.err();
        if let Ok([(from, old), (to, new)]) = sides {
            (self.from, self.to, self.account, self.second) = (from, to, old, Some(new));
        }
        self.between(cx);
    }

    /// Between two keys and accounts that are at hand.
    pub fn opened(
        cx: &Cx,
        from: pins::Side<'_>,
        block: &PinBlockText,
        to: pins::Side<'_>,
    ) -> Result<Self, Code> {
        let mut new = Self::default();
        new.of_two(cx, Ok([(from.format, *from.account), (to.format, *to.account)]));
        new.begin(&cx.hsm, from.key.share(), to.key.share(), block)?;
        Ok(new)
    }

    /// Begins with key fields.
    #[inline]
    pub fn with(
        &mut self,
        cx: &Cx,
        source: Wanted<'_, 'static>,
        destination: Wanted<'_, 'static>,
        block: &PinBlockText,
    ) -> Result<(), Code> {
        match keys::look_for_two(cx, &source, &destination, &mut self.opening) {
            Some(keys) => {
                let (source, destination) = keys?;
                self.begin(&cx.hsm, source, destination, block)
            }
            None => {
                (self.block, self.step) = (*block, Step::Keys);
                Ok(())
            }
        }
    }

    /// Begins with keys that are at hand.
    #[inline(always)]
    pub fn begin(
        &mut self,
        hsm: &Hsm,
        source: Key,
        destination: Key,
        block: &PinBlockText,
    ) -> Result<(), Code> {
        if let Some(code) = self.refused {
            return Err(code);
        }
        let relation = self.second.as_ref().map_or(AccountRelation::Same, |new| self.account.relation(new));
        rules::translation(self.from, self.to, relation, self.setting).map_err(|_| Code::PIN_FORMAT)?;
        let bytes = block.as_bytes();
        let kind = source.attributes().shape.kind;
        if passes(kind, self.from, bytes.len(), &self.account).map_err(code)?.is_some() {
            self.asked = Some(hsm.ask_ecb(source.share(), Direction::Decrypt, bytes));
            self.step = Step::FirstPass(source, destination);
        } else {
            self.last_pass(hsm, source, destination, bytes);
        }
        Ok(())
    }

    #[inline]
    fn new_account(&self) -> &Account {
        self.second.as_ref().unwrap_or(&self.account)
    }

    /// Code of the new format.
    #[inline]
    pub fn new_format(&self) -> [u8; 2] {
        self.to.code().unwrap_or_default()
    }

    // Randomness is drawn only for formats whose filler is random.
    #[inline(always)]
    fn last_pass(&mut self, hsm: &Hsm, source: Key, destination: Key, bytes: &[u8]) {
        self.asked = Some(hsm.ask_ecb(source, Direction::Decrypt, bytes));
        let random = pins::has_random_fill(self.to).then(|| hsm.ask_random::<RANDOM_LENGTH>());
        self.step = Step::LastPass(random, destination);
    }

    #[inline(always)]
    fn make(&mut self, hsm: &Hsm, clear: &ClearBlock, random: Option<&Asked>, key: Key) -> Result<(), Code> {
        let mut made = ClearBlock::room_for(self.to);
        self.pin_length = match random {
            None => self.reformat(clear, &[], &mut made)?,
            Some(asked) => self.reformat_random(hsm, clear, asked, &mut made)?,
        };
        let block = made.expose();
        let between = passes(key.attributes().shape.kind, self.to, block.len(), self.new_account());
        match between.map_err(code)? {
            Some(field) => {
                self.asked = Some(hsm.ask_ecb(key.share(), Direction::Encrypt, block));
                self.step = Step::NewFirstPass(key, field);
            }
            None => self.asked = Some(hsm.ask_ecb(key, Direction::Encrypt, block)),
        }
        Ok(())
    }

    #[inline(never)]
    fn reformat_random(
        &self,
        hsm: &Hsm,
        clear: &ClearBlock,
        asked: &Asked,
        made: &mut ClearBlock,
    ) -> Result<u8, Code> {
        let mut random = [0; RANDOM_LENGTH];
        match hsm.answer(asked, &mut random) {
            Poll::Ready(drawn) => drawn?,
            Poll::Pending => return Err(HsmError::Backend.into()),
        }
        self.reformat(clear, &random, made)
    }

    #[inline(always)]
    fn reformat(&self, clear: &ClearBlock, random: &[u8], made: &mut ClearBlock) -> Result<u8, Code> {
        let (old, new) = (&self.account, self.new_account());
        if self.digit_check {
            // Old units judge every position of the block, digits and filler.
            pinblock::decode(self.from, clear, old).map_err(code)?;
        }
        let mut random = Drawn::new(random);
        pinblock::reformat_into((self.from, old), (self.to, new), clear, &mut random, false, made)
            .map_err(code)
    }

    // A block of the translation came out of a pass that is not the last.
    #[inline(always)]
    fn take(&mut self, hsm: &Hsm, block: &mut ClearBlock) -> Result<(), Code> {
        match core::mem::replace(&mut self.step, Step::NewLastPass) {
            Step::LastPass(random, destination) => self.make(hsm, block, random.as_ref(), destination)?,
            Step::FirstPass(source, destination) => {
                xor_into(block.expose_mut(), &self.account.pan_field().map_err(code)?);
                self.last_pass(hsm, source, destination, block.expose());
            }
            Step::NewFirstPass(key, field) => {
                xor_into(block.expose_mut(), &field);
                self.asked = Some(hsm.ask_ecb(key, Direction::Encrypt, block.expose()));
            }
            Step::Keys | Step::NewLastPass => return Err(Code::INTERNAL),
        }
        Ok(())
    }

    #[inline(never)]
    fn go_on_with_keys(&mut self, hsm: &Hsm) -> Poll<Result<(), Code>> {
        let Some(keys) = &self.opening else { return Poll::Ready(Err(Code::INTERNAL)) };
        let keys = ready!(keys.answer(hsm));
        self.opening = None;
        let ((source, destination), block) = (keys?, self.block);
        self.begin(hsm, source, destination, &block)?;
        Poll::Pending
    }

    /// Goes on as far as it can; at the end the PIN length, and the new block in `made`.
    #[inline]
    pub fn go_on(&mut self, hsm: &Hsm, made: &mut PinBlockText) -> Poll<Result<u8, Code>> {
        let format = match self.step {
            Step::NewLastPass => {
                let asked = self.asked.as_ref().ok_or(Code::INTERNAL)?;
                ready!(hsm.answer(asked, made.room_for(self.to)))?;
                return Poll::Ready(Ok(self.pin_length));
            }
            Step::Keys => return self.go_on_with_keys(hsm).map_ok(|()| 0),
            Step::FirstPass(..) | Step::LastPass(..) => self.from,
            Step::NewFirstPass(..) => self.to,
        };
        let asked = self.asked.as_ref().ok_or(Code::INTERNAL)?;
        let mut block = ClearBlock::room_for(format);
        ready!(hsm.answer(asked, block.expose_mut()))?;
        self.take(hsm, &mut block)?;
        Poll::Pending
    }
}
