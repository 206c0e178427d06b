//! Translation of a PIN block that came under DUKPT: the PIN key is derived first, then it goes on as any
//! [`Translation`]. Terminals send these all day, so the state between two runs of the backend is written by
//! hand where base key and destination were seen before; everything else, and AES, waits in a future.

use super::dukpt::{self, Destination};
use super::keys::{self, KeyRule, Place, Use, Wanted, ZPK};
use super::translation::Translation;
use crate::wire::PinBlockText;
use crate::{Code, Cx};
use cardcrypto::dukpt::tdes;
use core::pin::Pin;
use core::task::{Context, Poll, Waker, ready};
use hsm::{Asked, Hsm, HsmError, Key, KeyToken, join};
use paytypes::{CipherError, Ksn};
use pinblock::{Account, Format};

/// The base key of the block that came.
#[derive(Clone, Copy, Debug)]
pub struct Base<'t> {
    /// The token.
    pub token: &'t KeyToken,
    /// What it must be.
    pub rule: &'t KeyRule,
    /// KSN of the block.
    pub ksn: &'t Ksn,
}

/// A translation under way.
#[derive(Default)]
pub struct FromDukpt {
    translation: Translation,
    block: PinBlockText,
    keys: Keys,
}

type Both = Pin<Box<dyn Future<Output = Result<(Key, Key), Code>>>>;

/// Where the PIN key and the destination are.
#[derive(Default)]
enum Keys {
    /// The translation has them, or there are none yet.
    #[default]
    Given,
    /// The PIN key is being derived; base key and KSN are kept for a backend that does it step by step.
    Derived { asked: Asked, base: Key, ksn: Ksn, destination: Key },
    /// Both come out of a future.
    Awaited(Both),
}

impl FromDukpt {
    /// Begins: source and destination, and format and account of each or what is wrong with them, which is
    /// answered behind what is wrong with the keys.
    pub fn begin(
        &mut self,
        cx: &Cx,
        base: Base<'_>,
        (destination, to_ksn): (&Destination, Option<&Ksn>),
        sides: Result<[(Format, Account); 2], Code>,
        block: &PinBlockText,
    ) -> Result<(), Code> {
        self.translation.of_two(cx, sides);
        self.block = *block;
        self.keys = match seen(cx, &base, destination) {
            Some(keys) => keys,
            None => awaited(cx, base, destination, to_ksn),
        };
        match &mut self.keys {
            // What needs no backend is done now; nothing may wait that has not asked it.
            Keys::Awaited(keys) => match keys.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(keys) => self.go_on_with(&cx.hsm, keys),
                Poll::Pending => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn go_on_with(&mut self, hsm: &Hsm, keys: Result<(Key, Key), Code>) -> Result<(), Code> {
        self.keys = Keys::Given;
        let (source, destination) = keys?;
        let block = self.block;
        self.translation.begin(hsm, source, destination, &block)
    }

    fn step_by_step(&mut self, hsm: &Hsm) -> Poll<Result<(), Code>> {
        if let Keys::Derived { base, ksn, destination, .. } = core::mem::take(&mut self.keys) {
            let hsm = hsm.clone();
            self.keys = Keys::Awaited(Box::pin(async move {
                let transaction = tdes::TransactionKey::derive(&hsm, &base, &ksn).await?;
                Ok((transaction.working_key(&hsm, tdes::Purpose::Pin).await?, destination))
            }));
        }
        self.poll_keys(hsm)
    }

    // Pending when the translation goes on, or the keys are not there yet.
    fn poll_keys(&mut self, hsm: &Hsm) -> Poll<Result<(), Code>> {
        let keys = match &mut self.keys {
            Keys::Given => return Poll::Pending,
            Keys::Awaited(keys) => ready!(keys.as_mut().poll(&mut Context::from_waker(Waker::noop()))),
            Keys::Derived { asked, destination, .. } => match ready!(hsm.answer_key(asked)) {
                Err(HsmError::Cipher(CipherError::NotOffered)) => return self.step_by_step(hsm),
                Err(error) => Err(error.into()),
                Ok(key) => Ok((key, destination.share())),
            },
        };
        match self.go_on_with(hsm, keys) {
            Ok(()) => Poll::Pending,
            Err(code) => Poll::Ready(Err(code)),
        }
    }

    /// Goes on as far as it can; at the end the PIN length, and the new block in `made`.
    #[inline]
    pub fn go_on(&mut self, hsm: &Hsm, made: &mut PinBlockText) -> Poll<Result<u8, Code>> {
        match self.keys {
            Keys::Given => self.translation.go_on(hsm, made),
            _ => self.poll_keys(hsm).map_ok(|()| 0),
        }
    }
}

// Both keys were seen before and are good, and the base key is one for TDES: the backend is asked to derive.
fn seen(cx: &Cx, base: &Base<'_>, destination: &Destination) -> Option<Keys> {
    if destination.bdk.is_some() {
        return None;
    }
    let source = Wanted { token: base.token, rule: base.rule, how: Use::Derive };
    let zpk = Wanted { token: &destination.key, rule: &ZPK, how: Use::Encrypt };
    let (bdk, destination) = keys::two_seen(cx, &source, &zpk)?.ok()?;
    let which = tdes::in_one(bdk.attributes().shape, base.ksn, tdes::Purpose::Pin).ok()?;
    let asked = cx.hsm.ask_dukpt(bdk.share(), &which);
    Some(Keys::Derived { asked, base: bdk, ksn: *base.ksn, destination })
}

#[cold]
#[inline(never)]
fn awaited(cx: &Cx, base: Base<'_>, destination: &Destination, to_ksn: Option<&Ksn>) -> Keys {
    let (cx, token, rule, ksn) = (cx.clone(), base.token.clone(), *base.rule, *base.ksn);
    let (destination, to_ksn) = (destination.clone(), to_ksn.copied());
    Keys::Awaited(Box::pin(async move {
        let source = dukpt::open_pin_key(&cx, &token, &rule, &ksn, Place::Source);
        let (source, destination) = join(source, destination.open(&cx, to_ksn.as_ref())).await;
        Ok((source?, destination?))
    }))
}
