//! Requests of each command. What is not known of the keys is asked of the unit, by another command than the
//! measured one wherever the language has one: what CC must answer is what JG makes of the same PIN under the
//! other key; what verifies was made by DG, CW or M6.

use super::{EXPIRY, Expect, Held, Item, Maker, ROUND, Role, SERVICE, Trouble, ZPKS, account, card};
use super::{Kind, without_check_value};
use tokio::task::JoinSet;

/// Different DUKPT requests: each has to be found.
const ROUND_DUKPT: usize = 8;
/// About 650 random blocks hold one of ISO format 1.
const TRIES_MAX: u64 = 60_000;
const TRIES_AT_ONCE: u64 = 256;
/// A key exchange has this many different requests, each made by the unit.
const ROUND_EXCHANGE: usize = 32;

/// A key that PIN blocks come under.
struct Source {
    key: Held,
    /// The same as a ZPK, under which JG makes blocks; a TPK of a file has none.
    zpk: Option<String>,
}

fn bytes(text: String) -> Expect {
    Expect::Bytes(text.into_bytes())
}

impl Maker {
    pub(super) async fn translations(&self, kind: Kind) -> Result<Vec<Item>, Trouble> {
        let to = self.keys(Role::Zpk, ZPKS).await?;
        let from = self.sources(kind, &to).await?;
        let mut items = Vec::new();
        for n in 0..ROUND {
            let (a, b) = (&from[n % from.len()], &to[(n + 1) % to.len()]);
            items.push(match self.known_translation(kind, n, &a.key, b) {
                Some(item) => item,
                None => self.asked_translation(kind, n, a, b).await?,
            });
        }
        Ok(items)
    }

    // The keys that blocks come under.
    async fn sources(&self, kind: Kind, zpks: &[Held]) -> Result<Vec<Source>, Trouble> {
        let same = |key: Held| Source { zpk: Some(key.token.clone()), key };
        if kind != Kind::Ca {
            return Ok(zpks.iter().cloned().map(same).collect());
        }
        let mut sources = Vec::new();
        if self.makes_terminal_keys() {
            for _ in 0..ZPKS {
                let (zpk, key) = self.terminal_key().await?;
                sources.push(Source { zpk: Some(zpk), key });
            }
        } else {
            sources
                .extend(self.keys(Role::Tpk, ZPKS).await?.into_iter().map(|key| Source { zpk: None, key }));
        }
        Ok(sources)
    }

    // No TPK is named, and none can be made of which the clear value is known.
    fn makes_terminal_keys(&self) -> bool {
        self.keys.of(Role::Tpk).is_empty() && self.zmk.is_none()
    }

    async fn asked_translation(&self, kind: Kind, n: usize, a: &Source, b: &Held) -> Result<Item, Trouble> {
        let (account, token) = (account(n), &a.key.token);
        let (came, made) = match (Self::known_block(n, &a.key), &a.zpk) {
            (Some(came), _) => {
                let way = if kind == Kind::Ca { "JC" } else { "JE" };
                let stored = self.ask(&format!("{way}{token}{came}01{account}{}", self.selector)).await?;
                (came, self.pin_block(&b.token, &account, &stored).await?)
            }
            (None, Some(zpk)) => {
                let stored = self.ask(&format!("JA{account}05{}", self.selector)).await?;
                let came = self.pin_block(zpk, &account, &stored).await?;
                (came, self.pin_block(&b.token, &account, &stored).await?)
            }
            (None, None) => {
                return Err(Trouble::Keys("ca needs the clear value of the tpk".into()));
            }
        };
        let request = format!("{}{token}{}12{came}0101{account}", kind.code(), b.token);
        Ok(self.item(&request, bytes(format!("{}0005{made}01", kind.reply())), false))
    }

    async fn pin_block(&self, zpk: &str, account: &str, stored: &str) -> Result<String, Trouble> {
        self.ask(&format!("JG{zpk}01{account}{stored}{}", self.selector)).await
    }

