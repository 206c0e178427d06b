//! Requests of which everything is known: what must be answered is worked out by the `oracle` of this program.

use super::{EXPIRY, Held, Item, Maker, ROUND, SERVICE, account, card};
use crate::oracle::{self, Key, dukpt};
use crate::verbs::bench::expect::Expect;
use crate::verbs::bench::keys::{Clear, Role};
use crate::verbs::bench::material::{OwnLmk, random};
use crate::verbs::bench::preset::Kind;
use std::sync::Arc;

// Counters up to ROUND have fewer than ten ones: none is left out by the standard.
const KSN_HEAD: &str = "FFFF9876543210";

fn pin(n: usize) -> String {
    format!("{:05}", n * 7_919 % 100_000)
}

fn block(key: &Key, pin: &str, account: &str) -> String {
    oracle::hex(&oracle::encrypt(key, oracle::iso0(pin, account)))
}

fn bytes(text: String) -> Expect {
    Expect::Bytes(text.into_bytes())
}

// Both keys of a pair in the clear.
fn both<'k>(a: &'k Held, b: &'k Held) -> Option<(&'k Key, &'k Key)> {
    a.clear.as_deref().map(Clear::expose).zip(b.clear.as_deref().map(Clear::expose))
}

impl Maker {
    // One translation, ISO format 0 under both keys.
    pub(super) fn known_translation(&self, kind: Kind, n: usize, a: &Held, b: &Held) -> Option<Item> {
        let (from, to) = both(a, b)?;
        let (pin, account) = (pin(n), account(n));
        let came = block(from, &pin, &account);
        let request = format!("{}{}{}12{came}0101{account}", kind.code(), a.token, b.token);
        let reply = format!("{}0005{}01", kind.reply(), block(to, &pin, &account));
        Some(self.item(&request, bytes(reply), true))
    }

    pub(super) fn known_pin_verification(
        &self,
        kind: Kind,
        n: usize,
        pin_key: &Held,
        pvk: &Held,
    ) -> Option<Item> {
        let (under, verify) = both(pin_key, pvk)?;
        let (pin, account) = (pin(n), account(n));
        let (came, pvv) = (block(under, &pin, &account), oracle::pvv(verify, &pin, &account, "1"));
        let request = format!("{}{}{}{came}01{account}1{pvv}", kind.code(), pin_key.token, pvk.token);
        Some(self.item(&request, bytes(format!("{}00", kind.reply())), true))
    }

    // A block of a PIN for a key that is known, with the PIN that is in it.
    pub(super) fn known_block(n: usize, pin_key: &Held) -> Option<String> {
        pin_key.clear.as_deref().map(|key| block(key.expose(), &pin(n), &account(n)))
    }

    pub(super) fn known_card_value(&self, kind: Kind, n: usize, cvk: &Held) -> Option<Item> {
        let value = oracle::cvv(cvk.clear.as_deref()?.expose(), &card(n), EXPIRY, SERVICE);
        let data = format!("{};{EXPIRY}{SERVICE}", card(n));
        Some(match kind {
            Kind::Cw => self.item(&format!("CW{}{data}", cvk.token), bytes(format!("CX00{value}")), true),
            _ => self.item(&format!("CY{}{value}{data}", cvk.token), bytes("CZ00".into()), true),
        })
    }

    pub(super) fn known_mac(&self, kind: Kind, body: &str, data: &str, tak: &Held) -> Option<Item> {
        let mac = oracle::hex(&oracle::retail_mac(tak.clear.as_deref()?.expose(), data.as_bytes()));
        Some(match kind {
            Kind::M8 => self.item(&format!("M8{body}{mac}"), bytes("M900".into()), true),
            _ => self.item(&format!("M6{body}"), bytes(format!("M700{mac}")), true),
        })
    }

    pub(super) fn known_dukpt(&self, bdk: &Held, zpk: &Held) -> Option<Vec<Item>> {
        let (base, to) = both(bdk, zpk)?;
        let item = |n: usize| {
            let (pin, account) = (pin(n), account(n));
            let ksn = format!("{KSN_HEAD}{:06X}", 0xE0_0001 + n);
            let bytes_of_ksn = oracle::unhex(&ksn)?.first_chunk().copied()?;
            let came = block(&dukpt::pin_key(base, &bytes_of_ksn), &pin, &account);
            let request = format!("G0{}{}A05{ksn}{came}0101{account}", bdk.token, zpk.token);
            Some(self.item(&request, bytes(format!("G10005{}01", block(to, &pin, &account))), true))
        };
        (0..ROUND).map(item).collect()
    }

    // Keys that come in and go out under a ZMK that is known.
    pub(super) fn known_exchange(&self, kind: Kind, zmk: &Held, zpk: &Held) -> Option<Item> {
        let (under, clear) = (zmk.clear.as_ref()?, zpk.clear.as_ref()?);
        if kind == Kind::A8 {
            let expect = Expect::Exported { zmk: Arc::clone(under), key: Arc::clone(clear) };
            let request = self.export(&zmk.token, &zpk.token).into_bytes();
            return Some(Item { request, expect, independent: true });
        }
        let block = oracle::tr31_wrap(under.expose(), Role::Zpk.tr31(), clear.expose(), random());
        let kcv = oracle::kcv(clear.expose());
        let expect = match self.own {
            Some(OwnLmk::Block(lmk)) => Expect::Imported(lmk, Arc::clone(clear)),
            // Nothing in a variant token is random: the one that came is the one that comes.
            Some(OwnLmk::Variant) => bytes(format!("A700{}{kcv}", zpk.token)),
            None if !self.blocks => bytes(format!("A700{}{kcv}", zpk.token)),
            None => Expect::CheckValue(*b"A7", kcv),
        };
        let request = self.import(Role::Zpk, &zmk.token, &block).into_bytes();
        Some(Item { request, expect, independent: true })
    }

    // A new key, exported under a ZMK: a known one opens it, of any other only the form shows.
    pub(super) fn generation(&self, zmk: &Held) -> Item {
        let (selector, token) = (&self.selector, &zmk.token);
        let request = if self.blocks {
            format!("A01FFFS;0{token}R{selector}#{}!B", Role::Zpk.group())
        } else {
            format!("A01001U;0{token}R{selector}&P0B00E00!B")
        };
        let expect = match &zmk.clear {
            Some(clear) => Expect::Generated(Arc::clone(clear)),
            None => Expect::Formed,
        };
        let independent = zmk.clear.is_some();
        Item { request: request.into_bytes(), expect, independent }
    }
}