    pub(super) async fn pin_verifications(&self, kind: Kind) -> Result<Vec<Item>, Trouble> {
        let role = if kind == Kind::Ec { Role::Zpk } else { Role::Tpk };
        // A ZPK to make blocks under, and the same key as the measured command wants it.
        let (zpk, key) = match role {
            Role::Tpk if self.makes_terminal_keys() => self.terminal_key().await?,
            _ => {
                let key = self.key(role).await?;
                if role == Role::Tpk && key.clear.is_none() {
                    let what = "dc (pin-verify) needs the clear value of the tpk; or measure ec";
                    return Err(Trouble::Keys(what.into()));
                }
                (key.token.clone(), key)
            }
        };
        let pvk = self.key(Role::Pvk).await?;
        let mut items = Vec::new();
        for n in 0..ROUND {
            items.push(match self.known_pin_verification(kind, n, &key, &pvk) {
                Some(item) => item,
                None => self.asked_pin_verification(kind, n, (&zpk, &key), &pvk).await?,
            });
        }
        Ok(items)
    }

    async fn asked_pin_verification(
        &self,
        kind: Kind,
        n: usize,
        (zpk, key): (&str, &Held),
        pvk: &Held,
    ) -> Result<Item, Trouble> {
        let (account, selector) = (account(n), &self.selector);
        let (stored, block) = match Self::known_block(n, key) {
            Some(block) => {
                let way = if kind == Kind::Ec { "JE" } else { "JC" };
                (self.ask(&format!("{way}{}{block}01{account}{selector}", key.token)).await?, block)
            }
            None => {
                let stored = self.ask(&format!("JA{account}04{selector}")).await?;
                let block = self.pin_block(zpk, &account, &stored).await?;
                (stored, block)
            }
        };
        let pvv = self.ask(&format!("DG{}{stored}{account}1{selector}", pvk.token)).await?;
        let request = format!("{}{}{}{block}01{account}1{pvv}", kind.code(), key.token, pvk.token);
        Ok(self.item(&request, bytes(format!("{}00", kind.reply())), false))
    }

    // One key as ZPK, for JG to make blocks under, and as TPK. A key block of usage P0 is both; under a variant
    // LMK the key takes the way over a TR-31 block under a ZMK.
    async fn terminal_key(&self) -> Result<(String, Held), Trouble> {
        if self.blocks {
            let key = self.generate(Role::Zpk).await?;
            return Ok((key.token.clone(), key));
        }
        let (zmk, selector) = (self.generate(Role::Zmk).await?.token, &self.selector);
        let request = format!("A01001U;0{zmk}R{selector}&P0B00E00!B");
        let both = self.ask(&request).await.map(without_check_value)?;
        let (zpk, block) = both.split_at_checked(zmk.len()).unwrap_or((&both, ""));
        let token = self.ask(&self.import(Role::Tpk, &zmk, block)).await.map(without_check_value)?;
        Ok((zpk.to_owned(), Held { token, clear: None }))
    }

    pub(super) async fn card_values(&self, kind: Kind) -> Result<Vec<Item>, Trouble> {
        let cvk = self.key(Role::Cvk).await?;
        let mut items = Vec::new();
        for n in 0..ROUND {
            if let Some(item) = self.known_card_value(kind, n, &cvk) {
                items.push(item);
                continue;
            }
            let data = format!("{};{EXPIRY}{SERVICE}", card(n));
            let value = self.ask(&format!("CW{}{data}{}", cvk.token, self.selector)).await?;
            items.push(match kind {
                Kind::Cw => {
                    self.item(&format!("CW{}{data}", cvk.token), bytes(format!("CX00{value}")), false)
                }
                _ => self.item(&format!("CY{}{value}{data}", cvk.token), bytes("CZ00".into()), false),
            });
        }
        Ok(items)
    }

    pub(super) async fn macs(&self, kind: Kind) -> Result<Vec<Item>, Trouble> {
        let tak = self.key(Role::Tak).await?;
        let key_type = if self.blocks { "FFF" } else { "003" };
        let mut items = Vec::new();
        for n in 0..ROUND {
            // Whole message, binary, eight bytes of MAC, ISO 9797-1 algorithm 3, padding 0.
            let data = format!("{n:064}");
            let body = format!("00130{key_type}{}0040{data}", tak.token);
            if let Some(item) = self.known_mac(kind, &body, &data, &tak) {
                items.push(item);
                continue;
            }
            let mac = self.ask(&format!("M6{body}{}", self.selector)).await?;
            items.push(match kind {
                Kind::M8 => self.item(&format!("M8{body}{mac}"), bytes("M900".into()), false),
                _ => self.item(&format!("M6{body}"), bytes(format!("M700{mac}")), false),
            });
        }
        Ok(items)
    }

    pub(super) async fn diagnostics(&self) -> Result<Vec<Item>, Trouble> {
        let reply = self.ask(&format!("NC{}", self.selector)).await?;
        Ok(vec![self.item("NC", bytes(format!("ND00{reply}")), false)])
    }

    pub(super) async fn generations(&self) -> Result<Vec<Item>, Trouble> {
        let zmk = match &self.zmk {
            Some(zmk) => zmk.clone(),
            None => self.key(Role::Zmk).await?,
        };
        Ok(vec![self.generation(&zmk)])
    }

    pub(super) async fn exchanges(&self, kind: Kind) -> Result<Vec<Item>, Trouble> {
        let zmk = match &self.zmk {
            Some(zmk) => zmk.clone(),
            None => self.key(Role::Zmk).await?,
        };
        let mut items = Vec::new();
        for zpk in self.keys(Role::Zpk, ROUND_EXCHANGE).await? {
            items.push(match self.known_exchange(kind, &zmk, &zpk) {
                Some(item) => item,
                None => self.asked_exchange(kind, &zmk, &zpk).await?,
            });
        }
        Ok(items)
    }

    async fn asked_exchange(&self, kind: Kind, zmk: &Held, zpk: &Held) -> Result<Item, Trouble> {
        let export = self.export(&zmk.token, &zpk.token);
        let exported = self.ask(&export).await?;
        let (block, kcv) = exported.split_at(exported.len().saturating_sub(6));
        let (request, expect) = if kind == Kind::A8 {
            (export, Expect::CheckValue(*b"A9", kcv.to_owned()))
        } else if self.blocks {
            (self.import(Role::Zpk, &zmk.token, block), Expect::CheckValue(*b"A7", kcv.to_owned()))
        } else {
            // Nothing in a variant token is random: the key that left comes back.
            (self.import(Role::Zpk, &zmk.token, block), bytes(format!("A700{}{kcv}", zpk.token)))
        };
        Ok(Item { request: request.into_bytes(), expect, independent: false })
    }

    pub(super) async fn dukpt(&self) -> Result<Vec<Item>, Trouble> {
        let (bdk, zpk) = (self.key(Role::Bdk).await?, self.key(Role::Zpk).await?);
        match self.known_dukpt(&bdk, &zpk) {
            Some(items) => Ok(items),
            None => self.found_dukpt(&bdk.token, &zpk.token).await,
        }
    }

    // No command makes a block under DUKPT of a PIN that the unit holds. But one random block in about 650 holds
    // a PIN block of ISO format 1, whatever the key, and the unit says which: those are kept.
    async fn found_dukpt(&self, bdk: &str, zpk: &str) -> Result<Vec<Item>, Trouble> {
        let mut items = Vec::new();
        for first in (1..TRIES_MAX).step_by(usize::try_from(TRIES_AT_ONCE).unwrap_or(1)) {
            let mut tries = JoinSet::new();
            for counter in first..first + TRIES_AT_ONCE {
                let block = scattered(counter);
                // KSN of 20 digits: key set, device, and the counter in the last 21 bits.
                let request = format!(
                    "G0{bdk}{zpk}A05FFFF9876543210{:06X}{block:016X}0501{}",
                    0xE0_0000 + counter,
                    account(7)
                );
                let (client, whole) = (self.client.clone(), format!("{request}{}", self.selector));
                tries.spawn(async move { (request, client.exchange(whole).await) });
            }
            while let Some(tried) = tries.join_next().await {
                let Ok((request, reply)) = tried else { continue };
                let reply = String::from_utf8_lossy(&reply.map_err(Trouble::Wire)?).into_owned();
                match reply.get(2..4) {
                    Some("00") => items.push(self.item(&request, bytes(reply), false)),
                    Some("20" | "24") => {}
                    // None of the first counters has more than ten ones: none is refused for its own sake.
                    code if first == 1 => {
                        let code = code.unwrap_or("none");
                        return Err(Trouble::Refused(format!(
                            "G0 answered {code} to a block of ISO format 1"
                        )));
                    }
                    _ => {}
                }
            }
            if items.len() >= ROUND_DUKPT {
                items.truncate(ROUND_DUKPT);
                return Ok(items);
            }
        }
        Err(Trouble::Refused("no block of ISO format 1 was found for G0".into()))
    }
}

// The same blocks in every run (SplitMix64): they stand for nothing, they only have to differ.
const fn scattered(n: u64) -> u64 {
    let z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
